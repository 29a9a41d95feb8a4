package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/store"
)

// The runbook's own commands, done word by word while the database is open, lose
// nothing of what was taken.
func TestADeletedDatabaseIsPutBackAsTheRunbookSays(t *testing.T) {
	book, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(book), "### A database that was deleted\n")
	blocks := regexp.MustCompile("(?s)```\n(.*?)```").FindAllStringSubmatch(text, 2)
	if len(blocks) != 2 {
		t.Fatal("the runbook has not two blocks of commands")
	}
	dir, kept := t.TempDir(), filepath.Join(t.TempDir(), "kept")
	run := func(block string) {
		t.Helper()
		var words []string
		for line := range strings.Lines(block) {
			switch {
			case strings.HasPrefix(line, "DIR="):
				line = fmt.Sprintf("DIR=%s KEPT=%s\n", dir, kept)
			case strings.HasPrefix(line, "PID="):
				line = fmt.Sprintf("PID=%d\n", os.Getpid())
			case strings.HasPrefix(line, "systemctl"), strings.HasPrefix(line, "lodged verify"):
				continue // done by the test
			}
			words = append(words, line)
		}
		cmd := exec.Command("sh", "-eu", "-c", fmt.Sprintf("DIR=%s KEPT=%s\n", dir, kept)+strings.Join(words, ""))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v %s\n%s", err, out, strings.Join(words, ""))
		}
	}
	ctx, path, operator := context.Background(), filepath.Join(dir, "lodge.db"), cloud.Caller{Operator: true}
	db, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	const id = "11111111-1111-4111-8111-111111111111"
	if _, err := db.EnsureInstallation(ctx, time.Now(), cloud.NewTenant{ID: id, NetworkID: "22222222-2222-4222-8222-222222222222", SubnetID: "33333333-3333-4333-8333-333333333333"}); err != nil {
		t.Fatal(err)
	}
	for _, tail := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + tail); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Ready(ctx); cloud.CodeOf(err) != cloud.CodeUnavailable {
		t.Fatalf("ready: %v", err)
	}
	run(blocks[0][1])
	if err := verifyFile(ctx, new(strings.Builder), filepath.Join(kept, "lodge.db"), ""); err != nil {
		t.Fatal(err)
	}
	_ = db.Close() // as a stop does, which may say that the files are away
	run(blocks[1][1])
	if db, err = store.Open(path); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Ready(ctx); err != nil {
		t.Error(err)
	}
	if got, err := db.Tenant(ctx, operator, id); err != nil || got.ID != id {
		t.Errorf("what was taken is lost: %+v, %v", got, err)
	}
}

package main

import (
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"lodge/backup"
)

// A backup by hand that was killed while it was written is swept by the next one by
// hand, or by a deletion, for there may be no schedule.
func TestABackupByHandSweeps(t *testing.T) {
	const place, dir, host = "LODGE_TEST_KILLED_PLACE", "LODGE_TEST_KILLED_DIR", "LODGE_TEST_KILLED_HOST"
	if os.Getenv(place) != "" {
		k := kept{t, os.Getenv(dir), os.Getenv(host), os.Getenv(place)}
		go killAt(k.place, "data")
		t.Fatal("it was not killed", k.create())
	}
	k := newKept(t, filepath.Join(t.TempDir(), "backups"))
	// What is in tls/ goes into a backup, and this takes a while.
	big := make([]byte, 64<<20)
	_, _ = rand.Read(big)
	if err := os.MkdirAll(filepath.Join(k.dir, "tls"), 0o700); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(k.dir, "tls", "ballast")
	kill := func() {
		t.Helper()
		if err := os.WriteFile(ballast, big, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestABackupByHandSweeps$")
		cmd.Env = append(os.Environ(), place+"="+k.place, dir+"="+k.dir, host+"="+k.host)
		if out, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("it was not killed: %v\n%s", err, out)
		}
		if left, _ := filepath.Glob(filepath.Join(k.place, ".part-*")); len(left) != 1 {
			t.Fatalf("the killed one left %v", left)
		}
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	}
	swept := func(by string) {
		t.Helper()
		left, _ := filepath.Glob(filepath.Join(k.place, ".part-*"))
		more, _ := filepath.Glob(filepath.Join(k.dir, ".backup-work-*"))
		if len(left)+len(more) > 0 {
			t.Errorf("%s left %v %v", by, left, more)
		}
	}
	kill()
	id := k.create()
	swept("create")
	kill()
	k.must("delete", id)
	if left, _ := filepath.Glob(filepath.Join(k.place, ".part-*")); len(left) > 0 {
		t.Errorf("delete left %v", left)
	}
	if p, err := backup.OpenPlace(k.place, backup.Options{}); err != nil {
		t.Fatal(err)
	} else if ids, err := p.List(t.Context()); err != nil || len(ids) > 0 {
		t.Errorf("listed %v, %v", ids, err)
	}
}

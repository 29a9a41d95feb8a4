package main

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lodge/store"
)

// killAt ends this process when a file of that name is below dir and has bytes.
func killAt(dir, name string) {
	for {
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Name() == name {
				if info, err := d.Info(); err == nil && info.Size() > 0 {
					_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				}
			}
			return nil
		})
	}
}

// A check that is killed while it tries an upgrade leaves a copy of the database;
// the next one removes it, and that of an older lodged.
func TestWhatAKilledCheckLeavesIsSwept(t *testing.T) {
	const in = "LODGE_TEST_KILLED_CHECK"
	if dir := os.Getenv(in); dir != "" {
		go killAt(dir, "trial.db")
		d := probeDatabase(context.Background(), dir)
		t.Fatal("it was not killed", d.err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "lodge.db")
	db, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	// An upgrade is due, and its copy takes a while.
	_, err = raw.Exec(`DELETE FROM schema_migrations WHERE version = (SELECT MAX(version) FROM schema_migrations);
		CREATE TABLE ballast (b BLOB);
		INSERT INTO ballast WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 64) SELECT randomblob(1048576) FROM n`)
	if err = errors.Join(err, raw.Close()); err != nil {
		t.Fatal(err)
	}
	killed := exec.Command(os.Args[0], "-test.run=^TestWhatAKilledCheckLeavesIsSwept$")
	killed.Env = append(os.Environ(), in+"="+dir)
	if out, err := killed.CombinedOutput(); err == nil || killed.ProcessState.ExitCode() != -1 {
		t.Fatalf("it was not killed: %v\n%s", err, out)
	}
	left := func() (names []string) {
		all, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			if strings.HasPrefix(e.Name(), ".") {
				names = append(names, e.Name())
			}
		}
		return names
	}
	if n := left(); len(n) != 1 {
		t.Fatalf("the killed one left %v", n)
	}
	for name, age := range map[string]time.Duration{".lodge-rehearse-1": 2 * time.Hour, ".lodge-rehearse-2": 0} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(filepath.Join(dir, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	probeDatabase(context.Background(), dir)
	if n := left(); len(n) != 1 || n[0] != ".lodge-rehearse-2" { // an older lodged may be at that
		t.Errorf("the next one left %v", n)
	}
}

package daemon

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a restore replaces stays together, however often it was killed, and nothing
// of it meets the new database.
func TestWhatARestoreReplacesStaysTogether(t *testing.T) {
	ctx := context.Background()
	cfg, p, m := restoreFixture(t)
	old := map[string]string{"lodge.db": "old", "lodge.db-wal": "its log", "lodge.db-shm": "its index", "lodge.db-journal": "its journal"}
	if err := os.Mkdir(cfg.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range old {
		if err := os.WriteFile(cfg.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// One that was killed behind its first step, and one behind its last.
	aside, err := begin(cfg, "replaced-first")
	if err == nil {
		err = setAside(cfg, "lodge.db", aside)
	}
	if err == nil {
		err = os.WriteFile(cfg.path("lodge.db"), []byte("put there by the killed one"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	r, err := Restore(ctx, cfg, Origin{Place: p, Manifest: m}, false)
	if err != nil || r.Aside != cfg.path("replaced-first") {
		t.Fatalf("kept in %q: %v", r.Aside, err)
	}
	for name, text := range old {
		if got, err := os.ReadFile(filepath.Join(r.Aside, name)); err != nil || string(got) != text {
			t.Errorf("%s aside is %q: %v", name, got, err)
		}
		if _, err := os.Stat(cfg.path(name)); name != "lodge.db" && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s lies beside the new database: %v", name, err)
		}
	}
	if left, _ := filepath.Glob(cfg.path("replaced-*")); len(left) != 1 {
		t.Errorf("there are %v", left)
	}
}

// A restore that was killed before it moved anything has changed nothing, and is
// in nobody's way; from then on it has to be run again.
func TestARestoreThatHasMovedNothingStopsNoStart(t *testing.T) {
	dir := t.TempDir()
	start(t, dir, nil).stop()
	cfg := Config{DataDir: dir}
	if err := writeWhole(cfg.path(restoring), "replaced-never"); err != nil {
		t.Fatal(err)
	}
	if err := Refusal(dir); err != nil {
		t.Errorf("doctor: %v", err)
	}
	start(t, dir, nil).stop()
	if there(cfg.path(restoring)) {
		t.Error("its mark stayed")
	}
	if _, err := begin(cfg, "replaced-begun"); err != nil {
		t.Fatal(err)
	}
	if err := Refusal(dir); err == nil || !strings.Contains(err.Error(), "did not end") {
		t.Errorf("one that was begun: %v", err)
	}
}

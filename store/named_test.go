package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"lodge/cloud"
	"lodge/store"
)

// A change that is taken while the files are away would be gone with the process.
func TestNothingIsWrittenToFilesThatWereTakenAway(t *testing.T) {
	for _, tail := range []string{"", "-wal"} {
		w := newWorld(t)
		before := w.create("before")
		path := w.path + tail
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
		refused := func(what string) {
			t.Helper()
			if err := w.Ready(ctx); cloud.CodeOf(err) != cloud.CodeUnavailable {
				t.Errorf("%s %q: ready: %v", what, tail, err)
			}
			if err := w.Heartbeat(ctx, hostID, w.now); cloud.CodeOf(err) != cloud.CodeUnavailable {
				t.Errorf("%s %q: a write: %v", what, tail, err)
			}
		}
		refused("away")
		if tail == "" {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			refused("replaced")
		}
		if err := os.Rename(path+".away", path); err != nil {
			t.Fatal(err)
		}
		if err := w.Ready(ctx); err != nil {
			t.Errorf("%q is back: %v", tail, err)
		}
		after := w.create("after")
		// Another process sees both: they are in the files that the names lead to.
		copied := filepath.Join(t.TempDir(), "copy.db")
		w.must(store.Copy(ctx, w.path, copied))
		other, err := store.Open(copied)
		w.must(err)
		for _, want := range []cloud.Instance{before, after} {
			if got, err := other.Instance(ctx, operator, want.ID); err != nil || got.Name != want.Name {
				t.Errorf("%q was away: %s is %+v, %v", tail, want.Name, got, err)
			}
		}
		w.must(other.Close())
	}
}

package store_test

import (
	"os"
	"testing"

	"lodge/cloud"
)

// A change that is taken while the files are away would be gone with the process.
func TestNothingIsWrittenToFilesThatWereTakenAway(t *testing.T) {
	for _, tail := range []string{"", "-wal"} {
		w := newWorld(t)
		w.create("before")
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
		w.create("after")
	}
}

package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"lodge/backup"
	"lodge/store"
)

// killedRestore says to this test binary that it is to be killed while it restores:
// the data dir, the place of the backups, and before which change.
const killedRestore = "LODGE_TEST_KILLED_RESTORE"

func restoreUntilKilled(words []string) error {
	at, err := strconv.Atoi(words[2])
	if err != nil {
		return err
	}
	n := 0
	atRestoreStep = func() {
		if n++; n == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	cfg := Config{DataDir: words[0], Now: time.Now, Version: "test", Log: discard(), Backups: Backups{To: words[1]}}
	p, err := cfg.OpenBackups()
	if err != nil {
		return err
	}
	m, err := backup.Find(context.Background(), p, "latest", "")
	if err != nil {
		return err
	}
	_, err = Restore(context.Background(), cfg, Origin{Place: p, Manifest: m}, true)
	return err
}

// filesBelow are the texts of the files that are no database, and which of these there is.
func filesBelow(t *testing.T, dir string) (texts []string, databases int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		switch filepath.Base(path) {
		case "lodge.db":
			databases++
		case "ca.key", "host-id":
			b, err := os.ReadFile(path)
			texts = append(texts, string(b))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(texts)
	return texts, databases
}

// A restore is killed before each change that it makes. No lodged starts on what is
// left, or it is all as it was or all as it will be; the same command ends it, and what
// was there before the first one is there still.
func TestARestoreThatIsKilledAtAnyChangeIsRunAgain(t *testing.T) {
	if words := os.Getenv(killedRestore); words != "" {
		t.Fatalf("it was not killed: %v", restoreUntilKilled(strings.Split(words, "\n")))
	}
	ctx := context.Background()
	fixture, p, m := restoreFixture(t)
	killed, refused := 0, 0
	for at := 1; ; at++ {
		cfg := fixture
		cfg.DataDir = t.TempDir()
		was := map[string]string{"host-id": uuid.NewString() + "\n", "tls/ca.key": "the key before"}
		for name, text := range was {
			if err := errors.Join(os.MkdirAll(filepath.Dir(cfg.path(name)), 0o700), os.WriteFile(cfg.path(name), []byte(text), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		before, err := store.Open(cfg.database())
		if err != nil {
			t.Fatal(err)
		}
		if err := before.Close(); err != nil {
			t.Fatal(err)
		}
		child := exec.Command(os.Args[0], "-test.run", "^TestARestoreThatIsKilledAtAnyChangeIsRunAgain$")
		child.Env = append(os.Environ(), killedRestore+"="+strings.Join([]string{cfg.DataDir, fixture.Backups.To, fmt.Sprint(at)}, "\n"))
		out, _ := child.CombinedOutput()
		if status, ok := child.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
			if !strings.Contains(string(out), "it was not killed: <nil>") {
				t.Fatalf("%d: %s", at, out)
			}
			break // it has no change so late
		}
		killed++
		if refuseHalfRestore(cfg) != nil {
			refused++
		} else {
			b, err := os.ReadFile(cfg.path("tls/ca.key"))
			f, ferr := store.Inspect(ctx, cfg.database())
			if err := errors.Join(err, ferr); err != nil || f.Schema == 0 || string(b) != "key" && string(b) != was["tls/ca.key"] {
				t.Errorf("%d: a lodged would start on %q, %+v, %v", at, b, f, err)
			}
		}
		if _, err := Restore(ctx, cfg, Origin{Place: p, Manifest: m}, true); err != nil {
			t.Fatalf("%d: the second one: %v", at, err)
		}
		if err := refuseHalfRestore(cfg); err != nil {
			t.Errorf("%d: %v", at, err)
		}
		if b, err := os.ReadFile(cfg.path("tls/ca.key")); err != nil || string(b) != "key" {
			t.Errorf("%d: the key is %q, %v", at, b, err)
		}
		if wrong, err := store.Check(ctx, cfg.database()); err != nil || len(wrong) > 0 {
			t.Errorf("%d: the database: %v, %v", at, wrong, err)
		}
		db, err := store.Open(cfg.database())
		if err != nil {
			t.Fatal(err)
		}
		r, found, err := db.Restored(ctx)
		if err := errors.Join(err, db.Close()); err != nil || !found || r.BackupID != m.ID {
			t.Errorf("%d: the database is of %+v, %v", at, r, err)
		}
		texts, databases := filesBelow(t, cfg.DataDir)
		if !slices.Contains(texts, was["host-id"]) || !slices.Contains(texts, was["tls/ca.key"]) || databases < 2 {
			t.Errorf("%d: of what was there before there is %q and %d databases in all", at, texts, databases)
		}
		if left, _ := filepath.Glob(cfg.path(".backup-work-*")); len(left) > 0 {
			t.Errorf("%d: left are %v", at, left)
		}
	}
	if killed < 7 || refused < 6 {
		t.Errorf("%d restores were killed, and behind %d no lodged started", killed, refused)
	}
	t.Logf("%d restores were killed; behind %d no lodged starts", killed, refused)
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"lodge/store"
)

// kept is a data dir with an empty database, and the backup commands on it.
type kept struct {
	t         *testing.T
	dir, host string
	place     string
}

func newKept(t *testing.T, place string) kept {
	k := kept{t, t.TempDir(), uuid.NewString(), place}
	db, err := store.Open(filepath.Join(k.dir, "lodge.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(k.dir, "host-id"), []byte(k.host+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return k
}

// run gives what a command writes, to both of its outputs.
func (k kept) run(args ...string) (string, error) {
	cmd, b := command(), &bytes.Buffer{}
	cmd.SetArgs(append([]string{"backup", "--data-dir", k.dir, "--backup-to", k.place}, args...))
	cmd.SetOut(b)
	cmd.SetErr(b)
	err := cmd.ExecuteContext(context.Background())
	if err != nil {
		b.WriteString(sentence(err))
	}
	return b.String(), err
}

func (k kept) must(args ...string) string {
	k.t.Helper()
	out, err := k.run(args...)
	if err != nil {
		k.t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return out
}

func (k kept) create() string {
	k.t.Helper()
	var m struct{ ID string }
	if err := json.Unmarshal([]byte(k.must("create", "-o", "json")), &m); err != nil {
		k.t.Fatal(err)
	}
	return m.ID
}

func (k kept) hostID() string {
	k.t.Helper()
	b, err := os.ReadFile(filepath.Join(k.dir, "host-id"))
	if err != nil {
		k.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// Two hosts keep their backups in one place, and none becomes the other by a
// restore of the latest.
func TestARestoreTakesNoOtherHostsBackupUnasked(t *testing.T) {
	a := newKept(t, filepath.Join(t.TempDir(), "backups"))
	b := newKept(t, a.place)
	mine := a.create()
	theirs := b.create()
	if out := a.must("list"); !strings.Contains(out, "HOST") || !strings.Contains(out, a.host) || !strings.Contains(out, b.host) {
		t.Errorf("the list does not say of which hosts they are:\n%s", out)
	}
	for _, verb := range []string{"show", "verify"} {
		if out := a.must(verb, "latest"); !strings.Contains(out, mine) {
			t.Errorf("%s latest: %s", verb, out)
		}
	}
	out := a.must("restore", "latest", "--replace")
	if !strings.Contains(out, mine) || !strings.Contains(out, a.host) || strings.Contains(out, "was that of host") || a.hostID() != a.host {
		t.Errorf("latest of %s is %s, and the host is %s:\n%s", a.host, mine, a.hostID(), out)
	}

	// A machine that has no id does not guess, and one of its own has no backup.
	for name, text := range map[string]string{"fresh": "", "its own": uuid.NewString()} {
		c := kept{t, t.TempDir(), "", a.place}
		if text != "" {
			if err := os.WriteFile(filepath.Join(c.dir, "host-id"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out, err := c.run("restore", "latest")
		if err == nil || !strings.Contains(out, mine) || !strings.Contains(out, theirs) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		if _, err := os.Stat(filepath.Join(c.dir, "lodge.db")); err == nil {
			t.Errorf("%s: something was restored", name)
		}
	}

	// Asked for by its name it is taken, and that is said.
	out = a.must("restore", theirs, "--replace")
	if !strings.Contains(out, "was that of host "+a.host) || !strings.Contains(out, "is that of host "+b.host) || a.hostID() != b.host {
		t.Errorf("the host is %s:\n%s", a.hostID(), out)
	}
}

// Killed between the two moves of the host's id, a restore of the latest goes on
// with the same host.
func TestAKilledRestoreIsStillOfItsHost(t *testing.T) {
	a := newKept(t, filepath.Join(t.TempDir(), "backups"))
	mine := a.create()
	newKept(t, a.place).create()
	aside := filepath.Join(a.dir, "replaced-20261122T120000.000Z")
	if err := os.Mkdir(aside, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lodge.db", "host-id"} {
		if err := os.Rename(filepath.Join(a.dir, name), filepath.Join(aside, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(a.dir, "restoring"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out := a.must("restore", "latest"); !strings.Contains(out, mine) || a.hostID() != a.host {
		t.Errorf("the host is %s:\n%s", a.hostID(), out)
	}
}

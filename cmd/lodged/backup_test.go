package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"lodge/store"
)

// A backup command says sentences: no code for programs, and no path of what it
// has removed again.
func TestABackupCommandSaysSentences(t *testing.T) {
	dir, place := t.TempDir(), filepath.Join(t.TempDir(), "backups")
	db, err := store.Open(filepath.Join(dir, "lodge.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "host-id"), []byte(uuid.NewString()), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (out string, err error) {
		cmd, b := command(), &bytes.Buffer{}
		cmd.SetArgs(append([]string{"backup", "--data-dir", dir}, args...))
		cmd.SetOut(b)
		cmd.SetErr(b)
		err = cmd.ExecuteContext(context.Background())
		return b.String(), err
	}
	out, err := run("create", "-o", "json", "--backup-to", place)
	if err != nil {
		t.Fatal(err, out)
	}
	var m struct{ ID string }
	if err := json.Unmarshal([]byte(out), &m); err != nil {
		t.Fatal(err)
	}
	says := func(want string, args ...string) {
		t.Helper()
		out, err := run(args...)
		if err == nil {
			t.Fatalf("%q says nothing", args)
		}
		out += sentence(err)
		if !strings.Contains(out, want) || strings.Contains(out, "invalid_request") || strings.Contains(out, "not_found") || strings.Contains(out, ".backup-work") || strings.Contains(out, ".:") {
			t.Errorf("%q: %s", args, out)
		}
	}
	says("No place for backups is set; give --backup-to", "list")
	says("There is no backup 20200101T000000000Z-00000000; list", "show", "20200101T000000000Z-00000000", "--backup-to", place)
	says("There are no backups in this place.", "verify", "latest", "--backup-to", place+"2")
	says(`The file `+dir+"/host-id of --backup-s3-credentials", "list", "--backup-to", "s3:http://127.0.0.1:1/backups", "--backup-s3-credentials", dir+"/host-id")

	raw, err := sql.Open("sqlite3", filepath.Join(dir, "lodge.db"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = raw.Exec(`INSERT INTO schema_migrations (version, name) VALUES (99, 'later')`)
	if err = errors.Join(err, raw.Close()); err != nil {
		t.Fatal(err)
	}
	if out, err := run("create", "--backup-to", place); err != nil { // of a newer lodge
		t.Fatal(err, out)
	}
	says("The database of backup ", "verify", "latest", "--backup-to", place)
	says("The database of backup ", "restore", "latest", "--replace", "--backup-to", place)
	for _, id := range []string{m.ID, "latest"} {
		manifest := filepath.Join(place, id, "manifest.json")
		if id == "latest" {
			all, _ := filepath.Glob(filepath.Join(place, "*", "manifest.json"))
			manifest = all[len(all)-1]
		}
		if err := os.WriteFile(manifest, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		says("the manifest of backup ", "list", "--backup-to", place)
		says("the manifest of backup ", "show", id, "--backup-to", place)
	}
}

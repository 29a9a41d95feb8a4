package main

import (
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// A good backup of a newer lodge is not said to be broken: who believed that would
// delete it.
func TestABackupOfANewerLodgeIsNotBroken(t *testing.T) {
	k := newKept(t, filepath.Join(t.TempDir(), "backups"))
	raw, err := sql.Open("sqlite3", filepath.Join(k.dir, "lodge.db"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = raw.Exec(`INSERT INTO schema_migrations (version, name) VALUES (99, 'later')`)
	if err = errors.Join(err, raw.Close()); err != nil {
		t.Fatal(err)
	}
	id := k.create()
	for _, args := range [][]string{{"verify", id}, {"restore", id, "--replace"}} {
		out, err := k.run(args...)
		if err == nil || strings.Contains(out, "not whole") || strings.Contains(out, "wrong") || !strings.Contains(out, "The database of backup "+id+" has schema version 99 and this lodge knows") {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
	}
}

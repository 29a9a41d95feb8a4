package daemon

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"lodge/backup"
	"lodge/store"
)

// Of a newer lodge's database an older one says that it is that, whatever its
// tables are by then, and what is broken is still named.
func TestADatabaseOfANewerLodgeIsNotBroken(t *testing.T) {
	later := `INSERT INTO schema_migrations (version, name) VALUES (99, 'later')`
	for name, tc := range map[string]struct {
		change string
		wrong  bool
	}{
		"newer":             {later, false},
		"with other tables": {later + `; ALTER TABLE instance RENAME COLUMN gone_at TO left_at`, false},
		"and broken":        {later + `; PRAGMA foreign_keys = OFF; INSERT INTO membership (tenant_id, user_id, role, created_at, updated_at) VALUES ('x', 'y', 'owner', 0, 0)`, true},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "lodge.db")
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
			_, err = raw.Exec(tc.change)
			if err = errors.Join(err, raw.Close()); err != nil {
				t.Fatal(err)
			}
			wrong, _, err := JudgeDatabase(context.Background(), path)
			if tc.wrong {
				if len(wrong) == 0 || err != nil {
					t.Errorf("it is said to be whole: %v", err)
				}
				return
			}
			if len(wrong) > 0 || !errors.As(err, new(backup.Unjudged)) || !strings.Contains(err.Error(), "schema version 99 and this lodge knows") {
				t.Errorf("wrong %q, %v", wrong, err)
			}
		})
	}
}

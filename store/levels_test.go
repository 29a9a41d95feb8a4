package store_test

import (
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// levels are the schemas that there ever were, one for each migration.
func levels(t *testing.T) (out []string) {
	t.Helper()
	for _, name := range migrationFiles(t) {
		out = append(out, filepath.Base(name)[:4])
	}
	return out
}

func migrationFiles(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(names) == 0 {
		t.Fatalf("no migrations: %v", err)
	}
	return names
}

// loadLevel makes the database that a lodge of that level has written: all
// migrations up to it, each followed by the rows that testdata/rows has for it.
// TestMigrationsStayAsTheyWere sees to it that they are those of that time.
func loadLevel(t *testing.T, path, level string) {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path+"?_synchronous=OFF")
	if err != nil {
		t.Fatal(err)
	}
	err = migrateTo(t, db, level)
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func migrateTo(t *testing.T, db *sql.DB, level string) error {
	if _, err := db.Exec("CREATE TABLE schema_migrations (\n  version INTEGER NOT NULL PRIMARY KEY,\n  name    TEXT    NOT NULL\n)"); err != nil {
		return err
	}
	for _, name := range migrationFiles(t) {
		at := filepath.Base(name)[:4]
		if at > level {
			break
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rows, err := os.ReadFile(filepath.Join("testdata/rows", at+".sql"))
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		done := fmt.Sprintf("INSERT INTO schema_migrations VALUES (CAST('%s' AS INTEGER), '%s');", at, strings.TrimSuffix(filepath.Base(name), ".sql"))
		if _, err := db.Exec(string(text) + "\n" + string(rows) + "\n" + done); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// A migration that has once been run somewhere must not change. -update adds the
// sums of new ones and leaves those that are there.
func TestMigrationsStayAsTheyWere(t *testing.T) {
	const path = "testdata/migrations.sha256"
	b, err := os.ReadFile(path)
	if err != nil && !*update {
		t.Fatal(err)
	}
	kept := string(b)
	for _, name := range migrationFiles(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		line := fmt.Sprintf("%x  %s\n", sha256.Sum256(text), name)
		switch known := strings.Contains(kept, "  "+name+"\n"); {
		case known && !strings.Contains(kept, line):
			t.Errorf("%s is not what it was; a schema changes by a new migration", name)
		case !known && !*update:
			t.Errorf("%s has no sum in %s; run with -update", name, path)
		case !known:
			kept += line
		}
	}
	if *update {
		if err := os.WriteFile(path, []byte(kept), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

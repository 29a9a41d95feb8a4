package store_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// levels are the schemas of which testdata/levels has a dump with rows, one for
// each migration. TestLevels -update makes the missing ones: what is there stays,
// for it is what a lodge of that time wrote.
func levels(t *testing.T) (out []string) {
	t.Helper()
	all, err := filepath.Glob("testdata/levels/*.sql")
	if err != nil || len(all) == 0 {
		t.Fatalf("no dumps: %v", err)
	}
	for _, path := range all {
		out = append(out, strings.TrimSuffix(filepath.Base(path), ".sql"))
	}
	return out
}

func loadLevel(t *testing.T, path, level string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata/levels", level+".sql"))
	if err != nil {
		t.Fatal(err)
	}
	if err := load(path, string(text)); err != nil {
		t.Fatal(err)
	}
}

func load(path, text string) error {
	db, err := sql.Open("sqlite3", "file:"+path)
	if err != nil {
		return err
	}
	_, err = db.Exec(text)
	return errors.Join(err, db.Close())
}

func TestEveryMigrationHasADump(t *testing.T) {
	names, err := filepath.Glob("migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "lodge.db")
	last := ""
	for _, name := range names {
		level := filepath.Base(name)[:4]
		dump := filepath.Join("testdata/levels", level+".sql")
		if _, err := os.Stat(dump); err == nil {
			last = level
			continue
		}
		if !*update {
			t.Errorf("%s has no dump; run with -update", name)
			continue
		}
		os.Remove(path)
		text := "CREATE TABLE schema_migrations (\n  version INTEGER NOT NULL PRIMARY KEY,\n  name    TEXT    NOT NULL\n);\n"
		if last != "" {
			b, err := os.ReadFile(filepath.Join("testdata/levels", last+".sql"))
			if err != nil {
				t.Fatal(err)
			}
			text = string(b)
		}
		for _, part := range []string{name, filepath.Join("testdata/rows", level+".sql")} {
			if b, err := os.ReadFile(part); err == nil {
				text += "\n" + string(b)
			} else if part == name {
				t.Fatal(err)
			}
		}
		text += fmt.Sprintf("\nINSERT INTO schema_migrations VALUES (%d, '%s');\n", atoi(level), strings.TrimSuffix(filepath.Base(name), ".sql"))
		if err := load(path, text); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := os.MkdirAll(filepath.Dir(dump), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dump, []byte(dumpOf(t, path)), 0o644); err != nil {
			t.Fatal(err)
		}
		last = level
	}
}

func atoi(s string) (n int) {
	_, _ = fmt.Sscanf(s, "%d", &n)
	return n
}

// dumpOf writes a database as SQL: tables, rows, then what could refuse rows.
func dumpOf(t *testing.T, path string) string {
	db := raw(t, path)
	defer db.Close()
	var b strings.Builder
	b.WriteString("PRAGMA foreign_keys = OFF;\nBEGIN;\n")
	tables := texts(t, db, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid`)
	for _, table := range tables {
		b.WriteString(texts(t, db, `SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?`, table)[0] + ";\n")
		columns := texts(t, db, `SELECT 'quote("' || name || '")' FROM pragma_table_info(?)`, table)
		for _, row := range texts(t, db, `SELECT `+strings.Join(columns, ` || ', ' || `)+` FROM "`+table+`"`) {
			fmt.Fprintf(&b, "INSERT INTO %q VALUES (%s);\n", table, row)
		}
	}
	if len(texts(t, db, `SELECT name FROM sqlite_master WHERE name = 'sqlite_sequence'`)) > 0 {
		b.WriteString("DELETE FROM sqlite_sequence;\n")
		for _, row := range texts(t, db, `SELECT quote(name) || ', ' || seq FROM sqlite_sequence`) {
			fmt.Fprintf(&b, "INSERT INTO sqlite_sequence VALUES (%s);\n", row)
		}
	}
	for _, text := range texts(t, db, `SELECT sql FROM sqlite_master WHERE type <> 'table' AND sql IS NOT NULL ORDER BY rowid`) {
		b.WriteString(text + ";\n")
	}
	b.WriteString("COMMIT;\n")
	return b.String()
}

func texts(t *testing.T, db *sql.DB, query string, args ...any) (out []string) {
	t.Helper()
	rows, err := db.Query(query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

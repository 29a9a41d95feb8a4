package store

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// cutOff is a database of lodge out of WAL, as a restore leaves it, with a write to
// it that was cut off by a kill: its pages are in the file already, and what was
// there before is in its rollback journal.
func cutOff(t *testing.T) (path string) {
	t.Helper()
	dir := t.TempDir()
	from := filepath.Join(dir, "from.db")
	d, err := Open(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Settle(context.Background(), from); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite3", "file:"+from+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, s := range []string{`PRAGMA cache_size = 1`, `BEGIN IMMEDIATE`, `CREATE TABLE cut_off (a TEXT)`} {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2000 {
		if _, err := db.Exec(`INSERT INTO cut_off VALUES (?)`, fmt.Sprintf("%500d", i)); err != nil {
			t.Fatal(err)
		}
	}
	path = filepath.Join(dir, "lodge.db")
	for _, tail := range []string{"", "-journal"} {
		b, err := os.ReadFile(from + tail)
		if err == nil {
			err = os.WriteFile(path+tail, b, 0o600)
		}
		if err != nil || len(b) == 0 {
			t.Fatalf("%d bytes of %s: %v", len(b), from+tail, err)
		}
	}
	return path
}

// A kill while a start switches a database to WAL leaves its rollback journal. The
// next one, whatever looks first, rolls it back; a look that may not write was
// refused by SQLite for ever.
func TestAWriteThatWasCutOffIsRolledBack(t *testing.T) {
	ctx := context.Background()
	for name, look := range map[string]func(path string) error{
		"open": func(path string) error {
			d, err := Open(path)
			if err != nil {
				return err
			}
			return d.Close()
		},
		"missing": func(path string) error { _, err := Missing(ctx, path); return err },
		"inspect": func(path string) error { _, err := Inspect(ctx, path); return err },
		"check": func(path string) error {
			wrong, err := Check(ctx, path)
			if err == nil && len(wrong) > 0 {
				err = fmt.Errorf("%v", wrong)
			}
			return err
		},
		"copy": func(path string) error { return Copy(ctx, path, path+".copy") },
		"mark": func(path string) error { return MarkCopy(ctx, path, time.Now(), "b", time.Now()) },
		"blank": func(path string) error {
			if Blank(path) {
				return fmt.Errorf("it is blank")
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := cutOff(t)
			if err := look(path); err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(path + "-journal"); err == nil && info.Size() > 0 {
				t.Error("the journal is still there")
			}
			d, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if there, err := exists(d.read(ctx), `SELECT 1 FROM sqlite_master WHERE name = 'cut_off'`); err != nil || there {
				t.Errorf("what was cut off is there: %v, %v", there, err)
			}
		})
	}
}

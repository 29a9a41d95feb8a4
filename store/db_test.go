package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/store"
)

var update = flag.Bool("update", false, "write schema.sql and the golden files anew")

// raw opens the file beside the store, as another program would.
func raw(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path+"?_foreign_keys=1&_busy_timeout=5000")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

func TestTheMigratedSchemaIsTheGoldenOne(t *testing.T) {
	w := emptyWorld(t, store.Options{})
	rows, err := raw(t, w.path).Query(`SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid`)
	w.must(err)
	defer rows.Close()
	var b strings.Builder
	b.WriteString("-- The schema after all migrations. Written by: go test ./store -run Golden -update\n")
	for rows.Next() {
		var text string
		w.must(rows.Scan(&text))
		b.WriteString("\n" + text + ";\n")
	}
	w.must(rows.Err())
	if *update {
		w.must(os.WriteFile("schema.sql", []byte(b.String()), 0o644))
	}
	golden, err := os.ReadFile("schema.sql")
	w.must(err)
	if b.String() != string(golden) {
		t.Fatal("schema.sql is not what the migrations make; run with -update and look at the difference")
	}
}

func TestADatabaseKeepsItsRowsWhenItIsOpenedAgain(t *testing.T) {
	w := newWorld(t)
	made := w.create("web1")
	w.must(w.Close())
	again, err := store.Open(w.path)
	w.must(err)
	defer again.Close()
	i, err := again.Instance(ctx, operator, made.ID)
	w.must(err)
	if i.Name != "web1" || !i.CreatedAt.Equal(noon) || i.CreatedAt.Location() != time.UTC {
		t.Fatalf("got %+v", i)
	}
}

func TestAPathWithSpecialCharactersIsOnlyAPath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?c=d%20#e&mode=memory.db")
	db, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	info, err := os.Stat(path)
	if err != nil || info.Size() == 0 {
		t.Fatalf("the file is not there: %v", err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Fatalf("the file is open to others: %v", info.Mode())
	}
}

func TestADatabaseOfANewerLodgeIsRefusedAndLeftAsItWas(t *testing.T) {
	w := newWorld(t)
	_, err := raw(t, w.path).Exec(`INSERT INTO schema_migrations (version, name) VALUES (9999, '9999_future')`)
	w.must(err)
	w.must(w.Close())
	_, err = raw(t, w.path).Exec(`PRAGMA wal_checkpoint(TRUNCATE)`)
	w.must(err)
	before, err := os.ReadFile(w.path)
	w.must(err)
	_, err = store.Open(w.path)
	if err == nil || !strings.Contains(err.Error(), "9999") || !strings.Contains(err.Error(), "newer lodge") {
		t.Fatalf("got %v", err)
	}
	after, err := os.ReadFile(w.path)
	w.must(err)
	if !bytes.Equal(before, after) {
		t.Fatal("the file was changed")
	}
}

func TestAFileThatIsNoDatabaseOfLodgeIsRefusedAndLeftAsItWas(t *testing.T) {
	good := newWorld(t)
	for n := range 40 {
		good.create("web" + string(rune('a'+n%26)) + string(rune('a'+n/26)))
	}
	good.must(good.Close())
	page, err := os.ReadFile(good.path)
	good.must(err)

	foreign := filepath.Join(t.TempDir(), "foreign.db")
	_, err = raw(t, foreign).Exec(`CREATE TABLE song (name TEXT)`)
	good.must(err)
	alien, err := os.ReadFile(foreign)
	good.must(err)

	torn := bytes.Clone(page)
	for i := 4096 * 2; i < 4096*6; i++ {
		torn[i] = 0xa5
	}
	for _, tc := range []struct {
		name, says string
		content    []byte
	}{
		{"text", "damaged or is not a SQLite file", bytes.Repeat([]byte("once upon a time "), 1000)},
		{"a few bytes", "damaged or is not a SQLite file", []byte("x")},
		{"a truncated database", "damaged or is not a SQLite file", page[:len(page)/2/4096*4096]},
		{"a database with torn pages", "damaged or is not a SQLite file", torn},
		{"a database of another program", "not one of lodge", alien},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "lodge.db")
			if err := os.WriteFile(path, tc.content, 0o600); err != nil {
				t.Fatal(err)
			}
			db, err := store.Open(path)
			if err == nil {
				db.Close()
				t.Fatal("it was opened")
			}
			if !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("got %v", err)
			}
			after, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(after, tc.content) {
				t.Fatal("the file was changed")
			}
		})
	}
}

func TestADirectoryIsRefused(t *testing.T) {
	if _, err := store.Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Fatalf("got %v", err)
	}
}

func TestTwoStoresOnOneFileSeeEachOthersChanges(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	other, err := store.Open(w.path)
	w.must(err)
	defer other.Close()
	for n := range 5 {
		name := "web-" + string(rune('a'+n))
		_, err := other.UpdateInstance(ctx, operator, w.now, i.ID, cloud.InstanceChange{Name: &name})
		w.must(err)
		if got := w.instance(i.ID); got.Name != name || got.Ports[0].Name != name {
			t.Fatalf("one store shows %s with port %s after the other wrote %s", got.Name, got.Ports[0].Name, name)
		}
	}
}

func TestReadyTellsOfAWriterThatIsHeld(t *testing.T) {
	w := emptyWorld(t, store.Options{BusyTimeout: 50 * time.Millisecond})
	w.must(w.Ready(ctx))
	holder := raw(t, w.path)
	_, err := holder.Exec(`BEGIN IMMEDIATE`)
	w.must(err)
	w.refused(w.Ready(ctx), cloud.CodeUnavailable)
	_, err = holder.Exec(`ROLLBACK`)
	w.must(err)
	w.must(w.Ready(ctx))
}

func TestACallThatWasGivenUpChangesNothing(t *testing.T) {
	w := newWorld(t)
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	n := w.wanted("web1")
	_, err := w.CreateInstance(canceled, operator, w.now, n)
	w.refused(err, cloud.CodeUnavailable)
	_, err = w.Instance(ctx, operator, n.ID)
	w.refused(err, cloud.CodeNotFound)
}

func TestAFullDiskIsSaidAndLeavesNothing(t *testing.T) {
	w := newWorld(t)
	store.LimitPages(t, w.DB)
	n := w.wanted("web1")
	n.UserData = strings.Repeat("x", 1<<20)
	_, err := w.CreateInstance(ctx, operator, w.now, n)
	w.refused(err, cloud.CodeDiskFull)
	_, err = w.Instance(ctx, operator, n.ID)
	w.refused(err, cloud.CodeNotFound)
}

func TestTheReadersCannotWrite(t *testing.T) {
	w := newWorld(t)
	if err := store.WriteByReader(w.DB); err == nil {
		t.Fatal("a reader wrote")
	}
}

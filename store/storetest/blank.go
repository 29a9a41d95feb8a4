// Package storetest makes databases for the tests of other rooms.
package storetest

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"lodge/store"
)

// Blank writes a database file that has the newest schema and no rows. It is what
// store.Open makes of no file, without the time of all migrations: they run once in
// a test binary, and their outcome is copied.
func Blank(t testing.TB, path string) {
	t.Helper()
	b, err := blank()
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

var blank = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "lodge-blank-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "lodge.db")
	db, err := store.Open(path)
	if err != nil {
		return nil, fmt.Errorf("a blank database: %w", err)
	}
	if err := db.Close(); err != nil { // which leaves no log beside the file
		return nil, err
	}
	return os.ReadFile(path)
})

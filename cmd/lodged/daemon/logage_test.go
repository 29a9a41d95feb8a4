package daemon

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/store"
)

// The newest commits of a database are in its log: it is as old as that.
func TestADatabaseIsAsOldAsItsLog(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "lodge.db")
	db, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	now := time.Now()
	if err := db.RegisterHost(ctx, now, cloud.Host{Meta: cloud.Meta{ID: "b1e5c0de-0000-4000-8000-000000000001"}, Name: "h", VCPUs: 1, MemoryMiB: 1024, Accel: "tcg", StartedAt: now}); err != nil {
		t.Fatal(err)
	}
	age := func(name string, by time.Duration) time.Time {
		t.Helper()
		at := now.Add(-by).Truncate(time.Second)
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
		return at
	}
	age(path, 5*time.Hour)
	want := age(path+"-wal", time.Hour)
	m, err := copyDatabase(ctx, path, filepath.Join(t.TempDir(), "copy"))
	if err != nil || !m.TakenAt.Equal(want) {
		t.Errorf("taken %v, %v; its log was written %v", m.TakenAt, err, want)
	}
	// A log that is older than the file says nothing.
	age(path+"-wal", 6*time.Hour)
	want = age(path, 2*time.Hour)
	m, err = copyDatabase(ctx, path, filepath.Join(t.TempDir(), "copy"))
	if err != nil || !m.TakenAt.Equal(want) {
		t.Errorf("taken %v, %v; it was written %v", m.TakenAt, err, want)
	}
}

package store_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"lodge/cloud"
	"lodge/meter"
	"lodge/store"
)

// spoil writes over the first page of a table or index.
func spoil(t *testing.T, path, name string) {
	t.Helper()
	db := raw(t, path)
	var page, size int64
	if err := db.QueryRow(`SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_master WHERE name = ?`, name).Scan(&page, &size); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xab}, int(size)), (page-1)*size); err != nil {
		t.Fatal(err)
	}
}

// A file that is too big to be read through at the start is refused as a small one is
// when the start meets the damage.
func TestDamageThatTheStartMeetsIsSaidAsThat(t *testing.T) {
	store.CheckNoFile(t)
	for _, table := range []string{"usage_interval", "usage_clock_step", "schema_migrations"} {
		w := newWorld(t)
		w.run("web1")
		w.must(w.Close())
		spoil(t, w.path, table)
		db, err := store.Open(w.path)
		if err == nil {
			db.Close()
			t.Errorf("%s: it was opened", table)
			continue
		}
		for _, says := range []string{"The database " + w.path + " is damaged", "restore a backup", "malformed"} {
			if strings.Count(err.Error(), says) != 1 {
				t.Errorf("%s: it does not say %q once: %v", table, says, err)
			}
		}
		if strings.Contains(err.Error(), "Something went wrong") || strings.Contains(err.Error(), string(cloud.CodeUnavailable)) {
			t.Errorf("%s: %v", table, err)
		}
	}
}

// Damage that is met later is shown by whoever asks for what is lost, and by Ready
// from then on.
func TestDamageThatAReadMeetsIsShown(t *testing.T) {
	store.CheckNoFile(t)
	for table, meet := range map[string]func(w *world) error{
		"event": func(w *world) error {
			_, err := w.Events(ctx, operator, cloud.EventFilter{Limit: 10})
			return err
		},
		"host": func(w *world) error {
			_, err := w.Host(ctx, hostID)
			return err
		},
		"instance": func(w *world) error {
			_, _, err := w.Instances(ctx, operator, cloud.Filter{}, cloud.Page{Limit: 10})
			return err
		},
		"usage_seal": func(w *world) error {
			return w.ReadLedger(ctx, func(l cloud.Ledger) error { _, err := meter.Verify(l); return err })
		},
	} {
		w := newWorld(t)
		w.run("web1")
		if err := w.Ready(ctx); err != nil {
			t.Fatalf("%s: %v", table, err)
		}
		w.must(w.Close())
		spoil(t, w.path, table)
		again, err := store.Open(w.path)
		if err != nil {
			t.Fatalf("%s: %v", table, err)
		}
		defer again.Close()
		w.DB = again
		if err := w.Ready(ctx); err != nil {
			t.Errorf("%s: nothing has met it yet: %v", table, err)
		}
		if err := meet(w); cloud.CodeOf(err) != cloud.CodeUnavailable || !strings.Contains(cloud.MessageOf(err), "damaged") {
			t.Errorf("%s: a read: %v", table, err)
		}
		err = w.Ready(ctx)
		if cloud.CodeOf(err) != cloud.CodeUnavailable || !strings.Contains(cloud.MessageOf(err), "damaged") || !strings.Contains(cloud.MessageOf(err), "restore a backup") {
			t.Errorf("%s: ready: %v", table, err)
		}
	}
}

func TestDamageThatAChangeMeetsIsShown(t *testing.T) {
	store.CheckNoFile(t)
	w := newWorld(t)
	w.must(w.Close())
	spoil(t, w.path, "host")
	again, err := store.Open(w.path)
	w.must(err)
	defer again.Close()
	if err := again.Heartbeat(ctx, hostID, w.now); cloud.CodeOf(err) != cloud.CodeUnavailable || !strings.Contains(cloud.MessageOf(err), "damaged") {
		t.Errorf("a change: %v", err)
	}
	if err := again.Ready(ctx); cloud.CodeOf(err) != cloud.CodeUnavailable || !strings.Contains(cloud.MessageOf(err), "damaged") {
		t.Errorf("ready: %v", err)
	}
}

package daemon

import (
	"context"
	"database/sql"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lodge/cloud"
)

func TestTheHostKeepsItsID(t *testing.T) {
	const mine, other = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
	host := func(ids ...string) (hs []cloud.Host) {
		for _, id := range ids {
			hs = append(hs, cloud.Host{Meta: cloud.Meta{ID: id}})
		}
		return hs
	}
	for _, c := range []struct {
		name, file string
		known      []cloud.Host
		id         string
		fresh      bool
		err        string
	}{
		{"first start", "", nil, "new", true, ""},
		{"as always", mine, host(mine), mine, false, ""},
		{"capitals", strings.ToUpper(mine), host(mine), mine, false, ""},
		{"new database, old file", mine, nil, mine, false, ""},
		{"file lost", "", host(mine), mine, true, ""},
		{"file damaged", "rubbish", host(mine), mine, true, ""},
		{"file of another host", other, host(mine), "", false, "remove the file"},
		{"file lost, several hosts", "", host(mine, other), "", false, "write the id"},
	} {
		id, fresh, err := chooseHostID(c.file, c.known, func() string { return "new" })
		if id != c.id || fresh != c.fresh || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %q, %v, %v", c.name, id, fresh, err)
		}
	}
}

func TestALostDatabaseIsNoFirstStart(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{DataDir: dir, Log: slog.New(slog.DiscardHandler)}
	if err := refuseLostDatabase(cfg); err != nil {
		t.Errorf("a first start: %v", err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "disks"), 0o755))
	must(os.WriteFile(filepath.Join(dir, "lodge.db"), nil, 0o600))
	if err := refuseLostDatabase(cfg); err != nil {
		t.Errorf("a first start that was cut off: %v", err)
	}
	must(os.WriteFile(filepath.Join(dir, "host-id"), []byte("x"), 0o600))
	if err := refuseLostDatabase(cfg); err == nil || !strings.Contains(err.Error(), "restore the database") {
		t.Errorf("an empty database of a known host: %v", err)
	}
	must(os.WriteFile(filepath.Join(dir, "sim.db"), nil, 0o600))
	if err := refuseLostDatabase(cfg); err != nil {
		t.Errorf("a first start behind a pretend host: %v", err)
	}
	must(os.Remove(filepath.Join(dir, "host-id")))
	must(os.WriteFile(filepath.Join(dir, "disks", "x.qcow2"), []byte("x"), 0o600))
	if err := refuseLostDatabase(cfg); err == nil || !strings.Contains(err.Error(), "restore the database") {
		t.Errorf("an empty database beside disks: %v", err)
	}
	must(os.Remove(filepath.Join(dir, "lodge.db")))
	if err := refuseLostDatabase(cfg); err == nil {
		t.Error("a missing database beside disks passes")
	}
	must(os.WriteFile(filepath.Join(dir, "lodge.db"), []byte("something"), 0o600))
	if err := refuseLostDatabase(cfg); err != nil {
		t.Errorf("a database: %v", err)
	}
}

// All that a young database has may be in its log: without that it is a file of one
// page, and no first start.
func TestADatabaseWithoutItsLogIsNoFirstStart(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{DataDir: dir, Log: slog.New(slog.DiscardHandler)}
	path := filepath.Join(dir, "lodge.db")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	raw, err := sql.Open("sqlite3", "file:"+path+"?_journal_mode=WAL")
	must(err)
	must(raw.Ping())
	must(raw.Close())
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		t.Fatalf("not a page: %v, %v", info, err)
	}
	if err := refuseLostDatabase(cfg); err != nil {
		t.Errorf("a first start that was cut off: %v", err)
	}
	must(os.WriteFile(filepath.Join(dir, "host-id"), []byte("x"), 0o600))
	if err := refuseLostDatabase(cfg); err == nil || !strings.Contains(err.Error(), "restore the database") {
		t.Errorf("a database without its log: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A database whose schema is there and whose host is not was cut, too.
func TestDisksOfNoHostAreNoFirstStart(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{DataDir: dir, Log: slog.New(slog.DiscardHandler), NewID: func() string { return "new" }}
	if _, err := hostID(context.Background(), cfg, noHosts{}); err != nil {
		t.Errorf("a first start: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "disks"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "disks", "x.qcow2"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := hostID(context.Background(), cfg, noHosts{}); err == nil || !strings.Contains(err.Error(), "knows no host") {
		t.Errorf("disks of no host: %v", err)
	}
}

type noHosts struct{}

func (noHosts) Hosts(context.Context, cloud.Caller) ([]cloud.Host, error) { return nil, nil }

package daemon

import (
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

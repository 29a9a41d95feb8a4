package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"lodge/backup"
	"lodge/cloud"
	"lodge/hypervisor/sim"
	"lodge/meter"
	"lodge/reconcile"
	"lodge/store"
)

// closed are the hours of a ledger and the events that tell of them.
type closed struct {
	hours  map[string]cloud.UsageHour
	events map[string]string // by id
}

func closedHours(t *testing.T, db *store.DB) closed {
	t.Helper()
	out := closed{map[string]cloud.UsageHour{}, map[string]string{}}
	err := db.ReadLedger(context.Background(), func(l cloud.Ledger) error {
		report, err := meter.Verify(l)
		if err != nil || report.Wrong > 0 {
			return fmt.Errorf("verify: %+v, %v", report.Findings, err)
		}
		byTenant := map[string][]cloud.Interval{}
		if err := l.Intervals(func(iv cloud.Interval) error { byTenant[iv.TenantID] = append(byTenant[iv.TenantID], iv); return nil }); err != nil {
			return err
		}
		return l.Hours(func(h cloud.UsageHour) error {
			for _, e := range meter.HourEvents(h, cloud.HourContent{Intervals: byTenant[h.TenantID]}) {
				out.events[e.ID] = fmt.Sprintf("%s %s %v %+v", e.Type, e.Subject, e.Time, e.Data)
			}
			h.Seq, h.ClosedAt = 0, time.Time{}
			out.hours[fmt.Sprint(h.TenantID, h.Hour, h.Revision)] = h
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// lodgedAgain is days.lodged on a database that may have been restored.
func (d *days) lodgedAgain() {
	ctx, cancel := context.WithCancel(context.Background())
	keeper, err := newTimekeeper(ctx, d.db, d.hid, d.read, discard())
	d.must(err)
	c := clocked{d.db, keeper}
	loop := reconcile.New(reconcile.Options{
		HostID: d.hid, Guests: d.host, Ends: d.host, Counters: d.host, Traffic: d.db, Disks: d.host, Nets: d.host, Strays: d.host, Instances: d.db, Networks: d.db, Images: d.db, Hosts: c, Restores: d.db,
		Bell: d.db.Bell(), Now: keeper.Now, Log: slog.New(slog.NewTextHandler(d.log, nil)),
	})
	keeper.settled = loop.Settled
	var wg sync.WaitGroup
	wg.Go(func() { _ = loop.Run(ctx) })
	wg.Go(func() {
		<-loop.Adopted()
		(&meter.Closer{Books: d.db, Now: keeper.Now, Log: discard()}).Run(ctx)
	})
	d.kill = func(bool) { cancel(); wg.Wait() }
}

// Hours that were closed and told of are lost with the database and closed again
// behind the restore: the same hours, the same digests, events with the same ids.
// What was deleted since is counted until then, and no hour of anything twice.
func TestHoursBehindARestoreAreTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &days{t: t, rand: rand.New(rand.NewPCG(1, 13)), hid: uuid.NewString(), root: cloud.Caller{Operator: true}, log: io.Discard,
			runs: map[string][]run{}, asked: map[string]time.Time{}}
		dir := t.TempDir()
		d.path = filepath.Join(dir, "lodge.db")
		d.clock.booted = time.Now()
		d.host = sim.New(sim.Options{Now: time.Now, Seed: 1, Latency: sim.Realistic()})
		d.open()
		d.lodgedAgain()
		ctx := context.Background()
		var ids []string
		for n := range 4 {
			i, err := d.db.CreateInstance(ctx, d.root, d.ledgerNow(), cloud.NewInstance{
				ID: uuid.NewString(), VolumeID: uuid.NewString(), PortID: uuid.NewString(), Name: fmt.Sprintf("vm%d", n), TenantID: d.tenant(), VCPUs: 1 + n, MemoryMiB: 512,
			})
			d.must(err)
			ids = append(ids, i.ID)
		}
		time.Sleep(90*time.Minute + 7*time.Second)
		saved := filepath.Join(dir, "saved.db")
		d.must(store.Copy(ctx, d.path, saved))
		time.Sleep(3 * time.Hour)
		d.kill(false)
		before := closedHours(t, d.db)
		d.must(d.db.Close())
		if len(before.hours) < 4 {
			t.Fatalf("%d hours were closed", len(before.hours))
		}

		d.must(store.MarkCopy(ctx, saved, time.Now(), "b1", time.Now().Add(-3*time.Hour)))
		var err error
		d.db, err = store.Open(saved)
		d.must(err)
		defer func() { d.must(d.db.Close()) }()
		d.host.Down(true)
		d.lodgedAgain()
		time.Sleep(2 * time.Minute)
		if waits, err := d.db.Unadopted(ctx); err != nil || !waits {
			t.Errorf("it was compared with a host that does not answer: %v", err)
		}
		d.host.Down(false)
		time.Sleep(10 * time.Minute)
		after := closedHours(t, d.db)
		for key, h := range before.hours {
			if diff := cmp.Diff(h, after.hours[key]); diff != "" {
				t.Errorf("the hour %v is another one:\n%s", h.Hour, diff)
			}
		}
		for id, e := range before.events {
			if after.events[id] != e {
				t.Errorf("the event %s was\n%s\nand is\n%s", id, e, after.events[id])
			}
		}
		if n := d.host.Runs(ids[0]); n != 1 {
			t.Errorf("a guest was started %d times", n)
		}
		r, found, err := d.db.Restored(ctx)
		if err != nil || !found || len(r.Report.Running) != 4 || r.Report.Orphans != 0 {
			t.Errorf("restored %+v, %v, %v", r, found, err)
		}
		d.kill(true)
	})
}

// restoreFixture is a place with a backup of a data dir, and a fresh data dir.
func restoreFixture(t *testing.T) (cfg Config, p backup.Place, m backup.Manifest) {
	t.Helper()
	old := Config{DataDir: t.TempDir(), Now: time.Now, Version: "test", Log: discard()}
	for name, text := range map[string]string{"host-id": uuid.NewString() + "\n", "tls/ca.key": "key"} {
		if err := os.MkdirAll(filepath.Dir(old.path(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(old.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db, err := store.Open(old.database())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	old.Backups.To = filepath.Join(t.TempDir(), "backups")
	if p, err = old.OpenBackups(); err != nil {
		t.Fatal(err)
	}
	s, err := old.BackupSource()
	if err != nil {
		t.Fatal(err)
	}
	if m, err = backup.Make(context.Background(), p, s); err != nil {
		t.Fatal(err)
	}
	cfg = old
	cfg.DataDir = filepath.Join(t.TempDir(), "data")
	return cfg, p, m
}

func TestARestoreOnAFreshMachine(t *testing.T) {
	ctx := context.Background()
	cfg, p, m := restoreFixture(t)
	r, err := Restore(ctx, cfg, Origin{Place: p, Manifest: m}, false)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.Files, []string{"host-id", "tls/ca.key", "lodge.db"}) || r.Aside != "" {
		t.Errorf("restored %+v", r)
	}
	for _, name := range r.Files {
		info, err := os.Stat(cfg.path(name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	left, _ := filepath.Glob(cfg.path(".*"))
	if len(left) > 0 || there(cfg.path(restoring)) {
		t.Errorf("left %v", left)
	}
	a, err := ReadAftermath(ctx, cfg)
	if err != nil || !a.Found || a.Restore.BackupID != m.ID || !a.Restore.AdoptedAt.IsZero() {
		t.Errorf("aftermath %+v, %v", a, err)
	}
}

func TestARestoreKeepsWhatWasThere(t *testing.T) {
	ctx := context.Background()
	cfg, p, m := restoreFixture(t)
	if err := os.MkdirAll(cfg.DataDir, 0o711); err != nil {
		t.Fatal(err)
	}
	was := map[string]string{"lodge.db": "damaged beyond recognition", "lodge.db-wal": "log", "host-id": "other", "disks": ""}
	for name, text := range was {
		if name == "disks" {
			if err := os.Mkdir(cfg.path(name), 0o711); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(cfg.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lock, err := lockDir(cfg.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(ctx, cfg, Origin{Place: p, Manifest: m}, true); err == nil || !strings.Contains(err.Error(), "is running") {
		t.Errorf("restored below a running lodged: %v", err)
	}
	lock.Close()
	if _, err := Restore(ctx, cfg, Origin{Place: p, Manifest: m}, false); err == nil || !strings.Contains(err.Error(), "--replace") {
		t.Errorf("replaced unasked: %v", err)
	}
	bad := m
	bad.Files = slices.Clone(m.Files)
	bad.Files[0].SHA256 = strings.Repeat("0", 64)
	if _, err := Restore(ctx, cfg, Origin{Place: p, Manifest: bad}, true); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("restored what is broken: %v", err)
	}
	if b, _ := os.ReadFile(cfg.path("lodge.db")); string(b) != was["lodge.db"] {
		t.Error("the database was touched")
	}
	r, err := Restore(ctx, cfg, Origin{Place: p, Manifest: m}, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lodge.db", "lodge.db-wal", "host-id"} {
		if b, err := os.ReadFile(filepath.Join(r.Aside, name)); err != nil || string(b) != was[name] {
			t.Errorf("%s was kept as %q, %v", name, b, err)
		}
	}
	if there(cfg.path("lodge.db-wal")) || !there(cfg.path("disks")) {
		t.Error("the old log meets the new database, or the disks were moved")
	}
}

// A database that something else has kept, as Litestream, is marked like a backup,
// and what is beside it stays.
func TestADatabaseFileIsRestored(t *testing.T) {
	ctx := context.Background()
	cfg, p, m := restoreFixture(t)
	if _, err := Restore(ctx, cfg, Origin{Place: p, Manifest: m}, false); err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(t.TempDir(), "shipped.db")
	if err := store.Copy(ctx, cfg.path("lodge.db"), kept); err != nil {
		t.Fatal(err)
	}
	r, err := Restore(ctx, cfg, Origin{Database: kept}, true)
	if err != nil || !slices.Equal(r.Files, []string{"lodge.db"}) || !there(cfg.path("host-id")) || !there(kept) {
		t.Fatalf("restored %+v, %v", r, err)
	}
	if a, err := ReadAftermath(ctx, cfg); err != nil || a.Restore.BackupID != "shipped.db" || a.Restore.ID != 2 {
		t.Errorf("aftermath %+v, %v", a, err)
	}
	// A file that was put together now of a state that is older is as old as that.
	db, err := store.Open(kept)
	if err != nil {
		t.Fatal(err)
	}
	last := time.Now().Add(-5 * time.Hour).Truncate(time.Millisecond).UTC()
	if err := errors.Join(db.RecordBackup(ctx, uuid.NewString(), last, "b", ""), db.Close()); err != nil {
		t.Fatal(err)
	}
	if r, err := Restore(ctx, cfg, Origin{Database: kept}, true); err != nil || !r.Manifest.TakenAt.Equal(last) || !strings.HasPrefix(r.Age, "5h") {
		t.Errorf("restored a state of %v, %s old, and it was of %v, %v", r.Manifest.TakenAt, r.Age, last, err)
	}
	if err := os.WriteFile(kept, []byte("no database at all, but text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(ctx, cfg, Origin{Database: kept}, true); err == nil {
		t.Error("text was restored")
	}
}

// No lodged starts on half a restore, and the same command ends it.
func TestARestoreThatWasKilledIsRunAgain(t *testing.T) {
	ctx := context.Background()
	cfg, p, m := restoreFixture(t)
	if _, err := Restore(ctx, cfg, Origin{Place: p, Manifest: m}, false); err != nil {
		t.Fatal(err)
	}
	// As a kill right before the last file leaves it; real ones are in restore_kill_test.go.
	if _, err := begin(cfg, "replaced-by-the-killed"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(cfg.path("lodge.db")); err != nil {
		t.Fatal(err)
	}
	left := cfg.path(".backup-work-1")
	if err := os.Mkdir(left, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "did not end") {
		t.Errorf("a lodged started: %v", err)
	}
	if _, err := Restore(ctx, cfg, Origin{Place: p, Manifest: m}, false); err != nil {
		t.Fatal(err)
	}
	if there(cfg.path(restoring)) || !there(cfg.path("lodge.db")) || there(left) {
		t.Error("it is not whole, or has what the killed one left")
	}
}

// What a daemon has in its data dir is in backups, or is left out on purpose.
func TestNothingOfADataDirIsForgotten(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, func(c *Config) { c.Listen = "127.0.0.1:0" })
	entries, err := os.ReadDir(dir)
	s.stop()
	if err != nil || len(entries) < 4 {
		t.Fatalf("%v, %v", entries, err)
	}
	for _, e := range entries {
		if e.Type()&os.ModeSocket == 0 && !slices.Contains(backedUp, e.Name()) && !slices.Contains(leftOut, e.Name()) {
			t.Errorf("%s is neither in backups nor left out on purpose", e.Name())
		}
	}
}

func TestAScheduledBackupSaysWhatBecameOfIt(t *testing.T) {
	place, dir := filepath.Join(t.TempDir(), "backups"), t.TempDir()
	long := time.Now().AddDate(-9, 0, 0) // ago the host was installed
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "host-id"), []byte(uuid.NewString()+"\n"), 0o600), os.Chtimes(filepath.Join(dir, "host-id"), long, long)); err != nil {
		t.Fatal(err)
	}
	s := start(t, dir, func(c *Config) {
		c.Backups = Backups{To: place, Schedule: "0 0 29 2 *", Keep: backup.Keep{Hourly: 1}}
	})
	ctx := context.Background()
	events := func(typ string) (n int) {
		all, err := s.db.Events(ctx, cloud.Caller{Operator: true}, cloud.EventFilter{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			if e.Type == typ {
				n++
			}
		}
		return n
	}
	// It was missed since the host was installed, and is made at the start.
	for deadline := time.Now().Add(time.Minute); events("host.backup") == 0 && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	if events("host.backup") != 1 {
		t.Fatal("no backup was made at the start, or nobody was told of it")
	}
	if err := os.RemoveAll(place); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(place, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.backups.Once(ctx)
	if events("host.backup_failed") != 1 {
		t.Error("nobody was told of a failure")
	}
	s.backups.Told(ctx, backup.Manifest{}, fmt.Errorf("write a backup: %w", cloud.Wrap(cloud.CodeDiskFull, errors.New("no space left"), "The disk is full.")))
	all, err := s.db.Events(ctx, cloud.Caller{Operator: true}, cloud.EventFilter{Limit: 1000})
	if err != nil || !slices.ContainsFunc(all, func(e cloud.Event) bool {
		return e.Message == "No backup was made: write a backup: The disk is full: no space left"
	}) {
		t.Errorf("no event says it plainly: %v, %v", all, err)
	}
	st := s.backupStats()()
	if !st.Failed || st.Failures != 1 || st.Last.IsZero() {
		t.Errorf("stats %+v", st)
	}
	s.stop()
}

package daemon

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lodge/backup"
	"lodge/meter"
)

// The wall clock is set back, and lodge's own time stays ahead of it: what is made
// by hand goes by that too, or latest would be what was made before.
func TestTheLatestBackupIsTheLastThatWasMade(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	var cfg Config
	s := start(t, dir, func(c *Config) {
		c.Clocks = ReadClocks
		c.Backups = Backups{To: filepath.Join(t.TempDir(), "backups"), Schedule: "0 0 29 2 *", Keep: backup.Keep{Hourly: 1}}
		cfg = *c
	})
	if !s.backups.State().Last.IsZero() {
		t.Error("a host that was installed just now has missed a backup")
	}
	if !s.backups.Once(ctx) {
		t.Fatal("no backup was made")
	}
	s.stop()
	const back = 3 * time.Hour
	cfg.Now = func() time.Time { return time.Now().Add(-back) }
	cfg.Clocks = func() (meter.Tick, error) {
		tick, err := ReadClocks()
		tick.Wall = tick.Wall.Add(-back)
		return tick, err
	}
	p, err := cfg.OpenBackups()
	if err != nil {
		t.Fatal(err)
	}
	source, err := cfg.BackupSource()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		m, err := backup.Make(ctx, p, source)
		if err != nil {
			t.Fatal(err)
		}
		if off := time.Since(m.TakenAt).Abs(); off > time.Minute {
			t.Errorf("lodge's own time is off by %v in the name %s", off, m.ID)
		}
		latest, err := backup.Find(ctx, p, "latest", source.HostID)
		if err != nil || latest.ID != m.ID || strings.HasSuffix(latest.ID, "-scheduled") {
			t.Errorf("%s was made, and latest is %s, %v", m.ID, latest.ID, err)
		}
	}
	// Of a database that no lodged has run on for as long, the wall clock's is later.
	cfg.Now, cfg.Clocks = func() time.Time { return time.Now().Add(back) }, ReadClocks
	if source, err = cfg.BackupSource(); err != nil {
		t.Fatal(err)
	}
	m, err := backup.Make(ctx, p, source)
	if err != nil || time.Until(m.TakenAt) < back-time.Minute {
		t.Errorf("made %+v, %v", m, err)
	}
}

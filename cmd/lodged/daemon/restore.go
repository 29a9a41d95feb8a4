package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"

	"lodge/backup"
	"lodge/cloud"
	"lodge/store"
)

// restoring is a file that is in the data dir while a restore puts things into
// place: no lodged starts then. In it is the name of the folder that keeps what was
// there before; that folder is made before anything is moved, so where it is not,
// nothing has been.
const restoring = "restoring"

// atRestoreStep is called before each change of the data dir; tests end the process
// there.
var atRestoreStep = func() {}

// Restored is what a restore has done.
type Restored struct {
	Manifest backup.Manifest `json:"manifest"`
	Files    []string        `json:"files"`           // put into the data dir
	Aside    string          `json:"aside,omitempty"` // where what was there before is kept
	Age      string          `json:"age,omitempty"`   // of the backup; "" when its time is still to come by the clock of this machine
	// HostBefore is whose the data dir was, when the backup is another host's.
	HostBefore string `json:"host_before,omitempty"`
}

// Origin is what is restored: a backup, or a database file that something else,
// as Litestream, has kept.
type Origin struct {
	Place    backup.Place
	Manifest backup.Manifest
	Keys     []age.Identity // for an encrypted backup
	Database string         // "" for a backup
}

// Restore puts a backup into the data dir. No lodged may run there. The backup is
// checked whole before anything is touched, and what was there before is moved
// aside and never removed. What is put there belongs to whom the data dir does.
// Killed at any moment it can be run again.
func Restore(ctx context.Context, cfg Config, o Origin, replace bool) (r Restored, err error) {
	if err := os.MkdirAll(cfg.DataDir, 0o711); err != nil {
		return r, fmt.Errorf("make the data dir: %w", err)
	}
	lock, err := lockDir(cfg.DataDir)
	if err != nil {
		return r, err
	}
	defer lock.Close()
	sweepWork(cfg)
	begun := there(cfg.path(restoring))
	if !replace && !begun && there(cfg.path("lodge.db")) {
		return r, fmt.Errorf("%s has a database; --replace moves it aside and restores", cfg.DataDir)
	}
	work, done, err := backup.Scratch(cfg.DataDir)
	if err != nil {
		return r, backup.Blame(cfg.DataDir, err)
	}
	defer func() { err = errors.Join(err, done()) }()
	m, err := o.stage(ctx, cfg, work)
	if err != nil {
		return r, err
	}
	before, err := cfg.HostID()
	if err != nil {
		return r, err
	}
	if m.HostID != "" && before != "" && before != m.HostID {
		r.HostBefore = before
	}
	now := cfg.Now()
	r.Manifest = m
	if age := now.Sub(m.TakenAt); age >= 0 {
		r.Age = age.Round(time.Second).String()
	}
	atRestoreStep()
	aside, err := begin(cfg, "replaced-"+now.UTC().Format("20060102T150405.000Z"))
	if err != nil {
		return r, err
	}
	for _, tail := range []string{"", "-wal", "-shm", "-journal"} {
		// The logs of the old database must not meet the new one.
		if err := setAside(cfg, "lodge.db"+tail, aside); err != nil {
			return r, err
		}
	}
	for _, f := range m.Files {
		if f.Name == backup.Database {
			continue
		}
		if err := putInPlace(cfg, work, f.Name, aside, &r); err != nil {
			return r, err
		}
	}
	if err := putInPlace(cfg, work, backup.Database, aside, &r); err != nil {
		return r, err
	}
	if err := handOver(cfg, r.Files); err != nil {
		return r, err
	}
	if os.Remove(aside) != nil { // it is empty where nothing was there before
		r.Aside = aside
	}
	atRestoreStep()
	if err := errors.Join(syncFolder(cfg.DataDir), os.Remove(cfg.path(restoring)), syncFolder(cfg.DataDir)); err != nil {
		return r, fmt.Errorf("end the restore: %w", err)
	}
	atRestoreStep()
	return r, nil
}

// stage unpacks and checks what is restored in a folder of its own, and writes into
// its database that it is that.
func (o Origin) stage(ctx context.Context, cfg Config, work string) (m backup.Manifest, err error) {
	var wrong []string
	db, name := filepath.Join(work, backup.Database), o.Database
	if m = o.Manifest; o.Database == "" {
		name = "of backup " + m.ID
		wrong, err = backup.Check(ctx, o.Place, m, o.Keys, work, judgeWhole)
	} else if m, err = copyDatabase(ctx, o.Database, db); err == nil {
		wrong, err = store.Check(ctx, db)
	}
	if err == nil && len(wrong) > 0 {
		return m, fmt.Errorf("the backup %s is not whole, and nothing was changed: %s", m.ID, wrong[0])
	}
	if err == nil {
		err = store.MarkCopy(ctx, db, cfg.Now(), m.ID, m.TakenAt)
	}
	return m, backup.Named(backup.Blame(cfg.DataDir, ofSQLite(err)), db, name)
}

// copyDatabase makes a database file a backup of nothing else.
func copyDatabase(ctx context.Context, from, to string) (m backup.Manifest, err error) {
	info, err := os.Stat(from)
	if err != nil {
		return m, err
	}
	written := lastWritten(from, info)
	if err := store.Copy(ctx, from, to); err != nil {
		return m, err
	}
	f, err := store.Inspect(ctx, to)
	if err == nil && f.Schema == 0 {
		err = fmt.Errorf("%s is not a database of lodge", from)
	}
	// The file may have been put together just now, from what is much older.
	taken := written
	if !f.At.IsZero() && f.At.Before(taken) {
		taken = f.At
	}
	return backup.Manifest{
		ID: filepath.Base(from), TakenAt: taken.UTC(), Schema: f.Schema, Instances: f.Instances,
		Files: []backup.File{{Name: backup.Database, Size: info.Size()}},
	}, err
}

// lastWritten is when something was last put into a database file or its log, where
// the newest commits are.
func lastWritten(path string, info fs.FileInfo) time.Time {
	at := info.ModTime()
	if log, err := os.Stat(path + "-wal"); err == nil && log.Size() > 0 && log.ModTime().After(at) {
		at = log.ModTime()
	}
	return at
}

// setAside moves what has a name in the data dir to the folder of what was there.
// What is in that folder already stays there: then it is a killed restore that put
// the other one into place.
func setAside(cfg Config, name, aside string) error {
	from, to := cfg.path(filepath.FromSlash(name)), filepath.Join(aside, filepath.FromSlash(name))
	if !there(from) {
		return nil
	}
	for n := 2; there(to); n++ {
		to = filepath.Join(fmt.Sprintf("%s/try-%d", aside, n), filepath.FromSlash(name))
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return fmt.Errorf("move aside what was there: %w", err)
	}
	atRestoreStep()
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("move aside what was there: %w", err)
	}
	return syncFolder(filepath.Dir(to))
}

func putInPlace(cfg Config, work, name, aside string, r *Restored) error {
	if err := setAside(cfg, name, aside); err != nil {
		return err
	}
	to := cfg.path(filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return fmt.Errorf("restore %s: %w", name, err)
	}
	atRestoreStep()
	if err := os.Rename(filepath.Join(work, filepath.FromSlash(name)), to); err != nil {
		return fmt.Errorf("restore %s: %w", name, err)
	}
	r.Files = append(r.Files, name)
	return syncFolder(filepath.Dir(to))
}

func there(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && (info.IsDir() || info.Size() > 0 || filepath.Base(path) == restoring)
}

// begin says in the data dir that a restore puts things into place, and makes the
// folder for what is there. One that was killed before has one already.
func begin(cfg Config, name string) (aside string, err error) {
	if kept, err := keptIn(cfg); err == nil && kept != "" && there(kept) {
		return kept, nil
	}
	if err := errors.Join(writeWhole(cfg.path(restoring), name), syncFolder(cfg.DataDir)); err != nil {
		return "", err
	}
	if err := os.MkdirAll(cfg.path(name), 0o700); err != nil {
		return "", fmt.Errorf("make a folder for what was there: %w", err)
	}
	return cfg.path(name), syncFolder(cfg.DataDir)
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// keptIn is the folder that a restore which has begun keeps things in; "" when its
// mark does not say so.
func keptIn(cfg Config) (string, error) {
	name, err := os.ReadFile(cfg.path(restoring))
	if err != nil || !strings.HasPrefix(string(name), "replaced-") || filepath.Base(string(name)) != string(name) {
		return "", err
	}
	return cfg.path(string(name)), nil
}

// refuseHalfRestore keeps a daemon from a data dir that a restore has not
// finished. One that was killed before it moved anything has changed nothing.
func refuseHalfRestore(cfg Config) error {
	kept, err := keptIn(cfg)
	if errors.Is(err, fs.ErrNotExist) || err == nil && kept != "" && !there(kept) {
		return nil
	}
	return fmt.Errorf("a restore was begun in %s and did not end; run `lodged backup restore` again", cfg.DataDir)
}

// Aftermath is what became of the last restore, as the database has it.
type Aftermath struct {
	Restore cloud.Restore
	Found   bool
	Orphans []cloud.Orphan
}

// ReadAftermath reads it from a copy of the database, so that a lodged may run.
func ReadAftermath(ctx context.Context, cfg Config) (a Aftermath, err error) {
	work, done, err := backup.Scratch(cfg.DataDir)
	if err != nil {
		return a, backup.Blame(cfg.DataDir, err)
	}
	defer func() { err = errors.Join(backup.Blame(cfg.DataDir, ofSQLite(err)), done()) }()
	copied := filepath.Join(work, backup.Database)
	if err := store.Copy(ctx, cfg.database(), copied); err != nil {
		return a, err
	}
	db, err := store.Open(copied)
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if a.Restore, a.Found, err = db.Restored(ctx); err != nil {
		return a, err
	}
	a.Orphans, err = db.Orphans(ctx, cloud.Caller{Operator: true, Via: "backup"})
	return a, err
}

// sweepWork removes what killed backups and restores have left of their work. What
// stays takes room and harms nothing.
func sweepWork(cfg Config) {
	if err := backup.Sweep(cfg.DataDir); err != nil {
		cfg.Log.Warn("remove what a killed backup or restore has left", "err", err)
	}
	if err := store.Sweep(cfg.path("lodge.db")); err != nil {
		cfg.Log.Warn("remove what a killed start has left", "err", err)
	}
}

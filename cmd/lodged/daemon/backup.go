package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/mattn/go-sqlite3"
	"golang.org/x/sys/unix"

	"lodge/backup"
	"lodge/cloud"
	"lodge/meter"
	"lodge/store"
	"lodge/timetable"
)

// Backups is where backups are kept and how.
type Backups struct {
	To          string // a folder, or s3:https://host/bucket/prefix; "" nowhere
	Credentials string // file with the keys of a bucket; "" as the AWS tools do
	Schedule    string // five fields of cron, UTC; "" none
	Keep        backup.Keep
	Recipient   age.Recipient // nil: not encrypted
	Config      string        // the config file, which goes in too; "" none
}

// ConfigCopy is the name of the config file in a backup and after a restore: it is
// for a person to put where it belongs.
const ConfigCopy = "lodged.yaml.restored"

// backedUp are the files and folders of the data dir that a fresh machine needs;
// leftOut are the others. A test holds them against what a daemon makes.
var (
	backedUp = []string{"host-id", "tls", "acme", "oidc.key"}
	leftOut  = []string{"lodge.db", "lodge.db-wal", "lodge.db-shm", "sim.db", "sim.db-wal", "sim.db-shm", "lodged.lock", "lodge.sock", "disks", "console"}
)

// OpenBackups opens the place of the backups.
func (c Config) OpenBackups() (backup.Place, error) {
	if c.Backups.To == "" {
		return nil, cloud.Errorf(cloud.CodeInvalid, "No place for backups is set; give --backup-to a folder or s3:https://host/bucket/prefix.")
	}
	return backup.OpenPlace(c.Backups.To, backup.Options{Credentials: c.Backups.Credentials})
}

// BackupSource is what a backup of this data dir that is made by hand is made of. A
// daemon may run on it or not.
func (c Config) BackupSource() (backup.Source, error) {
	id, err := os.ReadFile(c.path("host-id"))
	if err != nil {
		return backup.Source{}, fmt.Errorf("host id: %w", err)
	}
	s := backup.Source{
		Copy: func(ctx context.Context, to string) error { return ofSQLite(store.Copy(ctx, c.database(), to)) },
		Facts: func(ctx context.Context, path string) (backup.Facts, error) {
			f, err := store.Inspect(ctx, path)
			facts := factsOf(f)
			if err == nil && f.At.After(c.Now()) {
				facts.At = c.ownTime(ctx, path, strings.TrimSpace(string(id)))
			}
			return facts, err
		},
		Dir: c.DataDir, Files: backedUp, Work: c.DataDir,
		HostID: strings.TrimSpace(string(id)), Version: c.Version, Now: c.Now, To: c.Backups.Recipient,
	}
	if c.Backups.Config != "" {
		s.Extra = []backup.Input{{Name: ConfigCopy, Path: c.Backups.Config}}
	}
	return s, nil
}

func factsOf(f store.Facts) backup.Facts {
	return backup.Facts{Schema: f.Schema, Instances: f.Instances, Links: f.Links, Head: f.Head}
}

// ownTime is lodge's own time, as a copy of its database has kept it; zero when it
// has not. It stays ahead of a wall clock that was set back, and what the schedule
// makes is named by it: what is made by hand would be older than that by its name,
// and latest another one.
func (c Config) ownTime(ctx context.Context, copied, hostID string) (at time.Time) {
	if c.Clocks == nil {
		return at
	}
	second := copied + ".clock" // opening it writes
	defer os.Remove(second)
	if err := store.Copy(ctx, copied, second); err != nil {
		return at
	}
	db, err := store.Open(second)
	if err != nil { // that of a newer lodge
		return at
	}
	defer db.Close()
	kept, known, err := db.KeptClock(ctx, hostID)
	tick, failed := turnable(c.Clocks)()
	if err != nil || failed != nil || !known {
		return at
	}
	anchor, _ := meter.Admit(kept, tick)
	return meter.Time(meter.Begin(anchor, true, tick), tick)
}

// judgeWhole reads a copy of a database whole: SQLite's checks. It changes nothing.
// Of a newer lodge's it cannot say more, for its tables may be others.
func judgeWhole(ctx context.Context, path string) (wrong []string, f backup.Facts, err error) {
	facts, err := store.Inspect(ctx, path)
	known := store.Newest()
	newer := facts.Schema > known
	if err == nil || newer {
		wrong, err = store.Check(ctx, path)
	}
	if newer && err == nil && len(wrong) == 0 {
		//lint:ignore ST1005 It is a sentence for whoever verifies a backup.
		err = backup.Unjudged{Err: fmt.Errorf("The database %s has schema version %d and this lodge knows versions up to %d; its bytes and references are whole, and for more use the lodge that made it or a newer one. Nothing was changed.", path, facts.Schema, known)}
	}
	return wrong, factsOf(facts), ofSQLite(err)
}

// JudgeDatabase is judgeWhole, and has the ledger computed again. The copy is
// brought up to date for that.
func JudgeDatabase(ctx context.Context, path string) (wrong []string, f backup.Facts, err error) {
	if wrong, f, err = judgeWhole(ctx, path); err != nil || len(wrong) > 0 {
		return wrong, f, err
	}
	err = store.ReadCopy(ctx, path, func(l cloud.Ledger) error {
		report, err := meter.Verify(l)
		for _, finding := range report.Findings {
			wrong = append(wrong, fmt.Sprintf("ledger, %s: %s (row %d of %s)", finding.Check, finding.Message, finding.Row, finding.Table))
		}
		return err
	})
	return wrong, f, ofSQLite(err)
}

// noSpace is an error of SQLite on a full disk.
type noSpace struct{ error }

// Error says it once: what ends a copy says again what its step has said.
func (n noSpace) Error() string {
	first, _, _ := strings.Cut(n.error.Error(), "\n")
	return first
}

func (n noSpace) Unwrap() error        { return n.error }
func (n noSpace) Is(target error) bool { return target == unix.ENOSPC }

func ofSQLite(err error) error {
	var se sqlite3.Error
	if errors.As(err, &se) && (se.Code == sqlite3.ErrFull || se.SystemErrno == unix.ENOSPC || se.SystemErrno == unix.EDQUOT) {
		return noSpace{err}
	}
	return err
}

// openBackups makes the runner of the schedule; nil when there is none.
func (d *Daemon) openBackups(hostID string) (*backup.Runner, error) {
	b := d.cfg.Backups
	if b.Schedule == "" {
		return nil, nil
	}
	p, err := d.cfg.OpenBackups()
	if err != nil {
		return nil, errors.New(Plain(err))
	}
	s, err := d.cfg.BackupSource()
	if err != nil {
		return nil, err
	}
	next, err := BackupTimes(b.Schedule)
	if err != nil {
		return nil, err
	}
	s.Scheduled = true // by lodge's own time
	s.Facts = func(ctx context.Context, path string) (backup.Facts, error) {
		f, err := store.Inspect(ctx, path)
		return factsOf(f), err
	}
	installed := time.Time{}
	if info, err := os.Stat(d.cfg.path("host-id")); err == nil {
		installed = info.ModTime()
	}
	return &backup.Runner{
		Since: installed,
		Place: p, Source: s, Keep: b.Keep, Next: next, Now: d.cfg.Now, Log: d.cfg.Log,
		Told: func(ctx context.Context, m backup.Manifest, err error) {
			why := ""
			if err != nil {
				why = Plain(err)
			}
			if err := d.db.RecordBackup(ctx, hostID, d.cfg.Now(), m.ID, why); err != nil {
				d.cfg.Log.Error("record a backup", "err", err)
			}
		},
	}, nil
}

// BackupTimes reads the schedule of backups.
func BackupTimes(text string) (func(time.Time) time.Time, error) {
	next, err := timetable.Every(text)
	if err != nil {
		return nil, fmt.Errorf("--backup-schedule %q: use five fields of cron in UTC, as '0 * * * *': %w", text, err)
	}
	return next, nil
}

// backupStats is for scrapes; nil when no backups are scheduled.
func (d *Daemon) backupStats() func() cloud.BackupStats {
	if d.backups == nil {
		return nil
	}
	return func() cloud.BackupStats {
		st := d.backups.State()
		return cloud.BackupStats{Last: st.Last, Failures: st.Failures, Failed: !st.Failed.IsZero(), Bytes: st.Bytes}
	}
}

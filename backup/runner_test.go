package backup_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lodge/backup"
)

// away is a place that may not answer.
type away struct {
	backup.Place
	list, manifest atomic.Bool
}

var errAway = errors.New("no route to host")

func (a *away) List(ctx context.Context) ([]string, error) {
	if a.list.Load() {
		return nil, errAway
	}
	return a.Place.List(ctx)
}

func (a *away) Manifest(ctx context.Context, id string) (backup.Manifest, error) {
	if a.manifest.Load() {
		return backup.Manifest{}, errAway
	}
	return a.Place.Manifest(ctx, id)
}

// daily runs a runner whose time is each midnight, with the bubble's clock.
type daily struct {
	t     *testing.T
	dir   string
	place *away
	told  []error
	*backup.Runner
}

func newDaily(t *testing.T) *daily {
	dir := t.TempDir()
	d := &daily{t: t, dir: dir, place: &away{Place: place(t, dir)}}
	s := source(t)
	s.Now, s.Scheduled = time.Now, true
	d.Runner = &backup.Runner{
		Place: d.place, Source: s, Keep: backup.Keep{Hourly: 100}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Next: func(after time.Time) time.Time { return after.Truncate(24 * time.Hour).Add(24 * time.Hour) },
		Told: func(_ context.Context, _ backup.Manifest, err error) { d.told = append(d.told, err) },
	}
	return d
}

// run has it run for a while.
func (d *daily) run(long time.Duration, meanwhile ...func()) {
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { d.Run(ctx); close(done) }()
	time.Sleep(long)
	for _, f := range meanwhile {
		synctest.Wait()
		f()
	}
	stop()
	<-done
}

func (d *daily) kept() int {
	d.t.Helper()
	ids, err := d.place.Place.List(ctx)
	if err != nil {
		d.t.Fatal(err)
	}
	return len(ids)
}

// Whoever has a schedule has a backup: lodged may be down at each of its times. The
// first one waits for its time: that of an empty host in the place of a lost one
// would be the latest.
func TestWhatWasMissedIsMadeAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDaily(t)
		time.Sleep(10 * time.Hour)
		d.Since = time.Now()
		for day := range 5 {
			d.run(time.Hour)
			if n := d.kept(); n != day {
				t.Fatalf("on day %d there are %d backups", day, n)
			}
			d.run(time.Hour) // again on the same day: nothing was missed
			time.Sleep(22 * time.Hour)
		}
		if n := d.kept(); n != 4 {
			t.Errorf("there are %d backups", n)
		}
	})
}

// A host that was installed by a clock that was ahead has a backup too.
func TestAHostOfATimeToComeHasABackup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDaily(t)
		time.Sleep(10 * time.Hour)
		d.Since = time.Now().AddDate(70, 0, 0)
		d.run(time.Hour)
		d.run(time.Hour)
		if n := d.kept(); n != 1 {
			t.Errorf("there are %d backups", n)
		}
	})
}

// A place that does not answer at the start is asked until it does, and its failure
// is seen.
func TestAPlaceThatIsAwayAtTheStartIsAskedAgain(t *testing.T) {
	for name, away := range map[string]func(*away) *atomic.Bool{
		"its list":   func(a *away) *atomic.Bool { return &a.list },
		"a manifest": func(a *away) *atomic.Bool { return &a.manifest },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDaily(t)
				time.Sleep(10 * time.Hour)
				d.run(time.Hour)
				time.Sleep(48 * time.Hour) // at 11
				d.told = nil
				away(d.place).Store(true)
				d.run(5*time.Minute, func() {
					if st := d.State(); st.Failures != 1 || st.Failed.IsZero() || len(d.told) != 1 || !errors.Is(d.told[0], errAway) {
						t.Errorf("nobody sees it: %+v, told %v", st, d.told)
					}
					away(d.place).Store(false)
					time.Sleep(time.Minute)
					synctest.Wait()
					if n := d.kept(); n != 2 {
						t.Errorf("what was missed was not made: %d", n)
					}
					if st := d.State(); !st.Failed.IsZero() || st.Failures != 1 {
						t.Errorf("it is still a failure: %+v", st)
					}
					time.Sleep(time.Hour)
				})
				if n := d.kept(); n != 2 {
					t.Errorf("it was made %d times", n-1)
				}
			})
		})
	}
}

// The times of the schedule go on while the place does not say what it has, and
// each failure is told.
func TestTheScheduleGoesOnWhileThePlaceIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDaily(t)
		time.Sleep(10 * time.Hour)
		d.place.list.Store(true)
		d.run(38*time.Hour + time.Minute)
		if n := d.kept(); n != 2 {
			t.Errorf("at two midnights %d were made", n)
		}
	})
}

// One of a time to come neither stops the schedule nor is of a negative age, and
// one that cannot be read is none.
func TestABackupOfATimeToComeStopsNoSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDaily(t)
		time.Sleep(10 * time.Hour)
		s := d.Source
		s.Now = func() time.Time { return time.Now().AddDate(70, 0, 0) }
		future, err := backup.Make(ctx, d.place, s)
		if err != nil {
			t.Fatal(err)
		}
		d.run(48*time.Hour, func() {
			if age := time.Since(d.State().Last); age < 0 || age > 24*time.Hour {
				t.Errorf("the newest is %v old", age)
			}
		})
		ids, err := d.place.List(ctx)
		if err != nil || len(ids) != 4 || !slices.Contains(ids, future.ID) {
			t.Fatalf("kept %v, %v", ids, err)
		}
		for _, id := range ids[1:] {
			if err := os.WriteFile(filepath.Join(d.dir, id, "manifest.json"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		d.run(time.Minute)
		if n := d.kept(); n != 5 {
			t.Errorf("none that can be read is there, and %d are kept", n)
		}
	})
}

// A clock that is set back makes no age negative, and the next time is made.
func TestAClockThatIsSetBackStopsNoSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDaily(t)
		var ahead atomic.Int64
		ahead.Store(int64(1000 * time.Hour))
		d.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		d.Source.Now = d.Now
		d.run(time.Hour, func() {
			ahead.Store(0)
			if age := time.Since(d.State().Last); age < 0 {
				t.Errorf("the newest is %v old", age)
			}
			time.Sleep(24 * time.Hour)
		})
		if n := d.kept(); n != 2 {
			t.Errorf("%d are kept", n)
		}
	})
}

package backup

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Runner makes backups at their times and removes those that are too many.
type Runner struct {
	Place  Place
	Source Source
	Keep   Keep
	// Next is the first time after an instant.
	Next func(after time.Time) time.Time
	// Told hears of each outcome: the manifest, or why there is none.
	Told func(ctx context.Context, m Manifest, err error)
	Now  func() time.Time
	Log  *slog.Logger

	mu    sync.Mutex
	state State
}

// State is what the last backups came to.
type State struct {
	Last     time.Time // the newest that is kept; zero: none is known
	Failed   time.Time // the last failure since
	Failures int64     // since the start
	Bytes    int64     // of the newest
}

// rest is how long the Runner sleeps at most: its clock may step.
const rest = time.Minute

// State is for those who look.
func (r *Runner) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// Run makes backups until ctx ends. What was missed while it did not run is made
// once, at the start.
func (r *Runner) Run(ctx context.Context) {
	if _, err := r.Place.Sweep(ctx, r.Source.HostID, r.Now()); err != nil && ctx.Err() == nil {
		r.Log.Error("remove what is left of backups", "err", err)
	}
	last := r.newest(ctx)
	for ctx.Err() == nil {
		due := r.Next(last)
		now := r.Now()
		if !due.IsZero() && !due.After(now) {
			last = now
			r.Once(ctx)
			continue
		}
		wait := rest
		if !due.IsZero() {
			wait = min(rest, due.Sub(now))
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}

// newest is the time of the newest backup of this host; now when there is none, or
// nobody can say.
func (r *Runner) newest(ctx context.Context) time.Time {
	ids, err := r.Place.List(ctx)
	if err != nil {
		return r.Now()
	}
	for _, id := range ids {
		if !mine(id, r.Source.HostID) {
			continue
		}
		if m, err := r.Place.Manifest(ctx, id); err == nil {
			r.mu.Lock()
			r.state.Last, r.state.Bytes = m.TakenAt, m.Archive.Size
			r.mu.Unlock()
			return m.TakenAt
		}
	}
	return r.Now()
}

// Once makes one backup, and removes those that nothing keeps when it was made.
func (r *Runner) Once(ctx context.Context) {
	m, err := Make(ctx, r.Place, r.Source)
	if err != nil && ctx.Err() != nil {
		return // lodged ends; what was begun is swept
	}
	r.mu.Lock()
	if err != nil {
		r.state.Failed = r.Now()
		r.state.Failures++
	} else {
		r.state.Last, r.state.Failed, r.state.Bytes = m.TakenAt, time.Time{}, m.Archive.Size
	}
	r.mu.Unlock()
	if err == nil {
		r.Log.Info("backup", "id", m.ID, "bytes", m.Archive.Size)
		if e := r.prune(ctx); e != nil && ctx.Err() == nil {
			r.Log.Error("remove old backups", "err", e)
		}
	} else {
		r.Log.Error("backup", "err", err)
	}
	if r.Told != nil {
		r.Told(ctx, m, err)
	}
}

func (r *Runner) prune(ctx context.Context) error {
	ids, err := r.Place.List(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range r.Keep.Expired(ids, r.Source.HostID) {
		errs = append(errs, r.Place.Delete(ctx, id))
	}
	_, err = r.Place.Sweep(ctx, r.Source.HostID, r.Now())
	return errors.Join(append(errs, err)...)
}

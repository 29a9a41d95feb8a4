package backup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"lodge/cloud"
)

// Runner makes backups at their times and removes those that are too many.
type Runner struct {
	Place  Place
	Source Source
	Keep   Keep
	// Next is the first time after an instant.
	Next func(after time.Time) time.Time
	// Since is when the host was installed: without a backup, what was due since then
	// was missed. Zero, or a time to come: something was.
	Since time.Time
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

// State is for those who look. No backup in it is of a time to come.
func (r *Runner) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.state
	if now := r.Now(); s.Last.After(now) {
		s.Last = now
	}
	return s
}

// Run makes backups until ctx ends. What was missed while it did not run is made
// once, at the start, also when there was never one. Not before the first time is
// due: an empty host that has been given the place of a lost one, to be restored
// from there, would be the latest in it.
func (r *Runner) Run(ctx context.Context) {
	if _, err := r.Place.Sweep(ctx, r.Source.HostID, r.Now()); err != nil && ctx.Err() == nil {
		r.Log.Error("remove what is left of backups", "err", err)
	}
	last, err := r.newest(ctx)
	known := err == nil
	if !known {
		// Until the place says what it has, only the times to come are due.
		last = r.Now()
		r.tell(ctx, Manifest{}, err)
	}
	for ctx.Err() == nil {
		now := r.Now()
		if last.After(now) {
			last = now // the clock was set back
		}
		due := now
		if !last.IsZero() {
			due = r.Next(last)
		}
		if !due.IsZero() && !due.After(now) {
			last = now
			known = r.Once(ctx) || known
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
		if !known {
			if at, err := r.newest(ctx); err == nil {
				last, known = at, true
			}
		}
	}
}

// newest is when the newest backup of this host was made, or since when there could
// be one; zero: one is missing. What cannot be read is none, and what was made by a clock that was ahead, or was
// renamed, says nothing of what is due.
func (r *Runner) newest(ctx context.Context) (time.Time, error) {
	ids, err := r.Place.List(ctx)
	if err != nil {
		return time.Time{}, fmt.Errorf("look for the newest backup: %w", err)
	}
	for _, id := range ids {
		if !mine(id, r.Source.HostID) {
			continue
		}
		m, err := r.Place.Manifest(ctx, id)
		if unreadable(err) || cloud.CodeOf(err) == cloud.CodeNotFound || err == nil && m.TakenAt.After(r.Now()) {
			continue
		}
		if err != nil {
			return time.Time{}, fmt.Errorf("look for the newest backup: %w", err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.state.Last, r.state.Failed, r.state.Bytes = m.TakenAt, time.Time{}, m.Archive.Size
		return m.TakenAt, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.Failed = time.Time{}
	if r.Since.After(r.Now()) {
		return time.Time{}, nil
	}
	return r.Since, nil
}

// Once makes one backup, and removes those that nothing keeps when it was made. It
// reports whether it was.
func (r *Runner) Once(ctx context.Context) bool {
	m, err := Make(ctx, r.Place, r.Source)
	if err == nil {
		r.Log.Info("backup", "id", m.ID, "bytes", m.Archive.Size)
		if e := r.prune(ctx); e != nil && ctx.Err() == nil {
			r.Log.Error("remove old backups", "err", e)
		}
	}
	r.tell(ctx, m, err)
	return err == nil
}

// tell keeps what came of a try, and says it to who wants to hear.
func (r *Runner) tell(ctx context.Context, m Manifest, err error) {
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
	if err != nil {
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
	for _, id := range r.Keep.Expired(ids, r.Source.HostID, r.Now()) {
		errs = append(errs, r.Place.Delete(ctx, id))
	}
	_, err = r.Place.Sweep(ctx, r.Source.HostID, r.Now())
	return errors.Join(append(errs, err)...)
}

package timetable

import (
	"context"
	"log/slog"
	"time"

	"lodge/cloud"
)

// Board is what running schedules needs of the store.
type Board interface {
	Schedules(ctx context.Context, c cloud.Caller, tenantID string) ([]cloud.Schedule, error)
	ApplySchedule(ctx context.Context, now time.Time, s cloud.Schedule, do cloud.ScheduleDo, at time.Time) (more bool, err error)
	ReleaseSchedule(ctx context.Context, now time.Time, id string) (more bool, err error)
	NextEvents(tenantID string) <-chan struct{}
}

// Runner has schedules act at their times. Of those that were missed only the
// last counts.
type Runner struct {
	Board Board
	Now   func() time.Time
	Log   *slog.Logger
}

// rest is how long the Runner sleeps at most: the ledger's clock may step.
const rest = 20 * time.Second

// running may see all schedules.
var running = cloud.Caller{Operator: true, Via: "schedule"}

// Run runs the schedules until ctx ends.
func (r *Runner) Run(ctx context.Context) {
	for ctx.Err() == nil {
		bell := r.Board.NextEvents("")
		next, err := r.Apply(ctx)
		if err != nil && ctx.Err() == nil {
			r.Log.Error("run schedules", "err", err)
		}
		wait := rest
		if err == nil && !next.IsZero() {
			wait = max(0, min(wait, next.Sub(r.Now())))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-bell:
			pause := time.NewTimer(min(wait, time.Second))
			select {
			case <-ctx.Done():
			case <-pause.C:
			}
			pause.Stop()
		}
		timer.Stop()
	}
}

// Apply does what is due of all schedules, and says when the next of them is;
// zero when there is none.
func (r *Runner) Apply(ctx context.Context) (next time.Time, err error) {
	all, err := r.Board.Schedules(ctx, running, "")
	if err != nil {
		return next, err
	}
	for _, s := range all {
		if s.Owes() {
			if err := r.release(ctx, s); err != nil {
				return next, err
			}
		}
		if !s.Enabled {
			continue
		}
		t, err := Read(s)
		if err != nil {
			r.Log.Error("read a schedule", "schedule", s.ID, "err", err)
			continue
		}
		now := r.Now()
		if at, do := t.Latest(s.CheckedAt, now); !at.IsZero() {
			for more := true; more; {
				if more, err = r.Board.ApplySchedule(ctx, now, s, do, at); err != nil {
					return next, err
				}
			}
			if do == cloud.ScheduleStart {
				if err := r.release(ctx, s); err != nil {
					return next, err
				}
			}
		}
		if at, _ := t.Next(now); !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next, nil
}

// release starts all that a schedule has stopped and need not keep so.
func (r *Runner) release(ctx context.Context, s cloud.Schedule) error {
	for more := true; more && ctx.Err() == nil; {
		var err error
		if more, err = r.Board.ReleaseSchedule(ctx, r.Now(), s.ID); err != nil {
			return err
		}
	}
	return nil
}

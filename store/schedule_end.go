package store

import (
	"context"
	"time"

	"lodge/cloud"
)

// DeleteSchedule ends a schedule and starts what it has stopped. left is true when
// that was too much for one transaction: the schedule is there, with its DeletedAt,
// until ReleaseSchedule has done the rest. To delete it once more then changes
// nothing. Returns CodeNotFound, CodePrecondition.
func (d *DB) DeleteSchedule(ctx context.Context, c cloud.Caller, now time.Time, id string) (s cloud.Schedule, left bool, err error) {
	err = d.write(ctx, now, c, "schedule.delete", func(t *tx) (err error) {
		if s, err = schedule(t, c, id); err != nil {
			return err
		}
		t.answer = s
		if err := c.Expects(s.Tag()); err != nil {
			return err
		}
		if !s.DeletedAt.IsZero() {
			left = true
			return nil
		}
		_, err = t.exec(`
			UPDATE schedule
			SET enabled = 0,
			    deleted_at = ?,
			    updated_at = ?,
			    revision = revision + 1
			WHERE id = ?`, stamp(t.now), stamp(t.now), id)
		if err != nil {
			return err
		}
		if err := t.scheduleEvent(s, "schedule.deleted", "The schedule "+s.Name+" was deleted."); err != nil {
			return err
		}
		if left, err = t.dropSchedule(s); err != nil || !left {
			return err
		}
		s, err = schedule(t, c, id)
		return err
	})
	return s, left, err
}

// dropSchedule is dropBudget for a schedule.
func (t *tx) dropSchedule(s cloud.Schedule) (left bool, err error) {
	if left, err = t.release(cloud.Ref{Kind: cloud.KindSchedule, ID: s.ID}, s.TenantID); err != nil || left {
		return left, err
	}
	_, err = t.exec(`DELETE FROM schedule WHERE id = ?`, s.ID)
	return false, err
}

// ReleaseSchedule starts what a schedule has stopped and need not keep so: it was
// switched off or deleted, or its time to start has come. more is true when there
// is more of that than one transaction does; call again then.
func (d *DB) ReleaseSchedule(ctx context.Context, now time.Time, id string) (more bool, err error) {
	err = d.write(ctx, now, scheduler, "schedule.start", func(t *tx) error {
		s, err := schedule(t, scheduler, id)
		if cloud.CodeOf(err) == cloud.CodeNotFound {
			return nil
		}
		switch {
		case err != nil || !s.Owes():
			return err
		case !s.DeletedAt.IsZero():
			more, err = t.dropSchedule(s)
		default:
			more, err = t.release(cloud.Ref{Kind: cloud.KindSchedule, ID: id}, s.TenantID)
		}
		return err
	})
	return more, err
}

package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"lodge/cloud"
)

// openLedger reads what the ledger's writers need to know, and covers what a
// lodge without the chain has left.
func (d *DB) openLedger(ctx context.Context) error {
	var floor sql.NullInt64
	s := d.read(ctx)
	if err := s.row(`SELECT MAX(wall) FROM usage_clock_step WHERE adopted = 1`).Scan(&floor); err != nil {
		return fail("open ledger", err)
	}
	d.floor.Store(floor.Int64)
	old, err := exists(s, `
		SELECT 1
		WHERE NOT EXISTS (SELECT 1 FROM usage_seal)
		  AND (EXISTS (SELECT 1 FROM usage_fact) OR EXISTS (SELECT 1 FROM usage_interval) OR EXISTS (SELECT 1 FROM usage_drop))`)
	if err != nil {
		return fail("open ledger", err)
	}
	cover := (*tx).sealOld
	if !old {
		// Only of what was opened before the openings were covered, and only once: a row
		// that somebody puts in later must not get a link.
		cover = (*tx).sealOpen
		old, err = exists(s, `
			SELECT 1
			WHERE NOT EXISTS (SELECT 1 FROM usage_seal WHERE kind = 'opened')
			  AND EXISTS (
			    SELECT 1
			    FROM usage_interval
			    WHERE ended_at IS NULL
			      AND seq < (SELECT from_seq FROM usage_opening)
			  )
			  AND NOT EXISTS (
			    SELECT 1
			    FROM usage_interval
			    WHERE seq >= (SELECT from_seq FROM usage_opening)
			  )`)
	}
	if err != nil || !old {
		return fail("open ledger", err)
	}
	return d.write(ctx, time.UnixMilli(floor.Int64), reconciler, "seal ledger", cover)
}

// Clock is what ties the ledger's time to the clocks of a host, as of its last
// heartbeat; ok is false before the first.
func (d *DB) Clock(ctx context.Context, hostID string) (a cloud.ClockAnchor, ok bool, err error) {
	var boot, at int64
	err = d.read(ctx).row(`
		SELECT
		  boot_id,
		  boot_ns,
		  at_ns
		FROM usage_clock
		WHERE host_id = ?`, hostID).Scan(&a.BootID, &boot, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return a, false, nil
	}
	a.Boot, a.At = time.Duration(boot), time.Unix(0, at).UTC()
	return a, err == nil, fail("read clock", err)
}

// keptClock is the clock of a host with what else tells of it; found is false before
// the first heartbeat.
func keptClock(s source, hostID string) (c cloud.KeptClock, found bool, err error) {
	all, err := keptClocks(s, ` WHERE c.host_id = ?`, hostID)
	if err != nil || len(all) == 0 {
		return c, false, err
	}
	return all[0], true, nil
}

func keptClocks(s source, where string, args ...any) ([]cloud.KeptClock, error) {
	row, err := lastRow(s)
	if err != nil {
		return nil, err
	}
	return collect(s, func(rows *sql.Rows) (c cloud.KeptClock, err error) {
		var boot, at, counted, beat, event, back int64
		err = rows.Scan(&c.HostID, &c.Anchor.BootID, &boot, &at, &counted, &beat, &event, &back)
		c.Anchor.Boot, c.Anchor.At = time.Duration(boot), time.Unix(0, at).UTC()
		looked := max(beat, counted) // an hour is closed when it was looked beyond it
		// A wish writes rows too, as the deletion of an image does, and nobody may have
		// looked since.
		counted = max(counted, row.UnixMilli())
		c.Counted, c.Looked, c.Latest = time.UnixMilli(counted).UTC(), time.UnixMilli(looked).UTC(), time.UnixMilli(max(event, looked, counted)).UTC()
		c.Back = time.Duration(back) * time.Millisecond
		return c, err
	}, `
		SELECT
		  c.host_id,
		  c.boot_id,
		  c.boot_ns,
		  c.at_ns,
		  MAX(
		    COALESCE((SELECT MAX(wall) FROM usage_clock_step WHERE adopted = 1), 0),
		    COALESCE((SELECT MAX(hour) + 3600000 FROM usage_close), 0)
		  ),
		  COALESCE(h.heartbeat_at, 0),
		  COALESCE((SELECT at FROM event ORDER BY seq DESC LIMIT 1), 0),
		  COALESCE((
		    SELECT s.at - s.wall
		    FROM usage_clock_step s
		    WHERE s.host_id = c.host_id
		      AND s.adopted = 0
		    ORDER BY s.seq DESC
		    LIMIT 1
		  ), 0)
		FROM usage_clock c
		JOIN host h ON h.id = c.host_id`+where, args...)
}

// KeptClock is what is kept of a host's clock; found is false before the first
// heartbeat.
func (d *DB) KeptClock(ctx context.Context, hostID string) (c cloud.KeptClock, found bool, err error) {
	c, found, err = keptClock(d.read(ctx), hostID)
	return c, found, fail("read clock", err)
}

// RefuseClock puts another anchor in the place of the one that is kept of a host,
// with an event that says why.
func (d *DB) RefuseClock(ctx context.Context, hostID string, a cloud.ClockAnchor, why string) error {
	return d.write(ctx, a.At, reconciler, "refuse clock", func(t *tx) error {
		h, err := host(t, hostID)
		if err != nil {
			return err
		}
		if err := t.keepClock(hostID, a); err != nil {
			return err
		}
		if h.HeartbeatAt.After(a.At) { // it is refused too: nobody has looked then
			if _, err := t.exec(`UPDATE host SET heartbeat_at = ? WHERE id = ?`, stamp(a.At), hostID); err != nil {
				return err
			}
		}
		return t.event("", cloud.Ref{Kind: cloud.KindHost, ID: hostID}, h.Name, "host.clock_refused", why, nil)
	})
}

func (t *tx) keepClock(hostID string, a cloud.ClockAnchor) error {
	_, err := t.exec(`
		INSERT INTO usage_clock (
		  host_id,
		  boot_id,
		  boot_ns,
		  at_ns
		) VALUES (?, ?, ?, ?)
		ON CONFLICT (host_id) DO UPDATE
		SET boot_id = excluded.boot_id,
		    boot_ns = excluded.boot_ns,
		    at_ns = excluded.at_ns`, hostID, a.BootID, int64(a.Boot), a.At.UnixNano())
	return err
}

// StepClock writes down a step of the wall clock. When it is adopted, all that
// is counted on the host ends at its At and goes on at its Wall, so that no
// interval is longer than what passed, and nothing is written with an earlier
// time any more. after is the anchor behind the step; the one that holds is
// returned: what was written since the clocks were read moves the step, and it.
func (d *DB) StepClock(ctx context.Context, step cloud.ClockStep, after cloud.ClockAnchor) (cloud.ClockAnchor, error) {
	now, holds := step.At, after
	if step.Adopted {
		now = step.Wall
	}
	err := d.moveFloor(ctx, now, "step clock", func(t *tx) (err error) {
		holds, err = t.stepClock(step, after)
		return err
	})
	return holds, err
}

// moveFloor runs f in a transaction that may raise the floor.
func (d *DB) moveFloor(ctx context.Context, now time.Time, what string, f func(*tx) error) error {
	was := d.floor.Load()
	err := d.write(ctx, now, reconciler, what, func(t *tx) error {
		if err := f(t); err != nil {
			return err
		}
		d.floor.Store(t.floor)
		return nil
	})
	if err != nil {
		d.floor.Store(was)
	}
	return err
}

// BootClock begins the ledger's time of a host anew behind a boot, at after.At,
// or where the last row is when that is later; it returns the anchor that holds.
//
// Nobody knows how long the host was off: its clock may have been set meanwhile,
// or not been kept. So all that was counted ends at the last look before and
// goes on now; that a host is off is nobody's to pay.
func (d *DB) BootClock(ctx context.Context, hostID string, after cloud.ClockAnchor) (cloud.ClockAnchor, error) {
	err := d.moveFloor(ctx, after.At, "boot clock", func(t *tx) error {
		h, err := host(t, hostID)
		if err != nil {
			return err
		}
		last, err := lastRow(t)
		if err != nil {
			return err
		}
		if last.After(after.At) {
			after.At = last
		}
		step := cloud.ClockStep{HostID: hostID, At: h.HeartbeatAt, Wall: moment(stamp(after.At)), Adopted: true}
		if step.At.IsZero() || !step.Wall.After(step.At) {
			return t.keepClock(hostID, after)
		}
		return t.adopt(h, step, after, cloud.EvidenceHeartbeat, "The host was booted; nothing is billed from the last look at it, at "+
			step.At.Format(time.RFC3339)+", until "+step.Wall.Format(time.RFC3339)+".")
	})
	return after, err
}

// lastRow is the latest moment that an interval bears.
func lastRow(s source) (time.Time, error) {
	var ended, began sql.NullInt64
	err := s.row(`
		SELECT
		  MAX((SELECT MAX(ended_at) FROM usage_interval WHERE tenant_id = t.id)),
		  MAX((SELECT MAX(started_at) FROM usage_interval WHERE tenant_id = t.id AND ended_at IS NULL))
		FROM tenant t`).Scan(&ended, &began)
	if began.Int64 > ended.Int64 {
		ended = began
	}
	return moment(ended), err
}

func (t *tx) stepClock(step cloud.ClockStep, after cloud.ClockAnchor) (cloud.ClockAnchor, error) {
	h, err := host(t, step.HostID)
	if err != nil {
		return after, err
	}
	step.At, step.Wall = moment(stamp(step.At)), moment(stamp(step.Wall))
	if !step.Adopted {
		message := "The clock was set back by " + step.At.Sub(step.Wall).String() + "; usage goes by the time since boot, ahead of it, until it has caught up."
		return after, t.writeStep(h, step, after, message)
	}
	// What was written since the clocks were read is before the step: it is as
	// long as it was, and happened later. Time goes on behind the step, or what
	// goes on there would begin in the future.
	last, err := lastRow(t)
	if err != nil {
		return after, err
	}
	if late := last.Sub(step.At); late > 0 {
		step.At, step.Wall, after.At = step.At.Add(late), step.Wall.Add(late), after.At.Add(late)
	}
	return after, t.adopt(h, step, after, cloud.EvidenceClock,
		"The clock was set forward by "+step.Wall.Sub(step.At).String()+"; nothing is billed for that time.")
}

// adopt follows a step: what is counted leaves it out, and nothing is written
// with a time before its end any more.
func (t *tx) adopt(h cloud.Host, step cloud.ClockStep, after cloud.ClockAnchor, evidence cloud.Evidence, message string) error {
	t.floor = step.Wall.UnixMilli()
	t.now = notBefore(t.now, t.floor)
	if err := t.writeStep(h, step, after, message); err != nil {
		return err
	}
	return t.splitIntervals(step, evidence)
}

func (t *tx) writeStep(h cloud.Host, step cloud.ClockStep, after cloud.ClockAnchor, message string) (err error) {
	step.Seq, err = t.insert(`
		INSERT INTO usage_clock_step (
		  host_id,
		  at,
		  wall,
		  adopted
		) VALUES (?, ?, ?, ?)`, step.HostID, stamp(step.At), stamp(step.Wall), step.Adopted)
	if err != nil {
		return err
	}
	if err := t.seal(cloud.SealStep, step.Seq, step.Sealed()); err != nil {
		return err
	}
	if err := t.keepClock(step.HostID, after); err != nil {
		return err
	}
	return t.event("", cloud.Ref{Kind: cloud.KindHost, ID: step.HostID}, h.Name, "host.clock_step", message, nil)
}

// splitIntervals closes what is open at the step's beginning and opens it again
// at its end.
func (t *tx) splitIntervals(step cloud.ClockStep, evidence cloud.Evidence) error {
	open, err := collect(t, scanInterval, intervalQuery+` INDEXED BY usage_interval_open
		WHERE ended_at IS NULL
		ORDER BY seq`)
	if err != nil {
		return err
	}
	for _, iv := range open {
		iv.EndedAt, iv.Evidence = step.At, evidence
		ch := cloud.MeterChange{Open: []cloud.Opening{{Reading: iv.Reading, From: step.Wall}}}
		if step.At.After(iv.StartedAt) {
			ch.Close = []cloud.Interval{iv}
		} else {
			ch.Drop = []cloud.Interval{iv}
		}
		if err := t.writeMeters(iv.TenantID, iv.ResourceID, iv.Resource, ch); err != nil {
			return err
		}
	}
	return nil
}

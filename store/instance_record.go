package store

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"lodge/cloud"
)

// RecordInstance writes what was seen of an instance, with its event and its
// usage, in one transaction. A record that changes nothing writes nothing; one
// about an instance that is gone is dropped.
//
// Returns CodeNotFound when there is no such instance, CodeConflict for a record
// that a wanted instance is gone.
func (d *DB) RecordInstance(ctx context.Context, r cloud.InstanceRecord) error {
	r.At, r.EndAt = moment(stamp(r.At)), moment(stamp(r.EndAt))
	changes, err := d.wouldChange(d.read(ctx), r)
	if err != nil || !changes {
		return fail("record instance", err)
	}
	err = d.write(ctx, r.At, reconciler, "record instance", func(t *tx) error {
		k, err := t.instance(r.ID)
		if cloud.CodeOf(err) == cloud.CodeNotFound {
			return t.missingInstance(r.ID)
		}
		if err != nil {
			return err
		}
		r.At = t.now
		ch, err := recordChange(t, k.seen, r)
		if err != nil || ch.nothing() {
			return err
		}
		if err := t.record(ch); err != nil {
			return err
		}
		st := ch.now.standing(k.instance)
		return t.judge(r.ID, func(o cloud.Operation) (cloud.OperationState, *cloud.OperationError) { return o.OnInstance(st) })
	})
	if err == nil && r.State == cloud.StateGone && !r.Unseen {
		d.cache.drop(r.ID)
	}
	return err
}

// wouldChange reports whether a record has anything to write. For most records
// of a sweep it has not, and that costs one short read.
func (d *DB) wouldChange(s source, r cloud.InstanceRecord) (bool, error) {
	k, err := d.known(s, r.ID)
	if err != nil {
		// Gone or never there: the transaction finds out which.
		return cloud.CodeOf(err) == cloud.CodeNotFound, ignoreNotFound(err)
	}
	n := k.seen.after(r)
	if n.differs(k.seen) {
		return true, nil
	}
	if r.Unseen {
		return false, nil
	}
	if r.RootSeen && k.seen.rootRequested {
		return true, nil
	}
	if m := k.metered.Load(); m != nil && slices.Equal(*m, r.Readings) {
		return false, nil
	}
	ch, err := recordChange(s, k.seen, r)
	if err != nil || !ch.nothing() {
		return true, err
	}
	// A change of the intervals is a change of the revision too, so this holds
	// as long as the entry does.
	readings := slices.Clone(r.Readings)
	k.metered.Store(&readings)
	return false, nil
}

func ignoreNotFound(err error) error {
	if cloud.CodeOf(err) == cloud.CodeNotFound {
		return nil
	}
	return err
}

// missingInstance tells a tombstone, which a record leaves alone, from nothing.
func (t *tx) missingInstance(id string) error {
	gone, err := exists(t, `SELECT 1 FROM instance WHERE id = ?`, id)
	if err == nil && !gone {
		err = noInstance(id)
	}
	return err
}

// seen is the seen side of an instance, and what of the wish decides about it.
type seen struct {
	tenantID, name string
	power          cloud.Power
	generation     int64
	deleted        bool
	gone           bool
	rootRequested  bool

	state        cloud.State
	task         cloud.Task
	problem      *cloud.Problem
	ofHost       bool // the problem is the host's
	decided      int64
	observed     int64
	boots        int64
	vcpus        int
	memoryMiB    int
	startedAt    time.Time
	guestStopped bool // the guest's own wish becomes the tenant's
}

// change is what a record has to write.
type change struct {
	record     cloud.InstanceRecord
	was, now   seen
	rootSeen   bool
	meters     cloud.MeterChange
	rowChanged bool
}

func (c change) nothing() bool {
	return !c.rowChanged && !c.rootSeen &&
		len(c.meters.Close) == 0 && len(c.meters.Drop) == 0 && len(c.meters.Open) == 0
}

// recordChange compares a record with what is kept.
func recordChange(s source, was seen, r cloud.InstanceRecord) (change, error) {
	c := change{record: r, was: was, now: was.after(r)}
	if c.now.gone && !was.deleted {
		return c, cloud.Errorf(cloud.CodeConflict, "The instance %s is wanted, so it cannot be recorded gone.", r.ID)
	}
	c.rowChanged = c.now.differs(was)
	if r.Unseen {
		return c, nil
	}
	c.rootSeen = r.RootSeen && was.rootRequested
	open, err := openIntervals(s, r.ID)
	if err != nil {
		return c, err
	}
	c.meters = cloud.ChangeMeters(open, r.Readings, r.At, r.EndAt, r.Evidence)
	return c, nil
}

// after is the seen side once the record is written.
func (s seen) after(r cloud.InstanceRecord) seen {
	n := s
	if !sameProblem(s.problem, r.Problem) {
		n.problem, n.ofHost = r.Problem, false
	}
	n.decided = max(s.decided, r.Generation)
	if r.Unseen {
		return n
	}
	n.state, n.task = r.State, r.Task
	n.observed = max(s.observed, r.ObservedGeneration)
	n.boots = max(s.boots, r.ObservedBoots)
	n.vcpus, n.memoryMiB = r.RunningVCPUs, r.RunningMemoryMiB
	switch {
	case !r.State.Runs():
		n.startedAt = time.Time{}
	case !s.state.Runs() || s.startedAt.IsZero():
		n.startedAt = r.At
	}
	if r.State == cloud.StateGone {
		n.gone, n.task, n.problem, n.ofHost = true, cloud.TaskNone, nil, false
		n.vcpus, n.memoryMiB = 0, 0
	}
	if r.GuestStopped && s.generation == r.Generation && s.power == cloud.PowerOn && !s.deleted {
		// The wish becomes what was seen, so it is observed as it is made.
		n.guestStopped, n.power, n.generation = true, cloud.PowerOff, s.generation+1
		n.decided = n.generation
		if n.observed == s.generation {
			n.observed = n.generation
		}
	}
	return n
}

// differs reports whether a seen column changed.
func (s seen) differs(was seen) bool {
	same := sameProblem(s.problem, was.problem) && s.ofHost == was.ofHost
	s.problem, was.problem = nil, nil
	return !same || s != was
}

// record writes a change. Nobody else writes the seen columns but the host's
// problem; of the wanted ones only a guest's own stop is written here.
func (t *tx) record(c change) error {
	id := c.record.ID
	if err := t.writeSeen(id, c); err != nil {
		return err
	}
	if c.now.guestStopped {
		if err := t.writeGuestStopped(id, c.now.generation); err != nil {
			return err
		}
	}
	if c.rootSeen {
		if err := t.rootSeen(id); err != nil {
			return err
		}
	}
	if err := t.recordMeters(id, c); err != nil {
		return err
	}
	if r := c.record.Traffic; r != nil && c.now.startedAt.IsZero() {
		if err := t.writeTraffic(c.was.tenantID, c.was.startedAt, *r); err != nil {
			return err
		}
	}
	if c.now.gone {
		if err := t.volumesGone(id); err != nil {
			return err
		}
		if err := t.releasePortsOf(id); err != nil {
			return err
		}
	}
	return t.recordEvents(c)
}

func (t *tx) recordMeters(id string, c change) error {
	for m := c.meters; ; {
		if err := t.writeMeters(c.was.tenantID, id, c.was.name, m); err != nil || !m.Again {
			return err
		}
		open, err := openIntervals(t, id)
		if err != nil {
			return err
		}
		m = cloud.ChangeMeters(open, c.record.Readings, c.record.At, time.Time{}, cloud.EvidenceSeen)
	}
}

// writeSeen writes the seen columns. It runs for a change of the root volume or
// of the meters alone too: the cache trusts that the revision tells of both.
func (t *tx) writeSeen(id string, c change) error {
	n := c.now
	p := columnsOf(n.problem, c.was.problem, t.now)
	var gone sql.NullInt64
	if n.gone {
		gone = stamp(t.now)
	}
	_, err := t.exec(`
		UPDATE instance
		SET state = ?,
		    task = ?,
		    problem_code = ?,
		    problem_message = ?,
		    problem_since = ?,
		    problem_retry_at = ?,
		    problem_attempts = ?,
		    problem_of_host = ?,
		    decided_generation = ?,
		    observed_generation = ?,
		    observed_boots = ?,
		    running_vcpus = ?,
		    running_memory_mib = ?,
		    started_at = ?,
		    gone_at = ?,
		    updated_at = ?,
		    revision = revision + 1
		WHERE id = ?`,
		string(n.state),
		string(n.task),
		p.code,
		p.message,
		p.since,
		p.retryAt,
		p.attempts,
		n.ofHost,
		n.decided,
		n.observed,
		n.boots,
		n.vcpus,
		n.memoryMiB,
		stamp(n.startedAt),
		gone,
		stamp(t.now),
		id,
	)
	return err
}

// writeGuestStopped makes a guest's own stop the wish.
func (t *tx) writeGuestStopped(id string, generation int64) error {
	_, err := t.exec(`
		UPDATE instance
		SET power = 'stopped',
		    power_force = 0,
		    power_at = ?,
		    wished_at = ?,
		    generation = ?
		WHERE id = ?`, stamp(t.now), stamp(t.now), generation, id)
	return err
}

// recordEvents tells of a new state and of a problem that came or went. The
// host's own problem is an event of the host.
func (t *tx) recordEvents(c change) error {
	subject := cloud.Ref{Kind: cloud.KindInstance, ID: c.record.ID}
	if c.now.state != c.was.state {
		err := t.event(c.was.tenantID, subject, c.was.name, "instance."+string(c.now.state),
			stateSentence(c), map[string]string{"from": string(c.was.state)})
		if err != nil {
			return err
		}
	}
	before := c.was.problem
	if c.was.ofHost || c.now.gone {
		before = nil
	}
	after := c.now.problem
	if c.now.ofHost {
		after = nil
	}
	return t.problemEvent(c.was.tenantID, subject, c.was.name, before, after)
}

func stateSentence(c change) string {
	name := "The instance " + c.was.name
	switch c.now.state {
	case cloud.StateBuilding:
		return name + " is being built."
	case cloud.StateRunning:
		return name + " is running."
	case cloud.StateStopped:
		if c.now.guestStopped {
			return name + " shut itself down."
		}
		return name + " is stopped."
	case cloud.StatePaused:
		return name + " is paused."
	case cloud.StateSleeping:
		return name + " is asleep."
	case cloud.StateError:
		return name + " cannot go on by itself."
	case cloud.StateGone:
		return name + " is gone."
	}
	return name + " is " + string(c.now.state) + "."
}

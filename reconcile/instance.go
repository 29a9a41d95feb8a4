package reconcile

import (
	"context"
	"sync"
	"time"

	"lodge/cloud"
)

// rounds bounds how often one turn looks and acts. A new instance needs four:
// parts, definition, start, and the look that finds it running.
const rounds = 8

// instance looks at one instance, records what is seen, does what Plan says,
// and looks again until there is nothing left to do now.
func (l *Loop) instance(ctx context.Context, id string) {
	ref := cloud.Ref{Kind: cloud.KindInstance, ID: id}
	m := l.mem.get(id)
	defer func() { m.lookedAt = time.Time{}; l.mem.put(id, m) }()

	var nets map[string]cloud.HostNetwork
	swept, helped := false, false
	for range rounds {
		l.work.fresh(ref)
		w, ok := l.wish(ctx, ref)
		if !ok {
			m = memory{}
			return
		}
		now := l.Now()
		if proved(w, m, now) {
			m.attempts = 0
		}
		w.ObservedBoots = max(w.ObservedBoots, m.boots)
		pause := time.Duration(0)
		if m.generation == w.Generation {
			pause = m.retryAt.Sub(now)
		}
		s, err := l.look(ctx, w, nets)
		if err != nil {
			if pause > 0 {
				l.work.markAfter(ref, pause)
				return
			}
			l.fail(ctx, ref, w, &m, cloud.InstanceRecord{Unseen: true}, err)
			return
		}
		m.lookedAt = now
		s.AskedAt, s.RanAt, s.Swept = m.askedAt, l.ranAt(id), swept
		d := Plan(w, s, now)
		if pause > 0 && (len(d.Steps) > 0 || len(d.Needs) > 0) {
			l.pause(ctx, ref, w, &m, d, pause)
			return
		}
		nets = settledNets(s, d)
		if d.Throttle != nil && l.throttle(ctx, ref, w, &m, d) {
			return
		}
		if !helped && len(d.Steps) > 0 && d.Record.Problem == nil && m.generation == w.Generation {
			d.Record.Problem = w.Problem // it is over when a step has shown so, not when one is tried
		}
		if err := l.record(ctx, w, &m, d.Record); err != nil {
			l.retryRecord(ref, err)
			return
		}
		l.settled(&m, w, d, now)
		for _, n := range d.Needs {
			l.work.mark(cloud.Ref{Kind: cloud.KindNetwork, ID: n})
		}
		if d.Record.State == cloud.StateGone {
			m = memory{}
			return
		}
		l.readTraffic(ctx, w, d)
		if err := l.run(ctx, d, &m); err != nil {
			if d.Throttle != nil {
				m.attempts-- // counted there; a repair that fails is one attempt
			}
			l.fail(ctx, ref, w, &m, d.Record, err)
			l.suspectNetworks(w, err)
			return
		}
		swept, helped = swept || removesGuest(d), helped || len(d.Steps) > 0
		switch {
		case !d.Again.IsZero():
			l.work.markAfter(ref, d.Again.Sub(l.Now()))
			return
		case d.Record.GuestStopped: // the wish has changed: settle it
		case len(d.Steps) == 0:
			return
		}
	}
	l.work.markAfter(ref, backoffFirst)
}

// wish reads the instance; ok is false when there is nothing (left) to do.
func (l *Loop) wish(ctx context.Context, ref cloud.Ref) (cloud.InstanceWish, bool) {
	ws, err := l.Instances.InstanceWishes(ctx, l.HostID, []string{ref.ID})
	if err != nil {
		l.retryRecord(ref, err)
		return cloud.InstanceWish{}, false
	}
	if len(ws) == 0 {
		l.told.answer(ref.ID, l.Now()) // nobody's, or gone
		return cloud.InstanceWish{}, false
	}
	return ws[0], true
}

// run does the steps of one decision side by side: each needs only what was
// already seen, so none waits for another. The first error is returned when all
// have ended.
func (l *Loop) run(ctx context.Context, d Decision, m *memory) error {
	errs := make([]error, len(d.Steps))
	all := func() {
		var wg sync.WaitGroup
		for i, step := range d.Steps {
			wg.Go(func() {
				start := l.Now()
				errs[i] = l.do(ctx, step)
				l.Log.Debug("step", "step", step.String(), "took", l.Now().Sub(start), "err", errs[i])
			})
		}
		wg.Wait()
	}
	if asksGuest(d.Steps) {
		l.places.lend(all)
	} else {
		all()
	}
	for i, step := range d.Steps {
		if errs[i] != nil {
			return errs[i]
		}
		switch {
		case step.Power == cloud.ActShutdown:
			m.askedAt = l.Now()
		case step.Power == cloud.ActDestroy, step.Verb == VerbRemoveGuest:
			// When nobody tells of it: the guest may have ended by itself since the look
			// that saw it run, and the call has then found it so.
			m.endedAt = m.lookedAt
		}
		m.boots = max(m.boots, step.Boots)
	}
	return nil
}

// ran reports whether the instance was last seen with a guest that is on.
func ran(w cloud.InstanceWish) bool {
	return w.State.Runs()
}

func removesGuest(d Decision) bool {
	for _, s := range d.Steps {
		if s.Verb == VerbRemoveGuest {
			return true
		}
	}
	return false
}

// settled forgets failures once the guest has proved itself.
func (l *Loop) settled(m *memory, w cloud.InstanceWish, d Decision, now time.Time) {
	if len(d.Steps) > 0 || len(d.Needs) > 0 || d.Record.Problem != nil {
		return
	}
	// A run that was not recorded before has no start yet: it begins now.
	young := w.StartedAt.IsZero() || now.Sub(w.StartedAt) < quickEnd || now.Sub(m.helpedAt) < quickEnd
	if d.Record.State != cloud.StateRunning || !young {
		m.attempts = 0
	}
	m.retryAt, m.away = time.Time{}, 0
	if w.Boots == d.Record.ObservedBoots {
		m.boots = 0
	}
}

// throttle spaces out repairs of what keeps coming back. It reports whether the
// turn is over; the first repair is made at once.
func (l *Loop) throttle(ctx context.Context, ref cloud.Ref, w cloud.InstanceWish, m *memory, d Decision) bool {
	now := l.Now()
	if m.generation != w.Generation {
		m.attempts = 0 // a new wish is tried at once
	}
	m.generation = w.Generation
	if m.attempts == 0 || (!m.retryAt.IsZero() && !m.retryAt.After(now)) {
		m.attempts++
		m.retryAt, m.helpedAt = time.Time{}, now
		return false
	}
	l.fail(ctx, ref, w, m, d.Record, d.Throttle)
	return true
}

// pause writes down what is seen although the steps have to wait: a run that is
// over is over, and its meters with it.
func (l *Loop) pause(ctx context.Context, ref cloud.Ref, w cloud.InstanceWish, m *memory, d Decision, left time.Duration) {
	d.Record.Problem = w.Problem
	if err := l.record(ctx, w, m, d.Record); err != nil {
		l.retryRecord(ref, err)
		return
	}
	l.work.markAfter(ref, left)
}

// record writes down what was seen. While that fails the end of a run is kept in
// mind: it ended when it was first seen over, not when the store took it.
func (l *Loop) record(ctx context.Context, w cloud.InstanceWish, m *memory, r cloud.InstanceRecord) error {
	if r.Unseen {
		return l.Instances.RecordInstance(ctx, r)
	}
	l.endOf(&r, w, m.endedAt)
	if hidden := l.evidence(ctx, &r, w); hidden != nil {
		l.final(hidden, w)
		if err := l.Instances.RecordInstance(ctx, *hidden); err != nil {
			return err
		}
	}
	l.final(&r, w)
	over := ran(w) && r.State != cloud.StateRunning && r.State != cloud.StatePaused
	if !over {
		m.overAt = time.Time{}
	} else if !m.overAt.IsZero() && (r.EndAt.IsZero() || m.overAt.Before(r.EndAt)) {
		r.EndAt, r.Evidence = m.overAt, cloud.EvidenceSeen
	}
	err := l.Instances.RecordInstance(ctx, r)
	switch {
	case err == nil:
		m.overAt, m.endedAt = time.Time{}, time.Time{}
		l.told.answer(w.ID, m.lookedAt)
	case over && m.overAt.IsZero():
		m.overAt = r.At
	}
	return err
}

// proved reports whether the guest has gone on for long enough since its start,
// and since it last had to be helped, for what comes next to be a new failure.
func proved(w cloud.InstanceWish, m memory, now time.Time) bool {
	if w.State != cloud.StateRunning || now.Sub(w.StartedAt) < quickEnd || now.Sub(m.helpedAt) < quickEnd {
		return false
	}
	return w.Problem == nil || w.Problem.Code == cloud.CodeGuestCrashed || w.Problem.Code == cloud.CodeGuestPaused
}

// fail shows the error on the instance and tries again later.
func (l *Loop) fail(ctx context.Context, ref cloud.Ref, w cloud.InstanceWish, m *memory, r cloud.InstanceRecord, err error) {
	now := l.Now()
	code := cloud.CodeOf(err)
	attempts := m.count(code)
	l.backoffs.Add(1)
	m.generation = w.Generation
	wait := backoff(ref.ID, attempts)
	if code == cloud.CodeHypervisor {
		wait = min(wait, 5*time.Second) // one cause for all, and its end is told
	}
	m.retryAt = now.Add(wait)
	p := problem(w.Problem, code, cloud.MessageOf(err), now)
	p.RetryAt, p.Attempts = m.retryAt, attempts
	r.ID, r.Generation, r.Problem, r.At = w.ID, w.Generation, p, now
	l.Log.Warn("instance", "id", w.ID, "name", w.Name, "code", string(code), "attempts", attempts, "retry_in", wait.Round(time.Millisecond), "err", err)
	if err := l.record(ctx, w, m, r); err != nil {
		l.retryRecord(ref, err)
		return
	}
	l.work.markAfter(ref, wait)
}

// suspectNetworks has the networks of a guest that did not start looked at: one
// that lost its bridge is mended before the start is tried again.
func (l *Loop) suspectNetworks(w cloud.InstanceWish, err error) {
	if cloud.CodeOf(err) != cloud.CodeGuestFailed {
		return
	}
	for _, id := range networkIDs(w) {
		l.work.mark(cloud.Ref{Kind: cloud.KindNetwork, ID: id})
	}
}

// retryRecord comes back later when the store did not take a record.
func (l *Loop) retryRecord(ref cloud.Ref, err error) {
	l.Log.Error("store", "kind", string(ref.Kind), "id", ref.ID, "err", err)
	l.work.markAfter(ref, backoffFirst)
}

package reconcile

import (
	"context"
	"slices"
	"time"

	"lodge/cloud"
)

// sweep compares everything with one bulk look and marks what differs. It is
// the one thing that has to work: bells and hints only make it sooner.
func (l *Loop) sweep(ctx context.Context) {
	now := l.Now()
	ctx, end := l.Observe.Begin(ctx, cloud.WorkSweep, "sweep", "")
	guests, disks, nets, err := l.lookAll(ctx)
	defer func() { end(err) }()
	if err != nil {
		l.blind(ctx, now, err)
		return
	}
	wishes, err := l.Instances.InstanceWishes(ctx, l.HostID, nil)
	if err != nil {
		l.Log.Error("sweep: wishes", "err", err)
		return
	}
	// Behind a boot of the host all guests are off: they come back as they were made.
	slices.SortStableFunc(wishes, func(a, b cloud.InstanceWish) int { return a.CreatedAt.Compare(b.CreatedAt) })
	gap := l.gap.Load()
	for _, w := range wishes {
		s := assemble(w, guests, disks, nets)
		s.RanAt = l.ranAt(w.ID)
		d := Plan(w, s, now)
		overdue := l.notice(d.Record, w)
		if gap != 0 || overdue {
			l.endOf(&d.Record, w, time.Time{})
			if err := l.recordEnd(ctx, &d.Record, w, now); err != nil {
				l.Log.Error("sweep: record", "id", w.ID, "err", err)
				return // the gap stays open: the evidence must not be lost
			}
		}
		if differs(w, d) {
			l.work.mark(cloud.Ref{Kind: cloud.KindInstance, ID: w.ID})
		}
	}
	l.sweepMeters(ctx)
	l.sweepTraffic(ctx, wishes, guests)
	l.sweepNetworks(ctx, nets)
	if err := l.Images.RecordImageFiles(ctx, l.HostID, now, disks); err != nil {
		l.Log.Error("sweep: images", "err", err)
	}
	if l.Restores != nil {
		if err := l.Restores.RecordOrphans(ctx, l.HostID, now, cloud.HostSight{Guests: guests, Disks: disks, Networks: nets}); err != nil {
			l.Log.Error("sweep: orphans", "err", err)
		}
	}
	if l.blinded.Swap(false) {
		l.mem.forgive() // what failed for want of a host is tried at once
	}
	l.gap.CompareAndSwap(gap, 0)
	if err := l.Hosts.RecordHostProblem(ctx, l.HostID, now, nil); err != nil {
		l.Log.Error("sweep: host", "err", err)
	}
	l.looked.Store(now.UnixMilli())
	// An end that is known and not recorded yet must not seem to be later: the
	// heartbeat is what the next start would take it for.
	if err := l.Hosts.Heartbeat(ctx, l.HostID, l.told.earliest(now)); err != nil {
		l.Log.Error("sweep: heartbeat", "err", err)
	}
}

// sweepMeters has what was seen and is not counted recorded again, which counts it
// from then on. A record writes both at once, so somebody has taken rows away.
func (l *Loop) sweepMeters(ctx context.Context) {
	ids, err := l.Instances.UnmeteredInstances(ctx, l.HostID)
	if err != nil {
		l.Log.Error("sweep: meters", "err", err)
	}
	for _, id := range ids {
		l.Log.Error("an instance was not counted, and is from now on; run lodge usage verify", "id", id)
		l.work.mark(cloud.Ref{Kind: cloud.KindInstance, ID: id})
	}
}

// recordEnd writes down a run that ended while nobody looked, or that no worker
// has come to.
func (l *Loop) recordEnd(ctx context.Context, r *cloud.InstanceRecord, w cloud.InstanceWish, looked time.Time) error {
	hidden := l.evidence(ctx, r, w)
	if hidden != nil {
		l.final(hidden, w)
		if err := l.Instances.RecordInstance(ctx, *hidden); err != nil {
			return err
		}
	}
	if hidden == nil && r.EndAt.IsZero() {
		return nil
	}
	l.final(r, w)
	if err := l.Instances.RecordInstance(ctx, *r); err != nil {
		return err
	}
	l.told.answer(w.ID, looked)
	return nil
}

func (l *Loop) lookAll(ctx context.Context) (map[string]cloud.Guest, map[cloud.DiskKey]cloud.Disk, map[string]cloud.HostNetwork, error) {
	guests, err := l.Guests.LookGuests(ctx, nil)
	if err != nil {
		return nil, nil, nil, err
	}
	disks, err := l.Disks.LookDisks(ctx, nil)
	if err != nil {
		return nil, nil, nil, err
	}
	nets, err := l.Nets.LookNetworks(ctx, nil)
	return guests, disks, nets, err
}

// blind records that the host cannot be looked at. From the last heartbeat on
// nobody saw the guests, so that is when what has ended will have ended.
func (l *Loop) blind(ctx context.Context, now time.Time, cause error) {
	l.openGapAtHeartbeat(ctx)
	l.blinded.Store(true)
	l.looked.Store(0)
	p := problem(nil, cloud.CodeOf(cause), cloud.MessageOf(cause), now)
	p.RetryAt = now.Add(l.SweepEvery)
	if err := l.Hosts.RecordHostProblem(ctx, l.HostID, now, p); err != nil {
		l.Log.Error("sweep: host", "err", err)
	}
	l.Log.Warn("sweep: the host does not answer", "err", cause)
}

// differs reports whether an instance needs a worker. Deciding on a bulk look
// is enough to know that; the worker looks again before it acts.
func differs(w cloud.InstanceWish, d Decision) bool {
	r := d.Record
	return len(d.Steps) > 0 || len(d.Needs) > 0 || r.GuestStopped ||
		r.State != w.State || r.Task != w.Task ||
		(r.Problem == nil) != (w.Problem == nil) ||
		r.ObservedGeneration != w.ObservedGeneration || r.ObservedBoots != w.ObservedBoots ||
		r.RunningVCPUs != w.RunningVCPUs || r.RunningMemoryMiB != w.RunningMemoryMiB ||
		(r.RootSeen && w.Root.State != cloud.VolumeAvailable)
}

func (l *Loop) sweepNetworks(ctx context.Context, nets map[string]cloud.HostNetwork) {
	wishes, err := l.Networks.NetworkWishes(ctx, l.HostID, nil)
	if err != nil {
		l.Log.Error("sweep: networks", "err", err)
		return
	}
	for _, w := range wishes {
		var seen *cloud.HostNetwork
		if n, ok := nets[w.ID]; ok {
			seen = &n
		}
		if steps, gone := PlanNetwork(w, seen); len(steps) > 0 || gone {
			l.work.mark(cloud.Ref{Kind: cloud.KindNetwork, ID: w.ID})
		}
	}
	var strays []string
	l.strays, strays = PlanStrays(wishes, nets, l.strays, l.Now(), strayFor*l.SweepEvery)
	for _, id := range strays {
		l.work.mark(cloud.Ref{Kind: cloud.KindNetwork, ID: id})
	}
}

// network brings one network to what its ports need, then lets the instances
// that waited for it go on.
func (l *Loop) network(ctx context.Context, id string) {
	ref := cloud.Ref{Kind: cloud.KindNetwork, ID: id}
	m := l.mem.get(id)
	defer func() { l.mem.put(id, m) }()
	if wait := m.retryAt.Sub(l.Now()); wait > 0 {
		l.work.markAfter(ref, wait)
		return
	}
	for range 3 {
		wishes, err := l.Networks.NetworkWishes(ctx, l.HostID, []string{id})
		if err != nil {
			l.retryRecord(ref, err)
			return
		}
		if len(wishes) == 0 {
			l.stray(ctx, id)
			return
		}
		w := wishes[0]
		steps, gone, err := l.stepNetwork(ctx, w)
		if err != nil {
			l.failNetwork(ctx, ref, w, &m, err)
			return
		}
		if steps > 0 {
			continue
		}
		m = memory{}
		if gone || w.Problem != nil {
			if err := l.Networks.RecordNetwork(ctx, l.Now(), id, nil, gone); err != nil {
				l.retryRecord(ref, err)
			}
		}
		if w.LivePorts > 0 {
			l.ring(ctx)
		}
		return
	}
}

// stepNetwork looks at the network and runs what it needs.
func (l *Loop) stepNetwork(ctx context.Context, w cloud.NetworkWish) (done int, gone bool, err error) {
	nets, err := l.Nets.LookNetworks(ctx, []string{w.ID})
	if err != nil {
		return 0, false, err
	}
	var seen *cloud.HostNetwork
	if n, ok := nets[w.ID]; ok {
		seen = &n
	}
	steps, gone := PlanNetwork(w, seen)
	for _, s := range steps {
		if err := l.do(ctx, s); err != nil {
			return 0, false, err
		}
	}
	return len(steps), gone, nil
}

func (l *Loop) failNetwork(ctx context.Context, ref cloud.Ref, w cloud.NetworkWish, m *memory, err error) {
	now := l.Now()
	m.attempts++
	l.backoffs.Add(1)
	wait := backoff(ref.ID, m.attempts)
	m.retryAt = now.Add(wait)
	p := problem(w.Problem, cloud.CodeOf(err), cloud.MessageOf(err), now)
	p.RetryAt, p.Attempts = m.retryAt, m.attempts
	l.Log.Warn("network", "id", ref.ID, "code", string(p.Code), "attempts", m.attempts, "err", err)
	if err := l.Networks.RecordNetwork(ctx, now, ref.ID, p, false); err != nil {
		l.Log.Error("record network", "id", ref.ID, "err", err)
	}
	l.work.markAfter(ref, wait)
	l.ring(ctx) // the instances that wait for it show why
}

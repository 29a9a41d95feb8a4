package reconcile

import (
	"context"
	"time"

	"lodge/cloud"
)

// skewMost is how far the ledger's time may be from the host's wall clock for a
// time that the host wrote down to mean something in the ledger.
const skewMost = time.Second

// evidence says when a run that was over before anybody looked again ended, at
// best: as the host wrote it down, else at the last moment it was seen. What is
// found off gets it as its EndAt. For a guest that is on again the run in
// between is returned as a record of its own, to be written first.
func (l *Loop) evidence(ctx context.Context, r *cloud.InstanceRecord, w cloud.InstanceWish) (hidden *cloud.InstanceRecord) {
	gap := l.gap.Load()
	if gap == 0 || !ran(w) || r.Unseen {
		return nil
	}
	runs := r.State.Runs()
	end := l.ended(ctx, w, time.UnixMilli(gap))
	if runs && (!end.Over || end.At.After(r.At)) { // what ended since it was seen is seen next
		return nil
	}
	at, ev := end.At, cloud.EvidenceLog
	if at.IsZero() {
		at, ev = time.UnixMilli(gap), cloud.EvidenceHeartbeat
	}
	if runs && w.DeletedAt.IsZero() {
		return between(*r, w, at, ev)
	}
	// What the host wrote down is better than the last look.
	better := ev == cloud.EvidenceLog && r.Evidence == cloud.EvidenceHeartbeat
	if r.EndAt.IsZero() || at.Before(r.EndAt) || better {
		r.EndAt, r.Evidence = at, ev
	}
	return nil
}

// ended asks the host for the end of the run that was last seen at seen. A run
// that was found later than that is known since it was found.
func (l *Loop) ended(ctx context.Context, w cloud.InstanceWish, seen time.Time) cloud.GuestEnd {
	if l.Ends == nil {
		return cloud.GuestEnd{}
	}
	skew := time.Duration(0)
	if l.Skew != nil {
		skew = l.Skew()
	}
	if skew.Abs() > skewMost {
		return cloud.GuestEnd{}
	}
	if w.StartedAt.After(seen) {
		seen = w.StartedAt
	}
	// The host writes by its own clock: an end just before the run began must not
	// look like the end of the run.
	end, err := l.Ends.GuestEnd(ctx, w.ID, seen.Add(-skew), l.Now().Add(-skew))
	if err != nil {
		l.Log.Warn("evidence of an end", "id", w.ID, "err", err)
		return cloud.GuestEnd{}
	}
	if !end.At.IsZero() {
		end.At = end.At.Add(skew)
	}
	return end
}

// between records that a guest which is on was off since at: the run that was
// counted is over, and the one that is on counts from when it was found. It does
// as little as it may: no wish is fulfilled by it.
func between(r cloud.InstanceRecord, w cloud.InstanceWish, at time.Time, ev cloud.Evidence) *cloud.InstanceRecord {
	r.State, r.Problem, r.GuestStopped = cloud.StateStopped, w.Problem, false
	r.ObservedGeneration, r.ObservedBoots = w.ObservedGeneration, w.ObservedBoots
	r.RunningVCPUs, r.RunningMemoryMiB = 0, 0
	r.Readings = cloud.Readings(r.State, cloud.Size{VCPUs: w.VCPUs, MemoryMiB: w.MemoryMiB, DiskGiB: w.Root.SizeGiB}, r.RootSeen)
	r.EndAt, r.Evidence = at, ev
	return &r
}

package reconcile

import (
	"context"
	"slices"
	"sync"
	"time"

	"lodge/cloud"
)

// trafficBatch is how many guests' bytes are written in one transaction, so that
// the others that write do not wait long at the end of an hour.
const trafficBatch = 500

// readings are the last looks at the counters of guests that run. What is lost
// with them was counted since the newest row, and only of guests that end before
// the next look.
type readings struct {
	mu sync.Mutex
	m  map[string]cloud.TrafficReading
	// doubted are runs whose counters began again at the last sweep: the counters
	// may be those of a run that is not recorded yet.
	doubted map[string]time.Time
	// written is until when all that a run counted is known to be written down.
	written map[string]span
}

// span is the part of a run up to an instant.
type span struct{ run, until time.Time }

// put keeps a reading and gives back the one before it, nil when that is of
// another run. One whose counters began again is not taken before the sweep
// after it, when the run is still the same: then a NIC was put in anew.
func (k *readings) put(r cloud.TrafficReading, sweep bool) (before *cloud.TrafficReading, taken bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if b, ok := k.m[r.InstanceID]; ok && b.Run.Equal(r.Run) {
		before = &b
	}
	if before != nil && beganAgain(*before, r) && !k.doubted[r.InstanceID].Equal(r.Run) {
		if sweep {
			k.doubted[r.InstanceID] = r.Run
		}
		return before, false
	}
	delete(k.doubted, r.InstanceID)
	k.m[r.InstanceID] = r
	return before, true
}

// beganAgain reports whether a counter is not the one that it was.
func beganAgain(was, is cloud.TrafficReading) bool {
	if len(was.NICs) != len(is.NICs) {
		return true
	}
	for n, nic := range is.NICs {
		if b := was.NICs[n]; b.Device != nic.Device || b.Egress > nic.Egress || b.Ingress > nic.Ingress {
			return true
		}
	}
	return false
}

func (k *readings) get(id string, run time.Time) *cloud.TrafficReading {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r, ok := k.m[id]; ok && r.Run.Equal(run) {
		r.Since = k.since(r)
		return &r
	}
	return nil
}

// since is when all that r's run had counted until then was written; zero when
// that is not known. The lock is held.
func (k *readings) since(r cloud.TrafficReading) time.Time {
	if w := k.written[r.InstanceID]; w.run.Equal(r.Run) {
		return w.until
	}
	return time.Time{}
}

// goOn says of readings that are about to be written from when on their bytes are.
func (k *readings) goOn(batch []cloud.TrafficReading) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for n := range batch {
		batch[n].Since = k.since(batch[n])
	}
}

// wrote notes that readings were written.
func (k *readings) wrote(batch []cloud.TrafficReading) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range batch {
		k.written[r.InstanceID] = span{r.Run, r.At}
	}
}

// keep forgets all but the instances that are there.
func (k *readings) keep(there map[string]bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id := range k.m {
		if !there[id] {
			delete(k.m, id)
			delete(k.doubted, id)
			delete(k.written, id)
		}
	}
}

// sweepTraffic reads the counters of all guests, and writes down once an hour
// what they grew by until its end. A failure costs nothing but time: the counters
// go on.
func (l *Loop) sweepTraffic(ctx context.Context, wishes []cloud.InstanceWish, guests map[string]cloud.Guest) {
	if l.Counters == nil {
		return
	}
	plugged, err := l.Counters.ReadNICs(ctx)
	if err != nil {
		l.Log.Warn("sweep: traffic", "err", err)
		return
	}
	now := l.Now()
	var due []cloud.TrafficReading
	there := make(map[string]bool, len(wishes))
	for _, w := range wishes {
		there[w.ID] = true
		state := guests[w.ID].State
		on := state == cloud.GuestRunning || state == cloud.GuestPaused
		nics := nicsOf(w, plugged)
		if !on || !ran(w) || !w.DeletedAt.IsZero() || nics == nil {
			continue // a run counts once it is recorded, until its deletion is asked for
		}
		r := cloud.TrafficReading{InstanceID: w.ID, Run: w.StartedAt, At: now, NICs: nics}
		before, taken := l.bytes.put(r, true)
		switch {
		case before != nil && beganAgain(*before, r) && (taken || !sameHour(before.At, now)):
			due = append(due, *before) // of a NIC that is another now, or of an hour that is over
		case before != nil && !sameHour(before.At, now):
			due = append(due, r.Before(*before, cloud.Hour(now))) // the hour's end, between two looks
		case before == nil && taken && !sameHour(w.StartedAt, now):
			due = append(due, r) // how much of it is written is not known here
		}
	}
	l.bytes.keep(there)
	for batch := range slices.Chunk(due, trafficBatch) {
		l.bytes.goOn(batch)
		if err := l.Traffic.RecordTraffic(ctx, now, batch); err != nil {
			l.Log.Error("sweep: traffic", "err", err)
			return
		}
		l.bytes.wrote(batch)
	}
}

func sameHour(a, b time.Time) bool { return a.Truncate(time.Hour).Equal(b.Truncate(time.Hour)) }

// nicsOf are the counters of an instance's ports, in their order; nil when none
// is plugged in. One that is not counts nothing.
func nicsOf(w cloud.InstanceWish, plugged map[string]cloud.NICCounter) (nics []cloud.NICCounter) {
	any := false
	for _, p := range w.Ports {
		c, there := plugged[p.MAC]
		any = any || there
		nics = append(nics, c)
	}
	if !any {
		return nil
	}
	return nics
}

// readTraffic reads the counters of a guest that is about to be ended.
func (l *Loop) readTraffic(ctx context.Context, w cloud.InstanceWish, d Decision) {
	if l.Counters == nil || !ran(w) || !endsRun(d) {
		return
	}
	if r := l.bytes.get(w.ID, w.StartedAt); r != nil && !w.DeletedAt.IsZero() && r.At.After(w.DeletedAt) {
		return // how long the removal takes is not the tenant's
	}
	plugged, err := l.Counters.ReadNICs(ctx)
	nics := nicsOf(w, plugged)
	if err != nil || nics == nil {
		return // the last sweep's reading counts
	}
	l.bytes.put(cloud.TrafficReading{InstanceID: w.ID, Run: w.StartedAt, At: l.Now(), NICs: nics}, false)
}

// endsRun reports whether a step may end the present run.
func endsRun(d Decision) bool {
	return slices.ContainsFunc(d.Steps, func(s Step) bool {
		return s.Verb == VerbRemoveGuest || (s.Verb == VerbPower && (s.Power == cloud.ActDestroy || s.Power == cloud.ActShutdown))
	})
}

// final gives a record that ends a run the last reading of its counters.
func (l *Loop) final(r *cloud.InstanceRecord, w cloud.InstanceWish) {
	if ran(w) && r.State != cloud.StateRunning && r.State != cloud.StatePaused {
		r.Traffic = l.bytes.get(w.ID, w.StartedAt)
	}
}

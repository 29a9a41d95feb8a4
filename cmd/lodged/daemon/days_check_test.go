package daemon

import (
	"context"
	"time"

	"lodge/cloud"
	"lodge/hypervisor/sim"
	"lodge/meter"
)

// weather is one thing that goes wrong.
func (d *days) weather() {
	all := d.live()
	pick := func() string {
		if len(all) == 0 {
			return ""
		}
		return all[d.rand.IntN(len(all))].ID
	}
	switch d.rand.IntN(12) {
	case 0:
		d.host.Crash(pick())
	case 1:
		d.host.DestroyByHand(pick())
	case 2:
		d.host.PowerOffInside(pick())
	case 3:
		d.host.Pause(pick(), false)
	case 4:
		d.host.IgnoreACPI(pick(), true)
	case 5: // all workers are busy for a while, and then many guests end at once
		d.host.SlowNext(sim.CallPowerGuest, 20*time.Second, 6)
		for _, i := range all {
			if d.rand.IntN(2) == 0 {
				d.host.Crash(i.ID)
			}
		}
	}
	if !d.blind {
		return
	}
	start := time.Now()
	switch d.rand.IntN(14) {
	case 0, 1:
		d.kill(false)
		time.Sleep(d.upTo(time.Hour))
		for range d.rand.IntN(4) {
			d.host.Crash(pick())
			time.Sleep(d.upTo(time.Minute))
		}
		d.lodged()
	case 2: // stopped in order while many guests wait to be recorded
		d.host.SlowNext(sim.CallPowerGuest, 20*time.Second, 6)
		for _, i := range all {
			d.host.Crash(i.ID)
		}
		time.Sleep(d.upTo(15 * time.Second))
		d.kill(true)
		time.Sleep(d.upTo(time.Minute))
		d.lodged()
	case 3, 4:
		d.host.Down(true)
		time.Sleep(d.upTo(time.Hour))
		d.host.DestroyByHand(pick())
		time.Sleep(d.upTo(time.Minute))
		d.host.Down(false)
	case 5, 6:
		d.host.LoseEvents(true)
		for range 4 {
			d.host.Crash(pick())
			time.Sleep(d.upTo(40 * time.Second))
		}
		d.host.LoseEvents(false)
	case 7:
		d.kill(false)
		d.host.RebootHost()
		d.clock.Lock()
		d.clock.boot++
		d.clock.booted = time.Now()
		d.clock.Unlock()
		time.Sleep(d.upTo(time.Minute))
		d.lodged()
	case 8, 9, 10:
		by := []time.Duration{300 * time.Millisecond, time.Minute, 2 * time.Hour, 24 * time.Hour}[d.rand.IntN(4)] + d.upTo(time.Second)
		if d.rand.IntN(2) == 0 {
			by = -by
		}
		d.clock.Lock()
		d.clock.wall += by
		d.clock.Unlock()
		return
	case 11: // killed while many guests wait to be recorded
		d.host.SlowNext(sim.CallPowerGuest, 20*time.Second, 6)
		for _, i := range all {
			d.host.Crash(i.ID)
		}
		time.Sleep(d.upTo(50 * time.Second))
		d.kill(false)
		time.Sleep(d.upTo(time.Minute))
		d.lodged()
	default:
		return
	}
	d.restarts++
	d.unseen += time.Since(start) + time.Minute // and the looks around it
}

func (d *days) upTo(most time.Duration) time.Duration {
	return time.Duration(d.rand.Int64N(most.Milliseconds())) * time.Millisecond
}

// check compares what is counted as running with what ran.
func (d *days) check() {
	ctx, end := context.Background(), time.Now()
	ivs, err := d.db.UsageIntervals(ctx, d.root, cloud.UsageFilter{})
	d.must(err)
	counted, odd := map[string][3]int64{}, "" // odd is what is explained
	now := d.ledgerNow()
	for _, iv := range ivs {
		if !iv.State.Runs() || iv.Meter == cloud.MeterDisk {
			continue
		}
		to := iv.EndedAt
		if to.IsZero() {
			to = now
		}
		c := counted[iv.ResourceID]
		c[map[cloud.Meter]int{"instance": 0, "vcpu": 1, "memory": 2}[iv.Meter]] += iv.Amount * (to.UnixMilli() - iv.StartedAt.UnixMilli())
		counted[iv.ResourceID] = c
		if iv.Meter == cloud.MeterVCPU && !d.within(iv, d.truly(iv.StartedAt, false), d.truly(to, true)) {
			d.t.Errorf("%s: row %d of %s vCPUs=%d lies outside of every run: %d to %d, %s", iv.ResourceID, iv.Seq, iv.State, iv.Amount, d.truly(iv.StartedAt, false), d.truly(to, true), iv.Evidence)
			odd = iv.ResourceID
		}
	}
	var runs, exact int
	var less time.Duration
	for id, lived := range d.runs {
		var most [3]int64
		for _, r := range lived {
			to := r.to
			if to.IsZero() {
				to = end
			}
			if a := d.asked[id]; !a.IsZero() && a.Before(to) {
				to = a
			}
			if ms := to.UnixMilli() - r.from.UnixMilli(); ms > 0 { // rows are cut at whole milliseconds
				most[0], most[1], most[2] = most[0]+ms, most[1]+ms*r.vcpus, most[2]+ms*r.memory
				runs++
			}
		}
		got := counted[id]
		delete(counted, id)
		for k := range most {
			switch {
			case got[k] > most[k]:
				d.t.Errorf("%s: %d were true and %d are counted: %d ms x amount too much", id, most[k], got[k], got[k]-most[k])
			case !d.blind && got[k] != most[k]:
				d.t.Errorf("%s: %d were true and %d are counted, although everything was told", id, most[k], got[k])
			case k == 0 && most[k]-got[k] > (d.unseen+time.Duration(len(lived))*30*time.Second).Milliseconds():
				d.t.Errorf("%s: %d were true and only %d are counted, of %v unseen", id, most[k], got[k], d.unseen)
			}
		}
		if got == most {
			exact++
		}
		less += time.Duration(most[0]-got[0]) * time.Millisecond
		if d.t.Failed() && (odd == "" || odd == id) {
			d.explain(id, lived, ivs)
			break
		}
	}
	if len(counted) > 0 && !d.t.Failed() {
		d.t.Errorf("counted of what never ran: %v", counted)
	}
	var report meter.Report
	d.must(d.db.ReadLedger(ctx, func(l cloud.Ledger) (err error) { report, err = meter.Verify(l); return err }))
	for _, f := range report.Findings {
		d.t.Errorf("verify: %s %s %d: %s", f.Check, f.Table, f.Row, f.Message)
	}
	if report.Hours == 0 {
		d.t.Error("no hour was closed")
	}
	d.t.Logf("%d instances with %d runs, %d exact, %v not counted; unseen for %v in %d incidents; %d rows, %d hours",
		len(d.runs), runs, exact, less, d.unseen, d.restarts, report.Intervals, report.Hours)
}

// within reports whether a row lies in one true run of that size, before its
// deletion was asked for.
func (d *days) within(iv cloud.Interval, from, to int64) bool {
	if a := d.asked[iv.ResourceID]; !a.IsZero() && to > a.UnixMilli() {
		return false
	}
	for _, r := range d.runs[iv.ResourceID] {
		if r.vcpus == iv.Amount && r.from.UnixMilli() <= from && (r.to.IsZero() || to <= r.to.UnixMilli()) {
			return true
		}
	}
	return false
}

func (d *days) explain(id string, lived []run, ivs []cloud.Interval) {
	const form = "02 15:04:05.000"
	for _, r := range lived {
		d.t.Logf("ran %d vCPUs from %s to %s", r.vcpus, r.from.UTC().Format(form), r.to.UTC().Format(form))
	}
	for _, iv := range ivs {
		if iv.ResourceID == id && iv.Meter == cloud.MeterVCPU {
			d.t.Logf("row %d: %d %s from %s to %s %s", iv.Seq, iv.Amount, iv.State, time.UnixMilli(d.truly(iv.StartedAt, false)).UTC().Format(form), time.UnixMilli(d.truly(iv.EndedAt, true)).UTC().Format(form), iv.Evidence)
		}
	}
}

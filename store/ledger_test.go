package store_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lodge/cloud"
)

// Whatever was seen in whatever order, and however the clock went: a record is
// taken, no two intervals of a meter overlap, none is empty, and while the clock
// goes forward no millisecond of a run is lost.
func TestTheLedgerHoldsForAnyHistory(t *testing.T) {
	w := newWorldWith(t, roomy)
	made := 0
	rapid.Check(t, func(rt *rapid.T) {
		made++
		i := w.create(fmt.Sprintf("web%d", made))
		w.now = noon
		forward := true
		var ran time.Duration
		var since time.Time
		for range rapid.IntRange(1, 12).Draw(rt, "records") {
			step := time.Duration(rapid.IntRange(-2, 10).Draw(rt, "ms")) * time.Millisecond
			forward = forward && step >= 0
			w.later(step)
			r := w.running(i)
			state := rapid.SampledFrom([]cloud.State{cloud.StateBuilding, cloud.StateRunning, cloud.StatePaused, cloud.StateStopped}).Draw(rt, "state")
			r.State = state
			r.Readings = cloud.Readings(state, cloud.Size{VCPUs: rapid.IntRange(1, 2).Draw(rt, "vcpus"), MemoryMiB: 2048, DiskGiB: 20}, rapid.Bool().Draw(rt, "disk"))
			if err := w.RecordInstance(ctx, r); err != nil {
				rt.Fatalf("record %s at %v: %v", state, w.now, err)
			}
			if !since.IsZero() {
				ran += w.now.Sub(since)
			}
			since = time.Time{}
			if state == cloud.StateRunning || state == cloud.StatePaused {
				since = w.now
			}
		}
		checkLedger(rt, w, i.ID, forward, ran)
	})
}

func checkLedger(rt *rapid.T, w *world, instanceID string, forward bool, ran time.Duration) {
	ends := map[string]time.Time{}
	var counted time.Duration
	for _, iv := range w.intervals(instanceID) {
		if !iv.EndedAt.IsZero() && !iv.EndedAt.After(iv.StartedAt) {
			rt.Fatalf("an empty interval: %+v", iv)
		}
		end, earlier := ends[iv.Slot]
		if earlier && (end.IsZero() || iv.StartedAt.Before(end)) {
			rt.Fatalf("%+v overlaps the one before, which ends %v", iv, end)
		}
		ends[iv.Slot] = iv.EndedAt
		if iv.Slot != "instance" || !iv.State.Runs() {
			continue
		}
		if iv.EndedAt.IsZero() {
			counted += w.now.Sub(iv.StartedAt)
		} else {
			counted += iv.EndedAt.Sub(iv.StartedAt)
		}
	}
	if forward && counted != ran {
		rt.Fatalf("it ran for %v and %v are counted", ran, counted)
	}
}

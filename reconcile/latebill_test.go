package reconcile_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"lodge/cloud"
	"lodge/hypervisor/sim"
)

// lastRun is the interval of the instance's last run.
func (w *world) lastRun(id string) (last cloud.Interval) {
	w.t.Helper()
	ivs, err := w.db.UsageIntervals(context.Background(), w.root, cloud.UsageFilter{
		InstanceID: id, From: time.Now().Add(-24 * time.Hour), To: time.Now().Add(time.Hour),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, iv := range ivs {
		if iv.Meter == cloud.MeterInstance && iv.State.Runs() && iv.StartedAt.After(last.StartedAt) {
			last = iv
		}
	}
	return last
}

// wantEnd checks that the last run is closed and ended within a second of at.
func (w *world) wantEnd(id string, at time.Time) {
	w.t.Helper()
	iv := w.lastRun(id)
	if iv.EndedAt.IsZero() {
		w.t.Errorf("the run is still counted %s after its end", time.Since(at))
		return
	}
	if late := iv.EndedAt.Sub(at); late < -time.Second || late > time.Second || iv.Evidence != cloud.EvidenceSeen {
		w.t.Errorf("the run ended at %s and is counted %s longer, evidence %s", at, late, iv.Evidence)
	}
}

// Steps wait for the end of a pause; what is seen does not.
func TestARunThatEndsDuringAPauseIsNotCountedOn(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(w *world, id string)
	}{
		{"seed that cannot be written", func(w *world, id string) {
			w.host.FailNext(sim.CallWriteSeed, cloud.Errorf(cloud.CodeStorage, "No."), 1000)
			w.host.DeleteDisk(cloud.DiskSeed, id)
		}},
		{"paused again and again", func(w *world, id string) {
			for range 8 {
				w.runs(id, 2*time.Minute)
				time.Sleep(time.Second)
				w.host.Pause(id, false)
			}
			time.Sleep(time.Second)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, id := calm(t, 3)
				defer w.db.Close()
				defer w.stop()
				c.spoil(w, id)
				for end := time.Now().Add(10 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
					if p := w.problem(id); p != nil && p.Attempts >= 6 {
						break
					}
					if time.Now().After(end) {
						t.Fatalf("the problem is %+v", w.problem(id))
					}
				}
				time.Sleep(time.Second)
				w.host.DestroyByHand(id)
				at := time.Now()
				time.Sleep(2 * time.Second)
				w.wantEnd(id, at)
				if p := w.problem(id); p == nil || p.Attempts < 6 || !p.RetryAt.After(time.Now()) {
					t.Errorf("the pause was lost: %+v", p)
				}
			})
		})
	}
}

// A store that takes nothing, as on a full disk, makes no run longer.
func TestARunThatEndsWhileTheStoreIsFullEndsWhenItWasSeenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id := calm(t, 4)
		defer w.db.Close()
		defer w.stop()
		time.Sleep(2 * time.Minute)
		w.full.Store(true)
		time.Sleep(10 * time.Second)
		w.host.DestroyByHand(id)
		at := time.Now()
		time.Sleep(45 * time.Second)
		w.full.Store(false)
		w.runs(id, 10*time.Second)
		time.Sleep(time.Second)
		before := w.lastRun(id)
		if before.StartedAt.Before(at.Add(45 * time.Second)) {
			t.Fatalf("the new run began at %s", before.StartedAt)
		}
		ivs, err := w.db.UsageIntervals(context.Background(), w.root, cloud.UsageFilter{InstanceID: id, From: at.Add(-time.Hour), To: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		for _, iv := range ivs {
			if iv.Meter != cloud.MeterInstance || !iv.State.Runs() || iv.StartedAt.Equal(before.StartedAt) {
				continue
			}
			if late := iv.EndedAt.Sub(at); late < 0 || late > time.Second || iv.Evidence != cloud.EvidenceSeen {
				t.Errorf("the run that ended at %s is counted until %s, evidence %s", at, iv.EndedAt, iv.Evidence)
			}
		}
	})
}

package reconcile_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"lodge/cloud"
	"lodge/hypervisor/sim"
	"lodge/meter"
)

// Failures that really happened elsewhere, of the sort that comes from how a
// host is looked at. The others are in store/usage_failure_test.go.

// ledger checks that the rows of an instance count ran as running and that open
// of them are open, and that the whole ledger is sound.
func (w *world) ledger(id string, ran time.Duration, open int) {
	w.t.Helper()
	ivs, err := w.db.UsageIntervals(context.Background(), w.root, cloud.UsageFilter{InstanceID: id})
	if err != nil {
		w.t.Fatal(err)
	}
	counted, left := time.Duration(0), 0
	for _, iv := range ivs {
		if iv.EndedAt.IsZero() {
			left++
			continue
		}
		if iv.Meter == cloud.MeterInstance && iv.State.Runs() {
			counted += iv.EndedAt.Sub(iv.StartedAt)
		}
	}
	if off := counted - ran.Truncate(time.Millisecond); off < -time.Millisecond || off > time.Millisecond || left != open {
		w.t.Errorf("%v are counted and %v were run; %d rows are open and %d have to be", counted, ran, left, open)
	}
	err = w.db.ReadLedger(context.Background(), func(l cloud.Ledger) error {
		r, err := meter.Verify(l)
		if r.Wrong > 0 {
			w.t.Errorf("verify: %+v", r.Findings)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// Elsewhere a delete that failed left an interval that nothing ever closed. Fails
// when a deletion's record keeps its readings until the removal has worked.
func TestFailureB_AFailedDeleteIsNotBilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id := calm(t, 11)
		defer w.db.Close()
		defer w.stop()
		began := w.lastRun(id).StartedAt
		time.Sleep(10 * time.Minute)
		w.host.FailNext(sim.CallRemoveDisk, cloud.Errorf(cloud.CodeStorage, "No."), 5000)
		w.host.FailNext(sim.CallRemoveGuest, cloud.Errorf(cloud.CodeHypervisor, "No."), 3)
		asked := time.Now()
		if _, err := w.db.DeleteInstance(context.Background(), w.root, asked, id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		if i, err := w.db.Instance(context.Background(), w.root, id); err != nil || i.State == cloud.StateGone {
			t.Fatalf("it was to fail: %v %v", i.State, err)
		}
		w.ledger(id, asked.Sub(began), 0)
	})
}

// Elsewhere what was stuck in "stopping" was billed on. Fails when the end of a
// run is recorded by the worker's time in place of when it was told (endOf).
func TestFailureI_WhatIsStuckInStoppingIsNotBilledOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id := calm(t, 12)
		defer w.db.Close()
		defer w.stop()
		began := w.lastRun(id).StartedAt
		time.Sleep(10 * time.Minute)
		w.host.SlowNext(sim.CallPowerGuest, time.Hour, 1) // the press of the button hangs
		if _, err := w.db.PowerInstance(context.Background(), w.root, time.Now(), id, cloud.PowerStop, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		w.host.PowerOffInside(id)
		ended := time.Now()
		time.Sleep(2 * time.Hour)
		w.ledger(id, ended.Sub(began), 4)
		if i, err := w.db.Instance(context.Background(), w.root, id); err != nil || i.State != cloud.StateStopped || i.Task != cloud.TaskNone {
			t.Fatalf("it is %s %q: %v", i.State, i.Task, err)
		}
	})
}

// Elsewhere a machine that lived for 30 s between two polls was free. Fails when
// the loop goes by its sweeps alone (what watch is told is not heard).
func TestFailureM_AShortLifeIsBilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := calm(t, 13)
		defer w.db.Close()
		defer w.stop()
		time.Sleep(time.Minute)
		id := uuid.NewString()
		_, err := w.db.CreateInstance(context.Background(), w.root, time.Now(), cloud.NewInstance{
			ID: id, VolumeID: uuid.NewString(), PortID: uuid.NewString(), TenantID: w.tens[0], Name: "short", VCPUs: 1, MemoryMiB: 256,
		})
		if err != nil {
			t.Fatal(err)
		}
		for w.host.Runs(id) == 0 {
			time.Sleep(time.Millisecond)
		}
		began := time.Now()
		time.Sleep(7 * time.Second)
		w.host.PowerOffInside(id)
		ended := time.Now()
		time.Sleep(time.Second)
		if _, err := w.db.DeleteInstance(context.Background(), w.root, time.Now(), id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		w.ledger(id, ended.Sub(began), 0)
	})
}

// A guest that ended while all workers were busy, and was not recorded when
// lodged was killed, ended when lodged was told of it at the latest. Fails when a
// sweep writes a heartbeat later than that.
func TestAnEndThatWaitsIsNotSeenLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id := calm(t, 14)
		defer w.db.Close()
		began := w.lastRun(id).StartedAt
		time.Sleep(10 * time.Minute)
		w.host.SlowNext(sim.CallPowerGuest, time.Hour, 1)
		if _, err := w.db.PowerInstance(context.Background(), w.root, time.Now(), id, cloud.PowerStop, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		w.host.PowerOffInside(id)
		ended := time.Now()
		time.Sleep(80 * time.Second) // two sweeps
		w.stop()
		time.Sleep(time.Hour)
		w.lodged()
		defer w.stop()
		time.Sleep(time.Minute)
		w.ledger(id, ended.Sub(began), 4)
	})
}

package reconcile_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"lodge/cloud"
)

// Nothing runs unmetered: a guest that is on and has lost its open rows is counted
// again with the next sweep, from then on.
func TestASweepCountsWhatIsNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, id := calm(t, 5)
		defer w.db.Close()
		defer w.stop()
		time.Sleep(3 * time.Minute)
		ctx := context.Background()
		wishes, err := w.db.InstanceWishes(ctx, w.hid, []string{id})
		if err != nil || len(wishes) != 1 {
			t.Fatal(len(wishes), err)
		}
		i := wishes[0]
		lost := time.Now()
		if err := w.db.RecordInstance(ctx, cloud.InstanceRecord{ // as it is, without its meters
			ID: id, Generation: i.Generation, State: i.State, Task: i.Task, ObservedGeneration: i.ObservedGeneration, ObservedBoots: i.ObservedBoots,
			RunningVCPUs: i.RunningVCPUs, RunningMemoryMiB: i.RunningMemoryMiB, RootSeen: true, At: lost, Evidence: cloud.EvidenceSeen,
		}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		runs := w.runsOf(id)
		if len(runs) != 2 || !runs[1].EndedAt.IsZero() || runs[1].StartedAt.Before(lost.Truncate(time.Millisecond)) || runs[1].StartedAt.After(lost.Add(31*time.Second)) {
			t.Errorf("it was not counted from %s on, and the ledger has %+v", lost, runs)
		}
	})
}

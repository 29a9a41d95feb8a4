package reconcile_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"lodge/cloud"
	"lodge/hypervisor/sim"
)

// What is tried again has its problem until a step has gone well: it comes once and
// goes once, however often it is tried, and nobody who looks sees it well in
// between. Fails when a turn begins with a record that has no problem.
func TestAProblemStaysWhileItIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := calm(t, 22)
		defer w.db.Close()
		defer w.stop()
		ctx, id := context.Background(), uuid.NewString()
		w.host.FailNext(sim.CallCreateDisk, cloud.Errorf(cloud.CodeDiskFull, "The host has no space left for disks."), 5)
		_, err := w.db.CreateInstance(ctx, w.root, time.Now(), cloud.NewInstance{
			ID: id, VolumeID: uuid.NewString(), PortID: uuid.NewString(), TenantID: w.tens[0], Name: "late", VCPUs: 1, MemoryMiB: 256,
		})
		if err != nil {
			t.Fatal(err)
		}
		w.runs(id, 10*time.Minute)
		time.Sleep(time.Minute)
		events, err := w.db.Events(ctx, w.root, cloud.EventFilter{Limit: 500})
		if err != nil {
			t.Fatal(err)
		}
		var types []string
		for _, e := range events {
			if e.Subject.ID == id && (e.Type == "instance.problem" || e.Type == "instance.recovered") {
				types = append(types, e.Type)
			}
		}
		slices.Sort(types)
		if !slices.Equal(types, []string{"instance.problem", "instance.recovered"}) {
			t.Errorf("the events are %v", types)
		}
	})
}

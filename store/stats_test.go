package store_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lodge/cloud"
	"lodge/store"
)

func TestACensusCountsWhatIsThere(t *testing.T) {
	w := newWorld(t)
	w.create("a")
	w.create("b")
	bad := w.stopped(w.create("c"))
	bad.State, bad.Problem = cloud.StateError, &cloud.Problem{Code: cloud.CodeDiskMissing, Message: "Gone.", Since: w.now}
	w.record(bad)
	gone := w.create("d")
	_, err := w.DeleteInstance(ctx, operator, w.now, gone.ID)
	w.must(err)
	w.record(w.gone(gone))
	w.must(w.Heartbeat(ctx, hostID, w.later(time.Minute)))
	w.must(w.RecordHostProblem(ctx, hostID, w.now, &cloud.Problem{Code: cloud.CodeHypervisor, Message: "No answer.", Since: w.now}))

	stray := id("stray")
	w.must(w.RecordOrphans(ctx, hostID, w.now, cloud.HostSight{Guests: map[string]cloud.Guest{stray: {ID: stray, State: cloud.GuestRunning}}}))

	got, err := w.Census(ctx)
	w.must(err)
	want := cloud.Census{
		Tenants:   1,
		Instances: map[cloud.State]int64{cloud.StateRequested: 2, cloud.StateError: 1},
		Images:    map[cloud.ImageState]int64{cloud.ImageActive: 1},
		Problems: map[cloud.Kind]map[cloud.Code]int64{
			cloud.KindInstance: {cloud.CodeDiskMissing: 1, cloud.CodeHypervisor: 2},
			cloud.KindHost:     {cloud.CodeHypervisor: 1},
		},
		Orphans:    map[cloud.OrphanKind]int64{cloud.OrphanGuest: 1},
		Heartbeats: map[string]time.Time{"rack1": noon.Add(time.Minute)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

func TestStatsHaveTheSizeOfTheFiles(t *testing.T) {
	w := newWorld(t)
	s, err := w.Stats()
	w.must(err)
	if s.DatabaseBytes <= 0 || s.WALBytes <= 0 {
		t.Errorf("got %+v", s)
	}
}

// Whoever listens hears of every change and its commit, and how each ended.
func TestAChangeIsObserved(t *testing.T) {
	type heard struct {
		work cloud.Work
		name string
		code cloud.Code
	}
	var mu sync.Mutex
	var all []heard
	w := newWorldWith(t, store.Options{Observe: func(ctx context.Context, k cloud.Work, name, _ string) (context.Context, func(error)) {
		return ctx, func(err error) {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, heard{k, name, cloud.CodeOf(err)})
		}
	}})
	all = nil
	w.must(w.Heartbeat(ctx, hostID, w.now))
	w.refused(w.Heartbeat(ctx, id("nothing"), w.now), cloud.CodeNotFound)
	want := []heard{{cloud.WorkCommit, "commit", ""}, {cloud.WorkTransaction, "heartbeat", ""}, {cloud.WorkTransaction, "heartbeat", cloud.CodeNotFound}}
	if !slices.Equal(all, want) {
		t.Errorf("heard %v, want %v", all, want)
	}
}

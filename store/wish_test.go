package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lodge/cloud"
	"lodge/store"
)

func (w *world) due() []string {
	w.t.Helper()
	ids, err := w.DueInstances(ctx, hostID, w.now)
	w.must(err)
	names := []string{}
	for _, id := range ids {
		names = append(names, w.instance(id).Name)
	}
	slices.Sort(names)
	return names
}

func TestAnInstanceIsDueWhileSomethingIsLeftToDo(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(*world, cloud.Instance)
		due  bool
	}{
		{"settled", func(*world, cloud.Instance) {}, false},
		{"a wish", func(w *world, i cloud.Instance) {
			_, err := w.PowerInstance(ctx, operator, w.now, i.ID, cloud.PowerStop, false)
			w.must(err)
		}, true},
		{"new labels", func(w *world, i cloud.Instance) {
			_, err := w.UpdateInstance(ctx, operator, w.now, i.ID, cloud.InstanceChange{LabelChange: cloud.LabelChange{Labels: map[string]*string{"a": ptr("b")}}})
			w.must(err)
		}, false},
		{"a task", func(w *world, i cloud.Instance) {
			r := w.running(i)
			r.Task = cloud.TaskStopping
			w.record(r)
		}, true},
		{"a problem whose retry has come", func(w *world, i cloud.Instance) {
			r := w.running(i)
			r.Problem = &cloud.Problem{Code: cloud.CodeTimeout, Message: "Late.", RetryAt: w.now}
			w.record(r)
		}, true},
		{"a problem whose retry has not come", func(w *world, i cloud.Instance) {
			r := w.running(i)
			r.Problem = &cloud.Problem{Code: cloud.CodeTimeout, Message: "Late.", RetryAt: w.now.Add(time.Millisecond)}
			w.record(r)
		}, false},
		{"a problem that waits for a change", func(w *world, i cloud.Instance) {
			r := w.running(i)
			r.State, r.Problem = cloud.StateError, &cloud.Problem{Code: cloud.CodeDiskMissing, Message: "Lost."}
			w.record(r)
		}, false},
		{"deleted", func(w *world, i cloud.Instance) {
			_, err := w.DeleteInstance(ctx, operator, w.now, i.ID)
			w.must(err)
		}, true},
		{"deleted and observed, but not gone", func(w *world, i cloud.Instance) {
			i, err := w.DeleteInstance(ctx, operator, w.now, i.ID)
			w.must(err)
			w.record(w.stopped(i))
		}, true},
		{"deleted in spite of a problem that waits", func(w *world, i cloud.Instance) {
			r := w.running(i)
			r.State, r.Problem = cloud.StateError, &cloud.Problem{Code: cloud.CodeDiskMissing, Message: "Lost."}
			w.record(r)
			_, err := w.DeleteInstance(ctx, operator, w.now, i.ID)
			w.must(err)
		}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			tc.do(w, w.run("web1"))
			if got := len(w.due()) == 1; got != tc.due {
				t.Fatalf("due: %v, want %v", got, tc.due)
			}
			ids, err := w.DueInstances(ctx, id("another host"), w.now)
			w.must(err)
			if len(ids) != 0 {
				t.Fatalf("another host has to do %v", ids)
			}
		})
	}
}

func TestAWishHasAllThatPlanNeeds(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	second, third := w.create("web2"), w.create("web3")
	gone, err := w.DeleteInstance(ctx, operator, w.now, second.ID)
	w.must(err)
	deleted, err := w.DeleteInstance(ctx, operator, w.now, third.ID)
	w.must(err)
	w.record(w.gone(gone))

	all, err := w.InstanceWishes(ctx, hostID, nil)
	w.must(err)
	if len(all) != 2 {
		t.Fatalf("got %d wishes", len(all))
	}
	some, err := w.InstanceWishes(ctx, hostID, []string{deleted.ID, gone.ID, id("nothing")})
	w.must(err)
	if len(some) != 1 || some[0].ID != deleted.ID || some[0].DeletedAt.IsZero() || some[0].Root.DeletedAt.IsZero() {
		t.Fatalf("got %+v", some)
	}
	none, err := w.InstanceWishes(ctx, hostID, []string{})
	w.must(err)
	foreign, err := w.InstanceWishes(ctx, id("another host"), nil)
	w.must(err)
	if len(none) != 0 || len(foreign) != 0 {
		t.Fatalf("got %v and %v", none, foreign)
	}
	for _, wish := range all {
		if wish.ID != i.ID {
			continue
		}
		if wish.Root.ID == "" || wish.Root.SizeGiB != 20 || wish.Root.State != cloud.VolumeAvailable || wish.Root.ImageID != w.image.ID || wish.Root.HostID != hostID {
			t.Fatalf("got root %+v", wish.Root)
		}
		if wish.Image.ID != w.image.ID || wish.Image.Format != cloud.FormatQcow2 || wish.Image.State != cloud.ImageActive {
			t.Fatalf("got image %+v", wish.Image)
		}
		if len(wish.Networks) != 1 || len(wish.Networks[0].Subnets) != 1 || wish.Networks[0].ID != wish.Ports[0].NetworkID {
			t.Fatalf("got networks %+v", wish.Networks)
		}
	}
}

func TestWishesAreTheSameFromTheCacheAndFromTheFile(t *testing.T) {
	w := newWorldWith(t, store.Options{SubnetBits: 22})
	const n = 450 // more than two statements' worth
	for i := range n {
		w.create(fmt.Sprintf("web%d", i))
	}
	warm, err := w.InstanceWishes(ctx, hostID, nil)
	w.must(err)
	store.WithCache(w.DB, 1, 1)
	cold, err := w.InstanceWishes(ctx, hostID, nil)
	w.must(err)
	if len(warm) != n || len(cold) != n {
		t.Fatalf("got %d and %d", len(warm), len(cold))
	}
	if diff := cmp.Diff(warm, cold, sameAddr, samePrefix); diff != "" {
		t.Fatal(diff)
	}
}

func TestANetworkIsNeededWhileAnInstanceOnItIsNotGone(t *testing.T) {
	w := newWorld(t)
	ports := func() int {
		wishes, err := w.NetworkWishes(ctx, hostID, []string{id("network")})
		w.must(err)
		if len(wishes) != 1 || len(wishes[0].Subnets) != 1 {
			t.Fatalf("got %+v", wishes)
		}
		return wishes[0].LivePorts
	}
	if got := ports(); got != 0 {
		t.Fatalf("got %d", got)
	}
	w.create("web1")
	i, err := w.DeleteInstance(ctx, operator, w.now, w.create("web2").ID)
	w.must(err)
	if got := ports(); got != 2 {
		t.Fatalf("got %d", got)
	}
	w.record(w.gone(i))
	if got := ports(); got != 1 {
		t.Fatalf("got %d", got)
	}
}

func TestANetworksRecord(t *testing.T) {
	w := newWorld(t)
	acme := w.newTenant("acme")
	network := id("network", "acme")
	p := &cloud.Problem{Code: cloud.CodeNetwork, Message: "No bridge.", RetryAt: w.now.Add(time.Minute)}
	w.must(w.RecordNetwork(ctx, w.now, network, p, false))
	w.must(w.RecordNetwork(ctx, w.later(time.Second), network, p, false))
	n, err := w.Network(ctx, cloud.Caller{TenantID: acme.ID}, network)
	w.must(err)
	if n.Problem == nil || !n.Problem.Since.Equal(noon) || n.Revision != 2 {
		t.Fatalf("got %+v", n)
	}
	w.must(w.RecordNetwork(ctx, w.now, network, nil, false))
	w.refused(w.RecordNetwork(ctx, w.now, network, nil, true), cloud.CodeConflict)
	w.refused(w.RecordNetwork(ctx, w.now, id("nothing"), nil, false), cloud.CodeNotFound)
	w.must(w.DeleteTenant(ctx, operator, w.now, acme.ID))
	wishes, err := w.NetworkWishes(ctx, hostID, []string{network})
	w.must(err)
	if len(wishes) != 1 || wishes[0].DeletedAt.IsZero() {
		t.Fatalf("got %+v", wishes)
	}
	w.must(w.RecordNetwork(ctx, w.now, network, nil, true))
	w.must(w.RecordNetwork(ctx, w.now, network, nil, true))
	wishes, err = w.NetworkWishes(ctx, hostID, []string{network})
	w.must(err)
	if len(wishes) != 0 {
		t.Fatalf("got %+v", wishes)
	}
	want := []string{"network.problem", "network.recovered", "network.gone"}
	if got := w.eventTypes(network); !slices.Equal(got, want) {
		t.Fatalf("got events %v", got)
	}
	_, err = w.Network(ctx, operator, network)
	w.refused(err, cloud.CodeNotFound)
	_, err = w.Network(ctx, cloud.Caller{TenantID: acme.ID}, id("network"))
	w.refused(err, cloud.CodeNotFound)
}

package store_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"lodge/cloud"
)

func ptr[T any](v T) *T { return &v }

func TestAChangeOfSizeOrNameIsANewWishAndLabelsAreNone(t *testing.T) {
	for _, tc := range []struct {
		name       string
		change     cloud.InstanceChange
		generation int64
		revision   int64
		bell       bool
	}{
		{"nothing", cloud.InstanceChange{}, 1, 2, false},
		{"the same again", cloud.InstanceChange{Name: ptr("web1"), VCPUs: ptr(1), MemoryMiB: ptr(2048)}, 1, 2, false},
		{"vCPUs", cloud.InstanceChange{VCPUs: ptr(4)}, 2, 3, true},
		{"memory", cloud.InstanceChange{MemoryMiB: ptr(4096)}, 2, 3, true},
		{"a name", cloud.InstanceChange{Name: ptr("web2")}, 2, 3, true},
		{"all at once", cloud.InstanceChange{Name: ptr("web2"), VCPUs: ptr(2), MemoryMiB: ptr(4096)}, 2, 3, true},
		{"labels", cloud.InstanceChange{LabelChange: cloud.LabelChange{Labels: map[string]*string{"a": ptr("b")}}}, 1, 3, false},
		{"a label that was not there removed", cloud.InstanceChange{LabelChange: cloud.LabelChange{Labels: map[string]*string{"a": nil}}}, 1, 2, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			i := w.run("web1")
			w.rang()
			got, err := w.UpdateInstance(ctx, operator, w.later(time.Second), i.ID, tc.change)
			w.must(err)
			if got.Generation != tc.generation || got.Revision != tc.revision || w.rang() != tc.bell {
				t.Fatalf("got generation %d, revision %d", got.Generation, got.Revision)
			}
			if got.State != cloud.StateRunning || got.ObservedGeneration != 1 {
				t.Fatalf("the seen side was changed: %+v", got)
			}
			if name := tc.change.Name; name != nil && (got.Name != *name || got.Ports[0].Name != *name) {
				t.Fatalf("got name %q and port name %q", got.Name, got.Ports[0].Name)
			}
		})
	}
}

func TestLabelsAreMerged(t *testing.T) {
	w := newWorld(t)
	n := w.wanted("web1")
	n.Labels = map[string]string{"keep": "1", "change": "1", "drop": "1"}
	i, err := w.CreateInstance(ctx, operator, w.now, n)
	w.must(err)
	got, err := w.UpdateInstance(ctx, operator, w.now, i.ID, cloud.InstanceChange{LabelChange: cloud.LabelChange{Labels: map[string]*string{"change": ptr("2"), "drop": nil, "new": ptr("3")}}})
	w.must(err)
	if want := map[string]string{"keep": "1", "change": "2", "new": "3"}; !maps.Equal(got.Labels, want) {
		t.Fatalf("got %v", got.Labels)
	}
	if i.Labels["change"] != "1" {
		t.Fatal("an instance that was given out before has changed")
	}
}

func TestMergedLabelsAreBounded(t *testing.T) {
	w := newWorld(t)
	n := w.wanted("web1")
	n.Labels = make(map[string]string)
	for k := range cloud.MaxLabels {
		n.Labels[fmt.Sprint("k", k)] = "v"
	}
	i, err := w.CreateInstance(ctx, operator, w.now, n)
	w.must(err)
	_, err = w.UpdateInstance(ctx, operator, w.now, i.ID, cloud.InstanceChange{LabelChange: cloud.LabelChange{Labels: map[string]*string{"more": ptr("v")}}})
	w.refused(err, cloud.CodeInvalid)
	var e *cloud.Error
	if asError(err, &e); len(e.Fields) != 1 || e.Fields[0].Field != "labels" {
		t.Fatalf("got %+v", e)
	}
	got, err := w.UpdateInstance(ctx, operator, w.now, i.ID, cloud.InstanceChange{LabelChange: cloud.LabelChange{Labels: map[string]*string{"more": ptr("v"), "k0": nil, "k1": ptr("w")}}})
	w.must(err)
	if len(got.Labels) != cloud.MaxLabels || got.Labels["k1"] != "w" {
		t.Fatalf("got %v", got.Labels)
	}
}

func TestAChangeThatCannotBeIsRefused(t *testing.T) {
	w := newWorld(t)
	w.create("taken")
	i := w.create("web1")
	for _, tc := range []struct {
		name   string
		change cloud.InstanceChange
		code   cloud.Code
	}{
		{"a name that is taken", cloud.InstanceChange{Name: ptr("taken")}, cloud.CodeNameTaken},
		{"no vCPUs", cloud.InstanceChange{VCPUs: ptr(0)}, cloud.CodeInvalid},
		{"no memory", cloud.InstanceChange{MemoryMiB: ptr(0)}, cloud.CodeInvalid},
		{"more memory than the host has", cloud.InstanceChange{MemoryMiB: ptr(1 << 20)}, cloud.CodeCapacity},
		{"a good part and a bad one", cloud.InstanceChange{VCPUs: ptr(2), Name: ptr("taken")}, cloud.CodeNameTaken},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w.t = t
			_, err := w.UpdateInstance(ctx, operator, w.now, i.ID, tc.change)
			w.refused(err, tc.code)
			if got := w.instance(i.ID); got.Revision != 1 {
				t.Fatalf("it was changed: %+v", got)
			}
		})
	}
}

func TestPowerWishes(t *testing.T) {
	type ask struct {
		change cloud.PowerChange
		force  bool
	}
	start, stop, reboot := ask{cloud.PowerStart, false}, ask{cloud.PowerStop, false}, ask{cloud.PowerReboot, false}
	hardStop, hardReboot := ask{cloud.PowerStop, true}, ask{cloud.PowerReboot, true}
	for _, tc := range []struct {
		name       string
		asks       []ask
		code       cloud.Code // of the last one
		power      cloud.Power
		force      bool
		generation int64
		boots      int64
	}{
		{"start what is wanted running", []ask{start}, "", cloud.PowerOn, false, 1, 0},
		{"stop", []ask{stop}, "", cloud.PowerOff, false, 2, 0},
		{"stop twice", []ask{stop, stop}, "", cloud.PowerOff, false, 2, 0},
		{"stop, then with force", []ask{stop, hardStop}, "", cloud.PowerOff, true, 3, 0},
		{"stop with force, then without", []ask{hardStop, stop}, "", cloud.PowerOff, true, 2, 0},
		{"stop and start", []ask{hardStop, start}, "", cloud.PowerOn, false, 3, 0},
		{"reboot", []ask{reboot}, "", cloud.PowerOn, false, 2, 1},
		{"reboot twice", []ask{reboot, hardReboot}, "", cloud.PowerOn, true, 3, 2},
		{"reboot what is wanted stopped", []ask{stop, reboot}, cloud.CodeConflict, cloud.PowerOff, false, 2, 0},
		{"something else", []ask{{"explode", false}}, cloud.CodeInvalid, cloud.PowerOn, false, 1, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			i := w.create("web1")
			var err error
			for _, a := range tc.asks {
				_, err = w.PowerInstance(ctx, operator, w.later(time.Second), i.ID, a.change, a.force)
			}
			if tc.code != "" {
				w.refused(err, tc.code)
			} else {
				w.must(err)
			}
			got := w.instance(i.ID)
			if got.Power != tc.power || got.PowerForce != tc.force || got.Generation != tc.generation || got.Boots != tc.boots {
				t.Fatalf("got %s, force %v, generation %d, boots %d", got.Power, got.PowerForce, got.Generation, got.Boots)
			}
		})
	}
}

func TestAStartAfterAProblemIsTriedAtOnce(t *testing.T) {
	w := newWorld(t)
	i := w.create("web1")
	r := w.running(i)
	r.State, r.Readings, r.RunningVCPUs, r.RunningMemoryMiB = cloud.StateBuilding, nil, 0, 0
	r.Problem = &cloud.Problem{Code: cloud.CodeGuestFailed, Message: "It did not start.", RetryAt: w.now.Add(time.Hour), Attempts: 7}
	w.record(r)
	due := func() bool {
		ids, err := w.DueInstances(ctx, hostID, w.now)
		w.must(err)
		return slices.Contains(ids, i.ID)
	}
	if due() {
		t.Fatal("it is due although its retry time has not come")
	}
	got, err := w.PowerInstance(ctx, operator, w.later(time.Second), i.ID, cloud.PowerStart, false)
	w.must(err)
	if got.Problem == nil || got.Problem.RetryAt.After(w.now) || !due() {
		t.Fatalf("it still waits: %+v", got.Problem)
	}
	// Tried and failed again: it waits again.
	r.Generation, r.Problem.RetryAt = got.Generation, w.now.Add(2*time.Hour)
	w.record(r)
	if due() {
		t.Fatal("it is due although its retry time has not come")
	}
	w.later(2 * time.Hour)
	if !due() {
		t.Fatal("it is not due although its retry time has come")
	}
}

func TestADeleteIsOnceAndEndsInATombstone(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	w.rang()
	got, err := w.DeleteInstance(ctx, operator, w.later(time.Second), i.ID)
	w.must(err)
	if !got.DeletedAt.Equal(w.now) || got.Generation != 2 || !w.rang() {
		t.Fatalf("got %+v", got)
	}
	again, err := w.DeleteInstance(ctx, operator, w.later(time.Second), i.ID)
	w.must(err)
	if again.Revision != got.Revision || w.rang() {
		t.Fatalf("a second delete changed it: %+v", again)
	}
	_, err = w.UpdateInstance(ctx, operator, w.now, i.ID, cloud.InstanceChange{Name: ptr("web2")})
	w.refused(err, cloud.CodeConflict)
	_, err = w.PowerInstance(ctx, operator, w.now, i.ID, cloud.PowerStart, false)
	w.refused(err, cloud.CodeConflict)
	// Its name is free while it is being taken down.
	w.create("web1")

	w.record(w.gone(again))
	_, err = w.Instance(ctx, operator, i.ID)
	w.refused(err, cloud.CodeNotFound)
	_, err = w.DeleteInstance(ctx, operator, w.now, i.ID)
	w.refused(err, cloud.CodeNotFound)
	items, _, err := w.Instances(ctx, operator, cloud.Filter{}, cloud.Page{})
	w.must(err)
	if len(items) != 1 {
		t.Fatalf("got %d instances", len(items))
	}
	if got := len(w.intervals(i.ID)); got != 4 {
		t.Fatalf("the usage of the tombstone has %d intervals", got)
	}
}

func TestAChangeBoundToARevisionIsMadeToThatOneOnly(t *testing.T) {
	w := newWorld(t)
	in := w.create("web1")
	at := operator
	at.IfMatch = []string{"99"}
	_, err := w.UpdateInstance(ctx, at, w.now, in.ID, cloud.InstanceChange{VCPUs: ptr(4)})
	w.refused(err, cloud.CodePrecondition)
	_, err = w.PowerInstance(ctx, at, w.now, in.ID, cloud.PowerStop, false)
	w.refused(err, cloud.CodePrecondition)
	_, err = w.DeleteInstance(ctx, at, w.now, in.ID)
	w.refused(err, cloud.CodePrecondition)
	at.IfMatch = []string{"98", in.Tag()}
	_, err = w.UpdateInstance(ctx, at, w.now, in.ID, cloud.InstanceChange{VCPUs: ptr(4)})
	w.must(err)
}

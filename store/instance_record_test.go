package store_test

import (
	"slices"
	"testing"
	"time"

	"lodge/cloud"
)

func TestARecordWritesTheSeenSideOnly(t *testing.T) {
	w := newWorld(t)
	i := w.create("web1")
	w.record(w.running(i))
	got := w.instance(i.ID)
	want := i
	want.State, want.ObservedGeneration, want.RunningVCPUs, want.RunningMemoryMiB = cloud.StateRunning, 1, 1, 2048
	want.StartedAt, want.Revision = noon, 2
	if got.State != want.State || got.ObservedGeneration != 1 || got.RunningVCPUs != 1 || got.RunningMemoryMiB != 2048 ||
		!got.StartedAt.Equal(noon) || got.Revision != 2 || got.Generation != 1 || got.Power != cloud.PowerOn || !got.PowerAt.Equal(i.PowerAt) {
		t.Fatalf("got %+v", got)
	}
	wishes, err := w.InstanceWishes(ctx, hostID, []string{i.ID})
	w.must(err)
	if wishes[0].Root.State != cloud.VolumeAvailable {
		t.Fatalf("the root volume is %s", wishes[0].Root.State)
	}
}

func TestARecordThatChangesNothingWritesNothing(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	r := w.running(i)
	r.Problem = &cloud.Problem{Code: cloud.CodeGuestPaused, Message: "Paused.", RetryAt: noon.Add(time.Hour), Attempts: 1}
	w.record(r)
	before, events, ledger := w.instance(i.ID), w.eventTypes(i.ID), w.intervals(i.ID)
	for range 3 {
		r.At = w.later(time.Minute)
		p := *r.Problem
		r.Problem = &p
		w.record(r)
	}
	if got := w.instance(i.ID); got.Revision != before.Revision || !got.UpdatedAt.Equal(before.UpdatedAt) {
		t.Fatalf("it was written: %+v", got)
	}
	if got := w.eventTypes(i.ID); !slices.Equal(got, events) {
		t.Fatalf("got events %v", got)
	}
	if got := w.intervals(i.ID); !slices.Equal(got, ledger) {
		t.Fatalf("got ledger %v", got)
	}
}

func TestAStartIsSetOnceAndClearedWhenOff(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	paused := w.running(i)
	paused.At, paused.State = w.later(time.Minute), cloud.StatePaused
	w.record(paused)
	back := w.running(i)
	back.At = w.later(time.Minute)
	w.record(back)
	if got := w.instance(i.ID).StartedAt; !got.Equal(noon) {
		t.Fatalf("a pause began a new run: %v", got)
	}
	w.later(time.Minute)
	w.record(w.stopped(i))
	if got := w.instance(i.ID).StartedAt; !got.IsZero() {
		t.Fatalf("it is off and runs since %v", got)
	}
	w.later(time.Minute)
	w.record(w.running(i))
	if got := w.instance(i.ID).StartedAt; !got.Equal(w.now) {
		t.Fatalf("got %v", got)
	}
}

func TestObservedOnlyGrows(t *testing.T) {
	w := newWorld(t)
	i := w.create("web1")
	for range 3 {
		var err error
		i, err = w.PowerInstance(ctx, operator, w.now, i.ID, cloud.PowerReboot, false)
		w.must(err)
	}
	w.record(w.running(i))
	late := w.running(i)
	late.Generation, late.ObservedGeneration, late.ObservedBoots, late.At = 2, 2, 1, w.later(time.Second)
	w.record(late)
	if got := w.instance(i.ID); got.ObservedGeneration != 4 || got.ObservedBoots != 3 {
		t.Fatalf("got generation %d, boots %d", got.ObservedGeneration, got.ObservedBoots)
	}
}

func TestAGuestsOwnStopBecomesTheWishUnlessTheWishHasMovedOn(t *testing.T) {
	for _, tc := range []struct {
		name   string
		before func(*world, cloud.Instance) // between the look and the record
		power  cloud.Power
		gen    int64
		seen   int64
	}{
		{"nothing happened meanwhile", func(*world, cloud.Instance) {}, cloud.PowerOff, 2, 2},
		{"a reboot was asked for meanwhile", func(w *world, i cloud.Instance) {
			_, err := w.PowerInstance(ctx, operator, w.now, i.ID, cloud.PowerReboot, false)
			w.must(err)
		}, cloud.PowerOn, 2, 1},
		{"a stop was asked for meanwhile", func(w *world, i cloud.Instance) {
			_, err := w.PowerInstance(ctx, operator, w.now, i.ID, cloud.PowerStop, false)
			w.must(err)
		}, cloud.PowerOff, 2, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			i := w.run("web1")
			r := w.stopped(i)
			r.GuestStopped, r.At = true, w.later(time.Second)
			tc.before(w, i)
			w.record(r)
			got := w.instance(i.ID)
			if got.Power != tc.power || got.Generation != tc.gen || got.ObservedGeneration != tc.seen || got.State != cloud.StateStopped {
				t.Fatalf("got %s, generation %d, observed %d, %s", got.Power, got.Generation, got.ObservedGeneration, got.State)
			}
			// The same record again must not stop it a second time.
			w.record(r)
			if again := w.instance(i.ID); again.Generation != tc.gen {
				t.Fatalf("a repeat made generation %d", again.Generation)
			}
		})
	}
}

func TestAGuestsOwnStopOfAnUnseenWishLeavesThatWishUnseen(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	i, err := w.UpdateInstance(ctx, operator, w.now, i.ID, cloud.InstanceChange{VCPUs: ptr(2)})
	w.must(err)
	r := w.stopped(i)
	r.GuestStopped, r.ObservedGeneration = true, 1
	w.record(r)
	if got := w.instance(i.ID); got.Generation != 3 || got.ObservedGeneration != 1 || got.Power != cloud.PowerOff {
		t.Fatalf("got generation %d, observed %d, %s", got.Generation, got.ObservedGeneration, got.Power)
	}
}

func TestAProblemKeepsItsBeginningWhileItsCodeStays(t *testing.T) {
	w := newWorld(t)
	i := w.create("web1")
	fails := func(code cloud.Code, attempts int) cloud.Problem {
		r := cloud.InstanceRecord{ID: i.ID, Generation: 1, State: cloud.StateBuilding, At: w.later(time.Minute),
			Problem: &cloud.Problem{Code: code, Message: "It failed.", RetryAt: w.now.Add(time.Minute), Attempts: attempts}}
		w.record(r)
		return *w.instance(i.ID).Problem
	}
	first := fails(cloud.CodeStorage, 1)
	second := fails(cloud.CodeStorage, 2)
	if !second.Since.Equal(first.Since) || second.Attempts != 2 || !second.RetryAt.Equal(w.now.Add(time.Minute)) {
		t.Fatalf("got %+v after %+v", second, first)
	}
	if other := fails(cloud.CodeNetwork, 1); !other.Since.Equal(w.now) {
		t.Fatalf("got %+v", other)
	}
	w.later(time.Minute)
	w.record(w.running(i))
	if got := w.instance(i.ID).Problem; got != nil {
		t.Fatalf("got %+v", got)
	}
	want := []string{"instance.created", "instance.building", "instance.problem", "instance.problem", "instance.running", "instance.recovered"}
	if got := w.eventTypes(i.ID); !slices.Equal(got, want) {
		t.Fatalf("got events %v, want %v", got, want)
	}
}

func TestAnUnseenRecordWritesTheProblemOnly(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	before := w.intervals(i.ID)
	w.record(cloud.InstanceRecord{ID: i.ID, Generation: 1, Unseen: true, At: w.later(time.Minute),
		Problem: &cloud.Problem{Code: cloud.CodeHypervisor, Message: "No answer."}})
	got := w.instance(i.ID)
	if got.State != cloud.StateRunning || got.RunningVCPUs != 1 || got.StartedAt.IsZero() || got.Problem == nil {
		t.Fatalf("got %+v", got)
	}
	if !slices.Equal(w.intervals(i.ID), before) {
		t.Fatal("the ledger was changed")
	}
}

func TestGoneFreesEverythingOnceAndForAll(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	w.refused(w.RecordInstance(ctx, w.gone(i)), cloud.CodeConflict) // nobody deleted it
	i, err := w.DeleteInstance(ctx, operator, w.now, i.ID)
	w.must(err)
	w.later(time.Hour)
	w.record(w.gone(i))
	for query, want := range map[string]int{
		`SELECT COUNT(*) FROM instance WHERE state = 'gone' AND gone_at IS NOT NULL`:                          1,
		`SELECT COUNT(*) FROM volume WHERE state = 'gone' AND gone_at IS NOT NULL AND deleted_at IS NOT NULL`: 1,
		`SELECT COUNT(*) FROM port WHERE deleted_at IS NOT NULL`:                                              1,
		`SELECT COUNT(*) FROM port_fixed_ip WHERE released_at IS NOT NULL`:                                    1,
		`SELECT COUNT(*) FROM usage_interval WHERE ended_at IS NULL AND meter <> 'image'`:                     0,
	} {
		var got int
		w.must(raw(t, w.path).QueryRow(query).Scan(&got))
		if got != want {
			t.Errorf("%s gives %d, want %d", query, got, want)
		}
	}
	// Late and repeated records about it are dropped.
	events := w.eventTypes(i.ID)
	w.later(time.Hour)
	w.record(w.gone(i))
	w.record(w.running(i))
	if got := w.eventTypes(i.ID); !slices.Equal(got, events) || got[len(got)-1] != "instance.gone" {
		t.Fatalf("got events %v", got)
	}
	w.refused(w.RecordInstance(ctx, cloud.InstanceRecord{ID: id("nobody"), State: cloud.StateRunning, At: w.now}), cloud.CodeNotFound)
}

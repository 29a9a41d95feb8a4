package store_test

import (
	"fmt"
	"sync"
	"testing"

	"lodge/cloud"
)

func rung(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestTheBellOfEventsRingsForWhomTheyAre(t *testing.T) {
	w := newWorld(t)
	acme := w.newTenant("acme")
	ours, theirs, all := w.NextEvents(w.tenant.ID), w.NextEvents(acme.ID), w.NextEvents("")
	second := w.NextEvents(w.tenant.ID)
	if rung(ours) || rung(theirs) || rung(all) {
		t.Fatal("rung for nothing")
	}
	w.run("web1")
	if !rung(ours) || !rung(second) || !rung(all) {
		t.Error("not rung for an event")
	}
	if rung(theirs) {
		t.Error("rung for another tenant's event")
	}
	if rung(w.NextEvents(w.tenant.ID)) {
		t.Error("the next bell has rung already")
	}
	all, ours = w.NextEvents(""), w.NextEvents(w.tenant.ID)
	w.must(w.CreateFlavor(ctx, operator, w.now, cloud.Flavor{ID: "c9-m9", VCPUs: 9, MemoryMiB: 9216, DiskGiB: 20}))
	if !rung(all) || rung(ours) {
		t.Error("an event of no tenant is for those who see all")
	}
	// What is refused has written nothing.
	all = w.NextEvents("")
	w.refused(w.CreateFlavor(ctx, operator, w.now, cloud.Flavor{ID: "c9-m9", VCPUs: 9, MemoryMiB: 9216, DiskGiB: 20}), cloud.CodeNameTaken)
	if rung(all) {
		t.Error("rung for a change that was refused")
	}
}

// Numbers are given inside the one write transaction there is, so whoever reads
// on from the last number it has seen gets every event once and in order, while
// many write and some of them fail.
func TestTheOrderOfNumbersIsTheOrderOfCommits(t *testing.T) {
	w := newWorld(t)
	from, err := w.LastEvent(ctx)
	w.must(err)
	const writers, each = 8, 40
	done := make(chan struct{})
	read := make(chan []cloud.Event)
	go func() {
		var got []cloud.Event
		after := from
		for last := false; ; {
			next := w.NextEvents("")
			events, err := w.Events(ctx, operator, cloud.EventFilter{After: after, Limit: 7})
			if err != nil {
				t.Error(err)
			}
			got = append(got, events...)
			if len(events) > 0 {
				after = events[len(events)-1].Seq
				continue
			}
			if last {
				read <- got
				return
			}
			select {
			case <-next:
			case <-done:
				last = true
			}
		}
	}()
	var all sync.WaitGroup
	for k := range writers {
		all.Go(func() {
			for i := range each {
				f := cloud.Flavor{ID: fmt.Sprintf("f%d-%d", k, i), VCPUs: 1, MemoryMiB: 64, DiskGiB: 1}
				if err := w.CreateFlavor(ctx, operator, w.now, f); err != nil {
					t.Error(err)
				}
				if err := w.CreateFlavor(ctx, operator, w.now, f); cloud.CodeOf(err) != cloud.CodeNameTaken {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	close(done)
	got := <-read
	want, err := w.Events(ctx, operator, cloud.EventFilter{After: from, Limit: 1000})
	w.must(err)
	if len(got) != writers*each || len(want) != len(got) {
		t.Fatalf("%d events were read on the way and %d are there", len(got), len(want))
	}
	for i := range got {
		if got[i].Seq != want[i].Seq || i > 0 && got[i].Seq <= got[i-1].Seq {
			t.Fatalf("event %d is %d on the way and %d at the end", i, got[i].Seq, want[i].Seq)
		}
	}
}

package store_test

import (
	"testing"

	"lodge/cloud"
)

func TestEventsAreReadInOrderFromACursorOn(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"web1", "web2", "web3"} {
		w.run(name)
	}
	var seqs []int64
	after := int64(0)
	for {
		events, err := w.Events(ctx, operator, cloud.EventFilter{After: after, Limit: 2})
		w.must(err)
		if len(events) == 0 {
			break
		}
		for _, e := range events {
			if e.Seq <= after {
				t.Fatalf("event %d comes after %d", e.Seq, after)
			}
			after = e.Seq
			seqs = append(seqs, e.Seq)
			if e.At.IsZero() || e.Type == "" || e.Message == "" || e.Message[len(e.Message)-1] != '.' || e.Subject.ID == "" {
				t.Fatalf("got %+v", e)
			}
		}
	}
	all, err := w.Events(ctx, operator, cloud.EventFilter{Limit: 5000})
	w.must(err)
	if len(all) != len(seqs) {
		t.Fatalf("got %d events in pages and %d at once", len(seqs), len(all))
	}
}

func TestATenantSeesItsOwnEventsOnly(t *testing.T) {
	w := newWorld(t)
	acme := w.newTenant("acme")
	i := w.run("web1")
	events, err := w.Events(ctx, cloud.Caller{TenantID: acme.ID}, cloud.EventFilter{})
	w.must(err)
	for _, e := range events {
		if e.TenantID != acme.ID {
			t.Fatalf("acme sees %+v", e)
		}
	}
	if len(events) != 1 {
		t.Fatalf("got %+v", events)
	}
	none, err := w.Events(ctx, cloud.Caller{TenantID: acme.ID}, cloud.EventFilter{SubjectID: i.ID})
	w.must(err)
	if len(none) != 0 {
		t.Fatalf("acme sees %+v", none)
	}
	_, err = w.Events(ctx, cloud.Caller{TenantID: acme.ID}, cloud.EventFilter{TenantID: w.tenant.ID})
	w.refused(err, cloud.CodeNotFound)
}

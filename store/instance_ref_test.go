package store_test

import (
	"fmt"
	"testing"

	"lodge/cloud"
)

func TestReferencesAreWhatTheListsShow(t *testing.T) {
	w := newWorld(t)
	acme := w.newTenant("acme")
	var ids []string
	for n := range 5 {
		ids = append(ids, w.create(fmt.Sprintf("web%d", n)).ID)
	}
	w.record(w.running(w.instance(ids[2])))
	page := cloud.Page{Limit: 2}
	for {
		items, next, err := w.Instances(ctx, operator, cloud.Filter{}, page)
		w.must(err)
		refs, refNext, err := w.InstanceRefs(ctx, operator, cloud.Filter{}, page)
		w.must(err)
		if len(items) != len(refs) || next != refNext {
			t.Fatalf("got %d and %d, cursors %q and %q", len(items), len(refs), next, refNext)
		}
		for n, i := range items {
			one, err := w.InstanceRef(ctx, operator, i.ID)
			w.must(err)
			if refs[n].ID != i.ID || refs[n].Revision != i.Revision || one.Revision != i.Revision {
				t.Fatalf("got %+v and %+v for revision %d of %s", refs[n], one, i.Revision, i.ID)
			}
		}
		if next == "" {
			break
		}
		page.Cursor = next
	}
	byID, err := w.InstancesByID(ctx, cloud.Caller{TenantID: w.tenant.ID}, append(ids, id("nothing")))
	w.must(err)
	if len(byID) != 5 {
		t.Fatalf("got %d instances", len(byID))
	}
	other := cloud.Caller{TenantID: acme.ID}
	byID, err = w.InstancesByID(ctx, other, ids)
	w.must(err)
	if len(byID) != 0 {
		t.Fatalf("acme sees %+v", byID)
	}
	_, err = w.InstanceRef(ctx, other, ids[0])
	w.refused(err, cloud.CodeNotFound)
	_, err = w.InstanceRef(ctx, operator, id("nothing"))
	w.refused(err, cloud.CodeNotFound)
	_, _, err = w.InstanceRefs(ctx, other, cloud.Filter{TenantID: w.tenant.ID}, cloud.Page{})
	w.refused(err, cloud.CodeNotFound)
}

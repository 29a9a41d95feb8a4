package api_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"lodge/api/wire"
	"lodge/cloud"
)

// What a tenant used until it was deleted is reported and invoiced by its id. A
// new tenant of its name is another one.
func TestADeletedTenantIsInvoicedByItsID(t *testing.T) {
	h := newHouse(t)
	h.store.now = time.Date(2026, 11, 5, 10, 0, 0, 0, time.UTC)
	h.upload("name=debian-12&default=true&public=true", "RAW").want(201)
	h.do("POST", "/v1/prices", `{"meter":"vcpu","unit_price":"0.5","currency":"EUR"}`).want(201)
	id := decoded[wire.Tenant](h.do("POST", "/v1/tenants", `{"name":"acme"}`).want(201)).ID
	in := decoded[wire.Instance](h.do("POST", "/v1/instances?tenant=acme", `{"name":"web1","size":"2 vCPU, 4GB"}`).want(202))
	h.sees(in.ID)
	h.store.now = h.store.now.Add(3 * time.Hour)
	h.do("DELETE", "/v1/instances/"+in.ID, "").want(202)
	h.gone(in.ID)
	h.do("DELETE", "/v1/tenants/"+id, "").want(204)
	h.do("POST", "/v1/tenants", `{"name":"acme"}`).want(201)
	h.store.now = time.Date(2026, 12, 1, 12, 5, 0, 0, time.UTC)
	h.closeHours()

	for _, name := range []string{id, strings.ToUpper(id)} {
		if got := decoded[wire.Usage](h.do("GET", "/v1/usage?from=2026-11&to=2026-12&tenant="+name, "").want(200)); len(got.Tenants) != 1 || got.Tenants[0].VCPUHours != "6.000000" {
			t.Errorf("usage: %+v", got)
		}
		if got := decoded[wire.Cost](h.do("GET", "/v1/cost?from=2026-11&to=2026-12&tenant="+name, "").want(200)); got.Cost != "3" {
			t.Errorf("cost: %+v", got)
		}
		if rows := rowsOf(t, h.do("GET", "/v1/export/focus?month=2026-11&tenant="+name, "").want(200)); len(rows) == 0 || rows[0]["BillingAccountId"] != id {
			t.Errorf("focus: %v", rows)
		}
	}
	if got := decoded[wire.Invoice](h.do("GET", "/v1/invoices/draft?month=2026-11&tenant="+id, "").want(200)); got.Total != "3.00" {
		t.Errorf("draft: %+v", got)
	}
	made := decoded[wire.Invoice](h.do("POST", "/v1/invoices", `{"tenant":"`+id+`","month":"2026-11"}`).want(201))
	if made.Total != "3.00" || made.TenantID != id || made.Tenant != "acme" {
		t.Errorf("invoice: %+v", made)
	}
	if got := decoded[wire.List[wire.Invoice]](h.do("GET", "/v1/invoices?tenant="+id, "").want(200)); len(got.Items) != 1 {
		t.Errorf("list: %+v", got)
	}
	h.do("GET", "/v1/invoices/"+made.ID+"?tenant="+id, "").want(200)
	if got := decoded[wire.Cost](h.do("GET", "/v1/cost?from=2026-11&to=2026-12&tenant=acme", "").want(200)); got.Cost != "0" {
		t.Errorf("the new one of the name pays for the old: %+v", got)
	}
	// Nothing else of it is there.
	for _, path := range []string{"/v1/instances", "/v1/budgets", "/v1/networks"} {
		h.do("GET", path+"?tenant="+id, "").wantFailure(404, cloud.CodeNotFound)
	}
	h.do("GET", "/v1/usage?tenant="+nobodysID, "").wantFailure(404, cloud.CodeNotFound)
}

// gone records an instance as gone, as reconcile would.
func (h *house) gone(id string) {
	h.t.Helper()
	i, err := h.db.Instance(context.Background(), operator, id)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.db.RecordInstance(context.Background(), cloud.InstanceRecord{
		ID: i.ID, Generation: i.Generation, State: cloud.StateGone, ObservedGeneration: i.Generation, At: h.store.now,
		EndAt: h.store.now, Evidence: cloud.EvidenceSeen,
	}); err != nil {
		h.t.Fatal(err)
	}
}

package api_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"lodge/api/wire"
	"lodge/cloud"
	"lodge/meter"
)

// A spreadsheet that opens a report takes no name for a formula, and every number
// for one. FOCUS is data for programs and has names as they are.
func TestNamesAreNoFormulasInCSV(t *testing.T) {
	h := newHouse(t)
	h.store.now = time.Date(2026, 11, 5, 10, 0, 0, 0, time.UTC)
	name := `=HYPERLINK("https://evil.example","x")`
	h.upload("name=%3DHYPERLINK(%22https%3A%2F%2Fevil.example%22%2C%22x%22)&default=true", "RAW").want(201)
	h.do("POST", "/v1/prices", `{"meter":"image","unit_price":"1","currency":"EUR"}`).want(201)
	h.store.now = time.Date(2026, 12, 1, 12, 5, 0, 0, time.UTC)
	h.closeHours()
	for path, column := range map[string]string{
		"/v1/cost?from=2026-11&to=2026-12&format=csv":                                    "name",
		"/v1/invoices/draft?tenant=default&month=2026-11&format=csv":                     "resource",
		"/v1/usage?from=2026-11&to=2026-12&by=instance&format=csv":                       "name",
		"/v1/export/focus?from=2026-11-05T10:00:00Z&to=2026-11-05T11:00:00Z&version=1.2": "ResourceName",
	} {
		rows := rowsOf(t, h.do("GET", path, "").want(200))
		want := "'" + name
		if strings.Contains(path, "focus") {
			want = name
		}
		if len(rows) == 0 || rows[0][column] != want {
			t.Errorf("%s: %v", path, rows)
		}
		for _, row := range rows {
			for k, v := range row {
				if strings.HasPrefix(v, "'") && k != column {
					t.Errorf("%s: %s is %q", path, k, v)
				}
			}
		}
	}
}

func TestAMonthBeforeTheTenantHasNoInvoice(t *testing.T) {
	h, _ := billed(t)
	for _, month := range []string{"2025-11", "2026-10"} {
		f := h.do("POST", "/v1/invoices", `{"tenant":"default","month":"`+month+`"}`).wantFailure(400, cloud.CodeInvalid)
		if !strings.Contains(f.Detail, "default") {
			t.Errorf("%s", f.Detail)
		}
		h.do("GET", "/v1/invoices/draft?tenant=default&month="+month, "").wantFailure(400, cloud.CodeInvalid)
	}
	if got := decoded[wire.List[wire.Invoice]](h.do("GET", "/v1/invoices", "").want(200)); len(got.Items) != 0 {
		t.Errorf("%+v", got)
	}
	h.do("POST", "/v1/invoices", `{"tenant":"default","month":"2026-11"}`).want(201)
}

// Just behind the end of a month its last hour is not closed yet.
func TestTheLastHourOfAMonthIsBeingClosed(t *testing.T) {
	h := newHouse(t)
	h.store.now = time.Date(2026, 11, 30, 22, 0, 0, 0, time.UTC)
	h.do("POST", "/v1/prices", `{"meter":"vcpu","unit_price":"1","currency":"EUR"}`).want(201)
	id := decoded[wire.Tenant](h.do("POST", "/v1/tenants", `{"name":"acme"}`).want(201)).ID
	h.madeBefore(id, h.store.now.Add(-time.Hour))
	if err := h.db.CloseHour(context.Background(), h.store.now, h.store.now.Add(-time.Hour), meter.Hour); err != nil {
		t.Fatal(err)
	}
	body := `{"tenant":"acme","month":"2026-11"}`
	a := h.do("POST", "/v1/invoices", body)
	if f := a.wantFailure(409, cloud.CodeConflict); !strings.Contains(f.Detail, "is not over") || a.Header.Get("Retry-After") != "" {
		t.Errorf("%s %v", f.Detail, a.Header)
	}
	h.store.now = time.Date(2026, 12, 1, 0, 0, 30, 0, time.UTC)
	a = h.do("POST", "/v1/invoices", body)
	if f := a.wantFailure(409, cloud.CodeConflict); !strings.Contains(f.Detail, "is over, and its last hours are being closed") || a.Header.Get("Retry-After") != "60" {
		t.Errorf("%s %v", f.Detail, a.Header)
	}
}

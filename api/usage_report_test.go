package api_test

import (
	"strings"
	"testing"

	"lodge/api/wire"
	"lodge/cloud"
)

// A report of usage by anything adds up, for each meter, to what was used in all,
// and knows nothing of minimums and caps.
func TestUsageByAnything(t *testing.T) {
	h, in := billed(t)
	period := "from=2026-11&to=2026-12"
	all := map[string]string{}
	for _, l := range decoded[wire.UsageReport](h.do("GET", "/v1/usage?by=meter&"+period, "").want(200)).Lines {
		if l.Key != l.Meter || l.Unit != cloud.Meter(l.Meter).Unit() {
			t.Errorf("%+v", l)
		}
		all[l.Meter] = l.Quantity
	}
	// Half an hour and 7 ms on the 29th, and two hours on the 30th, of 2 vCPUs and
	// 4 GiB; the minimum of memory and the cap of vCPUs have no part in it.
	if all["vcpu"] != "5.000003889" || all["memory"] != "10.000007778" || all["instance"] != "2.500001944" {
		t.Fatalf("got %v", all)
	}
	for _, by := range []string{"instance", "tenant", "day", "hour", "label:env"} {
		a := h.do("GET", "/v1/usage?by="+by+"&"+period, "").want(200)
		u := decoded[wire.UsageReport](a)
		got := map[string][]string{}
		for _, l := range u.Lines {
			got[l.Meter] = append(got[l.Meter], l.Quantity)
		}
		rows := rowsOf(t, h.do("GET", "/v1/usage?format=csv&by="+by+"&"+period, "").want(200))
		if len(rows) != len(u.Lines) {
			t.Errorf("by %s: %d rows, %d lines", by, len(rows), len(u.Lines))
		}
		for m, want := range all {
			if sum := sumRows(t, rows, "quantity", func(r map[string]string) bool { return r["meter"] == m }); sum != want {
				t.Errorf("by %s: %s is %s, want %s", by, m, sum, want)
			}
		}
	}
	days := decoded[wire.UsageReport](h.do("GET", "/v1/usage?by=day&label=env=prod&"+period+"&instance="+in.ID, "").want(200))
	for _, l := range days.Lines {
		if l.Meter == "vcpu" && l.Key != "2026-11-29" && l.Key != "2026-11-30" {
			t.Errorf("%+v", l)
		}
	}
	if got := decoded[wire.UsageReport](h.do("GET", "/v1/usage?label=env=dev&"+period, "").want(200)); len(got.Lines) != 0 || got.By != "instance" {
		t.Errorf("%+v", got)
	}
	for _, bad := range []string{"by=week", "by=label:", "by=day&from=2026-11-05T10:30:00Z", "by=hour&from=2020&to=2026", "by=&x=1"} {
		if a := h.do("GET", "/v1/usage?"+bad, ""); a.StatusCode != 400 {
			t.Errorf("%s: %d", bad, a.StatusCode)
		}
	}
	if f := h.do("GET", "/v1/usage?by=bogus", "").wantFailure(400, cloud.CodeInvalid); !strings.Contains(f.Detail, "meter, label:KEY") {
		t.Errorf("%s", f.Detail)
	}
	if f := h.do("GET", "/v1/usage/verify?head=abc", "").wantFailure(400, cloud.CodeInvalid); len(f.Errors) != 1 || f.Errors[0].Field != "head" {
		t.Errorf("%+v", f)
	}
	// Without any of it the answer is as ever.
	if got := decoded[wire.Usage](h.do("GET", "/v1/usage?"+period, "").want(200)); got.Tenants[0].VCPUHours != "5.000004" {
		t.Errorf("%+v", got)
	}
}

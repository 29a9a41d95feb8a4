package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"

	"lodge/api/wire"
	"lodge/cloud"
)

// priced is a house with a price book and one guest that runs since noon, so
// for 1 h 30 min at 13:30 of November 5.
func priced(t *testing.T) (h *house, in wire.Instance) {
	h = newHouse(t)
	h.store.now = time.Date(2026, 11, 5, 12, 0, 0, 0, time.UTC)
	h.upload("name=debian-12&default=true", "RAW").want(201)
	for _, body := range []string{
		`{"meter":"vcpu","unit_price":"0.01","currency":"EUR"}`,
		`{"meter":"memory","unit_price":"0.005"}`,
		`{"meter":"disk","unit_price":"0.0001"}`,
		`{"meter":"instance","unit_price":"0"}`,
	} {
		h.do("POST", "/v1/prices", body).want(201)
	}
	in = h.create(`{"name":"web1","size":"2 vCPU, 4GB","labels":{"env":"prod"}}`)
	h.sees(in.ID)
	h.store.now = h.store.now.Add(90 * time.Minute)
	return h, in
}

// An hour costs 2 x 0.01 + 4 x 0.005 + 20 x 0.0001 = 0.042.
const perHour = "0.042"

func sumOf(t *testing.T, lines []wire.CostLine) string {
	sum := decimal.Zero
	for _, l := range lines {
		d, err := decimal.NewFromString(l.Cost)
		if err != nil {
			t.Fatal(err)
		}
		sum = sum.Add(d)
	}
	return sum.String()
}

func TestCostIsWhatWasUsedAtThePrices(t *testing.T) {
	h, in := priced(t)
	c := decoded[wire.Cost](h.do("GET", "/v1/cost", "").want(200))
	if c.Cost != "0.063" || c.ListCost != "0.063" || c.Currency != "EUR" || c.Minor != 2 || c.Note != "no price" || c.By != "instance" {
		t.Errorf("got %+v", c)
	}
	image := decoded[wire.List[wire.Image]](h.do("GET", "/v1/images", "").want(200)).Items[0]
	want := []wire.CostLine{ // there is no price for images; ids grow
		{Key: image.ID, Name: "debian-12", Cost: "0", ListCost: "0", Note: "no price"},
		{Key: in.ID, Name: "web1", Cost: "0.063", ListCost: "0.063"},
	}
	if diff := cmp.Diff(want, c.Lines); diff != "" {
		t.Error(diff)
	}
	// 12:00 of the 5th until the end of the 30th: 25.5 days.
	if c.Forecast == nil || c.Forecast.Cost != "25.704" {
		t.Errorf("forecast %+v", c.Forecast)
	}
	for by, n := range map[string]int{"instance": 2, "tenant": 1, "day": 1, "hour": 2, "meter": 5, "label:env": 2, "label:nosuch": 1} {
		c := decoded[wire.Cost](h.do("GET", "/v1/cost?by="+by, "").want(200))
		if len(c.Lines) != n || sumOf(t, c.Lines) != c.Cost {
			t.Errorf("by %s: %+v", by, c.Lines)
		}
	}
	if got := decoded[wire.Cost](h.do("GET", "/v1/cost?label=env=dev", "").want(200)); got.Cost != "0" || got.Forecast.Cost != "0" || len(got.Lines) != 0 {
		t.Errorf("of others: %+v", got)
	}
	if got := decoded[wire.Cost](h.do("GET", "/v1/cost?by=hour&from=2026-11-05T12:00:00Z&to=2026-11-05T13:00:00Z", "").want(200)); got.Cost != perHour || got.Forecast != nil {
		t.Errorf("of an hour: %+v", got)
	}
	if got := decoded[wire.Cost](h.do("GET", "/v1/cost?by=meter&from=2026-11-05T12:00:00Z&to=2026-11-05T13:00:00Z", "").want(200)); got.Lines[3].Key != "memory" || got.Lines[3].Quantity != "4" || got.Lines[3].Unit != "GiB-h" || got.Lines[3].Cost != "0.02" {
		t.Errorf("of an hour by meter: %+v", got.Lines)
	}
}

func TestBadReportsOfCostAreRefused(t *testing.T) {
	h, _ := priced(t)
	for _, query := range []string{
		"by=year", "by=label:", "by=label:%20", "from=2026-11-05T12:30:00Z", "to=2026-11-05T12:30:00Z", "from=2026-12&to=2026-11", "from=2027-01",
		"by=hour&from=2026-01&to=2026-12", "by=day&from=2020-01&to=2026-12", "label==", "instance=x",
	} {
		h.do("GET", "/v1/cost?"+query, "").wantFailure(http.StatusBadRequest, cloud.CodeInvalid)
	}
	h.do("GET", "/v1/cost?instance="+nobodysID, "").wantFailure(404, cloud.CodeNotFound)
	h.do("GET", "/v1/cost?tenant=nobody", "").wantFailure(404, cloud.CodeNotFound)
}

func TestAnInstanceSaysItsCostWhenAsked(t *testing.T) {
	h, in := priced(t)
	plain := decoded[wire.Instance](h.do("GET", "/v1/instances/"+in.ID, "").want(200))
	if plain.Cost != nil {
		t.Errorf("not asked for: %+v", plain.Cost)
	}
	got := decoded[wire.Instance](h.do("GET", "/v1/instances/"+in.ID+"?cost=true", "").want(200))
	if got.Cost == nil || got.Cost.Cost != "0.063" || got.Cost.Currency != "EUR" || got.Cost.Note != "" {
		t.Errorf("got %+v", got.Cost)
	}
	got.Cost = nil
	if diff := cmp.Diff(plain, got); diff != "" {
		t.Error(diff)
	}
	h.create(`{"name":"web2"}`)
	for _, query := range []string{"?cost=true", "?fields=id,cost"} {
		l := decoded[wire.List[wire.Instance]](h.do("GET", "/v1/instances"+query, "").want(200))
		if len(l.Items) != 2 || l.Items[0].Cost == nil || l.Items[0].Cost.Cost != "0.063" || l.Items[1].Cost == nil || l.Items[1].Cost.Cost != "0" {
			t.Errorf("%s: %+v", query, l.Items)
		}
	}
	l := decoded[wire.List[wire.Instance]](h.do("GET", "/v1/instances", "").want(200))
	if l.Items[0].Cost != nil {
		t.Error("a list that was not asked has costs")
	}
	h.do("GET", "/v1/instances?cost=perhaps", "").wantFailure(400, cloud.CodeInvalid)
}

func TestEstimates(t *testing.T) {
	h, _ := priced(t)
	e := decoded[wire.SizeEstimate](h.do("POST", "/v1/estimates", `{"size":"2 vCPU, 4GB"}`).want(200))
	// 730 x 0.042
	if e.VCPUs != 2 || e.MemoryMiB != 4096 || e.DiskGiB != 20 || e.Price.PerHour != perHour || e.Price.PerMonth != "30.66" || e.Price.Currency != "EUR" || e.Price.Note != "" {
		t.Errorf("got %+v", e)
	}
	// 100 x 0.04 for what runs, 730 x 0.002 for the disk
	e = decoded[wire.SizeEstimate](h.do("POST", "/v1/estimates", `{"size":"2 vCPU, 4GB","hours_per_month":100}`).want(200))
	if e.Price.PerMonth != "5.46" || e.Price.HoursPerMonth != 100 {
		t.Errorf("of 100 hours: %+v", e.Price)
	}
	h.do("POST", "/v1/prices", `{"meter":"vcpu","unit_price":"0.5","label":"tier=gold","cap_hours":10}`).want(201)
	h.do("POST", "/v1/discounts", `{"tenant":"default","meter":"vcpu","percent":"50"}`).want(201)
	// 2 x 0.5 x 50% + 0.022 an hour; 10 x 0.5 + 730 x 0.022 a month
	e = decoded[wire.SizeEstimate](h.do("POST", "/v1/estimates", `{"size":"2 vCPU, 4GB","labels":{"tier":"gold"}}`).want(200))
	if e.Price.PerHour != "0.522" || e.Price.PerMonth != "21.06" || e.Price.Lines[1].DiscountPercent != "50" || e.Price.Lines[1].HoursPerMonth != 10 {
		t.Errorf("with labels: %+v", e.Price)
	}
	if e = decoded[wire.SizeEstimate](h.do("POST", "/v1/estimates", `{}`).want(200)); e.Flavor != cloud.DefaultFlavorID {
		t.Errorf("of nothing: %+v", e)
	}
	for _, body := range []string{`{"size":"much"}`, `{"vcpus":2}`, `{"flavor":"nosuch"}`, `{"image":"nosuch"}`, `{"hours_per_month":731}`, `{"labels":{"/":"x"}}`, `{"size":"1 vCPU, 1GB","flavor":"c1-m2"}`} {
		h.do("POST", "/v1/estimates", body).wantFailure(400, cloud.CodeInvalid)
	}
	dry := decoded[wire.DryRun](h.do("POST", "/v1/instances?dry_run=true", `{"name":"web2","size":"1 vCPU, 1GB"}`).want(200))
	if dry.Estimate.Price == nil || dry.Estimate.Price.PerHour != "0.012" {
		t.Errorf("dry run: %+v", dry.Estimate.Price)
	}
}

func TestAPriceIsSetEndedAndReplaced(t *testing.T) {
	h, _ := priced(t)
	a := h.do("POST", "/v1/prices", `{"meter":"vcpu","unit_price":"0.02","valid_from":"2026-12"}`)
	a.wantFailure(409, cloud.CodeConflict)
	made := decoded[wire.Price](h.do("POST", "/v1/prices", `{"meter":"vcpu","unit_price":"0.020","valid_from":"2026-12","replace":true}`).want(201))
	if made.UnitPrice != "0.02" || made.Unit != "vCPU-h" || made.Currency != "EUR" {
		t.Errorf("got %+v", made)
	}
	for at, want := range map[string]string{"2026-11-30": "0.01", "2026-12": "0.02"} {
		l := decoded[wire.List[wire.Price]](h.do("GET", "/v1/prices?meter=vcpu&at="+at, "").want(200))
		if len(l.Items) != 1 || l.Items[0].UnitPrice != want {
			t.Errorf("at %s: %+v", at, l.Items)
		}
	}
	// From December on a vCPU-hour costs twice as much, and the forecast of November not.
	if c := decoded[wire.Cost](h.do("GET", "/v1/cost", "").want(200)); c.Forecast.Cost != "25.704" {
		t.Errorf("forecast %+v", c.Forecast)
	}
	h.do("POST", "/v1/prices/"+made.ID+"/end", `{"at":"2026-11"}`).wantFailure(400, cloud.CodeInvalid)
	ended := decoded[wire.Price](h.do("POST", "/v1/prices/"+made.ID+"/end", `{"at":"2026-12"}`).want(200))
	if !ended.ValidTo.Equal(ended.ValidFrom.Time) {
		t.Errorf("withdrawn: %+v", ended)
	}
	h.do("POST", "/v1/prices", `{"meter":"vcpu","unit_price":"1","currency":"USD","valid_from":"2027-01"}`).wantFailure(409, cloud.CodeConflict)
	key := []string{"Idempotency-Key", "the-same-again"}
	first := h.do("POST", "/v1/prices", `{"meter":"egress","unit_price":"0.01"}`, key...).want(201)
	again := h.do("POST", "/v1/prices", `{"meter":"egress","unit_price":"0.01"}`, key...).want(201)
	if string(first.body) != string(again.body) || first.Header.Get("Location") != again.Header.Get("Location") {
		t.Errorf("%s and %s", first.body, again.body)
	}
	id := decoded[wire.Price](first).ID
	end := h.do("POST", "/v1/prices/"+id+"/end", "", key[0], "the-end").want(200)
	if again := h.do("POST", "/v1/prices/"+id+"/end", "", key[0], "the-end").want(200); string(end.body) != string(again.body) {
		t.Errorf("%s and %s", end.body, again.body)
	}
	if got := decoded[wire.Price](end); !got.ValidTo.Equal(time.Date(2026, 11, 5, 14, 0, 0, 0, time.UTC)) {
		t.Errorf("ends %s", got.ValidTo)
	}
}

func TestWithoutPricesEverythingCostsNothing(t *testing.T) {
	f := usageFront(t)
	c := decoded[wire.Cost](f.do("GET", "/v1/cost", "").want(200))
	if c.Cost != "0" || c.Note != "no price" || c.Currency != "" || len(c.Lines) != 2 || c.Lines[0].Note != "no price" || c.Forecast.Cost != "0" {
		t.Errorf("got %+v", c)
	}
	if l := decoded[wire.List[wire.Price]](f.do("GET", "/v1/prices", "").want(200)); len(l.Items) != 0 {
		t.Errorf("prices %+v", l)
	}
}

// A tenant's cost is made from its own prices, and it never sees another's.
func TestPricesOfATenant(t *testing.T) {
	g := newGuarded(t)
	ids := g.objects()
	for actor, want := range map[string]int{"ours viewer": 1, "theirs admin": 0, "operator": 1} {
		for _, noun := range []string{"prices", "discounts"} {
			if l := decoded[wire.List[any]](g.as(actor, "GET", "/v1/"+noun, "").want(200)); len(l.Items) != want {
				t.Errorf("%s sees %d %s", actor, len(l.Items), noun)
			}
		}
	}
	g.as("theirs admin", "GET", "/v1/prices/"+ids["prices"], "").wantFailure(404, cloud.CodeNotFound)
	mine := decoded[wire.SizeEstimate](g.as("ours viewer", "POST", "/v1/estimates", `{"size":"1 vCPU, 1GB"}`).want(200))
	theirs := decoded[wire.SizeEstimate](g.as("theirs viewer", "POST", "/v1/estimates", `{"size":"1 vCPU, 1GB"}`).want(200))
	if mine.Price.PerHour != "0.009" || theirs.Price.PerHour != "0" {
		t.Errorf("%+v and %+v", mine.Price, theirs.Price)
	}
}

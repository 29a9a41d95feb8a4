package meter

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"lodge/cloud"
)

// What a schedule saves is bounded by what a cap leaves: hours beyond it would have
// cost nothing.
func TestASavingKnowsTheCap(t *testing.T) {
	now := time.Date(2026, 11, 5, 12, 0, 0, 0, time.UTC)
	prices := []cloud.Price{{ID: "p", Meter: cloud.MeterVCPU, UnitPrice: "1", From: now.AddDate(0, -2, 0), States: []cloud.State{cloud.StateRunning}, CapHours: 20}}
	at := func(hours int) time.Time { return cloud.Month(now).Add(time.Duration(hours) * time.Hour) }
	run := func(from, to int) cloud.Interval {
		iv := cloud.Interval{TenantID: "t", ResourceID: "i", Reading: cloud.Reading{Slot: "cpu", Meter: cloud.MeterVCPU, Amount: 1, State: cloud.StateRunning}, StartedAt: at(from)}
		if to > 0 {
			iv.EndedAt = at(to)
		}
		return iv
	}
	rest := []cloud.Rest{{InstanceID: "i", TenantID: "t", VCPUs: 1, MemoryMiB: 1024, From: at(30), Until: at(40)}}
	for _, c := range []struct {
		name string
		ran  []cloud.Interval
		want string
	}{
		{"nothing else ran", nil, "10"},
		{"the cap was used up before", []cloud.Interval{run(0, 25)}, "0"},
		{"a part of it was", []cloud.Interval{run(5, 20)}, "5"},
		{"it is used up later", []cloud.Interval{run(45, 70)}, "0"},
		{"later too, in part", []cloud.Interval{run(0, 3), run(45, 60)}, "2"},
		{"while it rested it shut down", []cloud.Interval{run(25, 31)}, "10"},
		{"another one ran", []cloud.Interval{func() cloud.Interval { iv := run(0, 25); iv.ResourceID = "j"; return iv }()}, "10"},
		{"it still runs", []cloud.Interval{run(100, 0)}, "10"}, // for 8 h
	} {
		if got := Saved(rest, c.ran, prices, nil, now); got.Cost.String() != c.want {
			t.Errorf("%s: saved %s, want %s", c.name, got.Cost, c.want)
		}
	}
}

// An estimate is what a month costs that runs for so many of its hours at one
// piece and is stopped for the rest: the ledger of such a month says the same.
func TestAnEstimateIsWhatSuchAMonthCosts(t *testing.T) {
	from := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(rt *rapid.T) {
		hours := int64(rapid.IntRange(0, MonthHours).Draw(rt, "hours"))
		reading := cloud.Reading{Slot: "memory", Meter: cloud.MeterMemory, Amount: int64(rapid.SampledFrom([]int{1024, 333, 4096}).Draw(rt, "memory"))}
		p := cloud.Price{ID: "p", Meter: cloud.MeterMemory, UnitPrice: anyPrice.Draw(rt, "price"), From: from.AddDate(0, -2, 0), CapHours: int64(rapid.SampledFrom([]int{0, 0, 5, 600}).Draw(rt, "cap")),
			States: rapid.SampledFrom([][]cloud.State{nil, {cloud.StateRunning}, {cloud.StateStopped}, {cloud.StateRunning, cloud.StateStopped}, {cloud.StatePaused}}).Draw(rt, "states")}
		var discounts []cloud.Discount
		if rapid.Bool().Draw(rt, "discount") {
			discounts = []cloud.Discount{{ID: "d", TenantID: "t", Percent: "12.5", From: p.From}}
		}
		q := Estimate([]cloud.Price{p}, discounts, "t", "", nil, []cloud.Reading{reading}, from, hours)[0]
		on := reading
		on.State = cloud.StateRunning
		off := reading
		off.State = cloud.StateStopped
		turn, end := from.Add(time.Duration(hours)*time.Hour), from.Add(MonthHours*time.Hour)
		in := Input{Prices: []cloud.Price{p}, Discounts: discounts, From: from, To: from.AddDate(0, 1, 0), Now: end, Intervals: []cloud.Interval{
			{Seq: 1, TenantID: "t", ResourceID: "i", Reading: on, StartedAt: from, EndedAt: turn}, {Seq: 2, TenantID: "t", ResourceID: "i", Reading: off, StartedAt: turn},
		}}
		if hours == 0 {
			in.Intervals = in.Intervals[1:]
		}
		want := decimal.Zero
		for c := range Charges(in) {
			want = want.Add(c.Cost())
		}
		if !q.PerMonth.Equal(want) {
			rt.Fatalf("a month with %d hours: %s, want %s", hours, q.PerMonth, want)
		}
	})
}

// Of an hour, a slot and a price there is one row of what is beyond a cap, whether
// it was used or tops up to a minimum, and only what was used is consumed.
func TestBeyondACapIsOneRow(t *testing.T) {
	month := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	in := FocusInput{
		Version: FocusDefault, Issuer: "lodge", Currency: cloud.CurrencyOf("EUR"), Month: month, From: month, To: month.Add(4 * time.Hour),
		Ledger: Input{Prices: []cloud.Price{{ID: "p", Meter: cloud.MeterVCPU, UnitPrice: "1", From: month, CapHours: 1, MinimumSeconds: 3600}}},
	}
	run := func(from, to time.Duration) {
		in.Ledger.Intervals = append(in.Ledger.Intervals, cloud.Interval{Seq: int64(from), TenantID: "t", ResourceID: "i", Resource: "web",
			Reading: cloud.Reading{Slot: "cpu", Meter: cloud.MeterVCPU, Amount: 1, State: cloud.StateRunning}, StartedAt: month.Add(from), EndedAt: month.Add(to)})
	}
	run(0, 90*time.Minute)                // an hour, and half of one beyond the cap
	run(120*time.Minute, 129*time.Minute) // 0.15 h beyond, topped up by 0.85
	run(150*time.Minute, 156*time.Minute) // 0.1 h beyond, topped up by 0.9
	header := FocusColumns(FocusDefault)
	column := func(name string) int { return slices.Index(header, name) }
	keys, consumed, priced := map[string]int{}, decimal.Zero, decimal.Zero
	for row := range FocusMonth(in) {
		key := row[column("ChargePeriodStart")] + " " + row[column("x_LodgeKind")]
		if keys[key]++; keys[key] > 1 {
			t.Errorf("two rows of %s", key)
		}
		consumed = consumed.Add(decimal.RequireFromString(row[column("ConsumedQuantity")]))
		priced = priced.Add(decimal.RequireFromString(row[column("PricingQuantity")]))
		if strings.HasPrefix(key, "2026-11-01T02") && (row[column("ConsumedQuantity")] != "0.25" || row[column("PricingQuantity")] != "2") {
			t.Errorf("%s: consumed %s of %s", key, row[column("ConsumedQuantity")], row[column("PricingQuantity")])
		}
	}
	if consumed.String() != "1.75" || priced.String() != "3.5" || len(keys) != 3 {
		t.Errorf("consumed %s, priced %s in %v", consumed, priced, keys)
	}
}

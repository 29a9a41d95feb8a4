package store_test

import (
	"fmt"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/meter"
)

// yearOfRuns writes a year of 100 instances with 8 meters each, that were stopped
// and started so many times, straight into the ledger.
func yearOfRuns(b *testing.B, runs int) (*world, cloud.UsageFilter) {
	w := newWorld(b)
	db := raw(b, w.path)
	from := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	to := from.AddDate(1, 0, 0)
	t, err := db.Begin()
	w.must(err)
	add, err := t.Prepare(`INSERT INTO usage_interval (tenant_id, resource_id, resource, slot, meter, amount, state, started_at, ended_at, evidence) VALUES (?, ?, ?, ?, ?, ?, 'running', ?, ?, 'seen')`)
	w.must(err)
	slots := []struct {
		slot, meter string
		amount      int64
	}{{"instance", "instance", 1}, {"cpu", "vcpu", 2}, {"memory", "memory", 4096}, {"disk:root", "disk", 20}, {"disk:data", "volume", 100}, {"snapshot:0", "snapshot", 20}, {"image", "image", 3}, {"ip:0", "floating_ip", 1}}
	length := to.Sub(from) / time.Duration(runs)
	for i := range 100 {
		resource := id("year", i)
		for _, s := range slots {
			for run := range runs {
				start := from.Add(time.Duration(run)*length + time.Duration(i*1237+run*7919)*time.Millisecond)
				_, err := add.Exec(w.tenant.ID, resource, fmt.Sprint("vm", i), s.slot, s.meter, s.amount, start.UnixMilli(), start.Add(length-5*time.Minute).UnixMilli())
				w.must(err)
			}
		}
	}
	w.must(t.Commit())
	for _, m := range cloud.BilledMeters()[:8] {
		w.price(string(m), func(p *cloud.Price) {
			p.Meter, p.MinimumSeconds, p.CapHours = m, 60, 672
		})
	}
	return w, cloud.UsageFilter{TenantID: w.tenant.ID, From: from, To: to}
}

// A year's report of what 100 instances cost, from the rows on.
func BenchmarkCostOfAYear(b *testing.B) {
	for _, runs := range []int{1, 4, 12} {
		b.Run(fmt.Sprintf("runs=%d", runs), func(b *testing.B) {
			w, f := yearOfRuns(b, runs)
			period := f
			f.From, f.To = meter.Window(f.From, f.To)
			for b.Loop() {
				intervals, err := w.UsageIntervals(ctx, operator, f)
				w.must(err)
				prices, err := w.Prices(ctx, operator, cloud.PriceFilter{TenantID: w.tenant.ID})
				w.must(err)
				charges := meter.Charges(meter.Input{Intervals: intervals, Prices: prices, From: period.From, To: period.To, Now: period.To})
				by := meter.By(charges, func(c meter.Charge) (string, string) { return c.ResourceID, c.Resource })
				if sum := meter.Whole(by); len(by) != 100 || sum.Cost.IsZero() || sum.Unpriced {
					b.Fatal(len(by), sum)
				}
			}
		})
	}
}

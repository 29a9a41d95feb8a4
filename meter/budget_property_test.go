package meter

import (
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"lodge/cloud"
)

// The oracle knows nothing of rates: it asks what was spent at an instant, and
// finds the first at which the limit is reached by halving.
type purseOracle struct {
	b        cloud.Budget
	u        cloud.BudgetUsage
	from, to time.Time
}

func (o purseOracle) spentAt(at time.Time) decimal.Decimal {
	in := Input{Intervals: o.u.Intervals, Facts: o.u.Facts, Traffic: o.u.Traffic, Prices: o.u.Prices, Discounts: o.u.Discounts, From: o.from, To: o.to, Now: at}
	sum := decimal.Zero
	for c := range Charges(in) {
		if o.b.Selects(c.Labels) {
			sum = sum.Add(c.Cost())
		}
	}
	return sum
}

func (o purseOracle) crossing(now time.Time, limit decimal.Decimal) (time.Time, bool) {
	below, above := now.UnixMilli(), o.to.UnixMilli()
	if o.spentAt(o.to).LessThan(limit) {
		return time.Time{}, false
	}
	for above-below > 1 {
		middle := (below + above) / 2
		if o.spentAt(time.UnixMilli(middle)).LessThan(limit) {
			below = middle
		} else {
			above = middle
		}
	}
	return time.UnixMilli(above).UTC(), true
}

var anyPrice = rapid.SampledFrom([]string{"0.01", "0.123456789012", "3", "0", "0.0000001", "0.000000000001", "999999999.999999999999", "0.333333333333"})

// anyUsage is what a tenant may have used, and goes on to, around now.
func anyUsage(rt *rapid.T, now time.Time) (u cloud.BudgetUsage) {
	whole := func(name string, from, to int) int { return rapid.IntRange(from, to).Draw(rt, name) }
	pick := func(name string, of ...int) int64 { return int64(rapid.SampledFrom(of).Draw(rt, name)) }
	hour := cloud.Hour(now)
	for n := range whole("instances", 1, 3) {
		id := string(rune('a' + n))
		labels := map[string]string{"env": rapid.SampledFrom([]string{"dev", "prod"}).Draw(rt, "env")}
		start := now.Add(-time.Duration(whole("ago", 0, 30*3600_000)) * time.Millisecond)
		u.Facts = append(u.Facts, cloud.UsageFact{TenantID: "t", ResourceID: id, Labels: labels, Since: start})
		for m, reading := range []cloud.Reading{
			{Slot: "cpu", Meter: cloud.MeterVCPU, Amount: int64(whole("vcpus", 1, 9)), State: cloud.StateRunning},
			{Slot: "memory", Meter: cloud.MeterMemory, Amount: pick("memory", 1, 333, 4096), State: cloud.StateRunning},
		} {
			iv := cloud.Interval{Seq: int64(10*n + 2*m), TenantID: "t", ResourceID: id, Reading: reading, StartedAt: start}
			if rapid.Bool().Draw(rt, "stopped between") {
				then := iv
				iv.EndedAt = start.Add(now.Sub(start) / 3)
				then.Seq, then.StartedAt = iv.Seq+1, start.Add(now.Sub(start)/2)
				if iv.EndedAt.After(iv.StartedAt) {
					u.Intervals = append(u.Intervals, iv)
				}
				iv = then
			}
			u.Intervals = append(u.Intervals, iv)
		}
		for range whole("readings", 0, 2) {
			at := now.Add(-time.Duration(whole("read", 0, 3*3600_000)) * time.Millisecond)
			u.Traffic = append(u.Traffic, cloud.Traffic{Seq: int64(len(u.Traffic)), TenantID: "t", ResourceID: id, Slot: "nic:0", Meter: cloud.MeterEgress, Bytes: pick("bytes", 1, 1_000_001_000, 1<<40), EndedAt: at})
		}
	}
	for _, m := range []cloud.Meter{cloud.MeterVCPU, cloud.MeterMemory, cloud.MeterEgress} {
		from := hour.AddDate(0, -2, 0)
		for range whole("prices of "+string(m), 0, 3) {
			p := cloud.Price{ID: string(rune('p' + len(u.Prices))), Meter: m, UnitPrice: anyPrice.Draw(rt, "price"), From: from, To: hour.Add(time.Duration(whole("until", 1, 30)) * time.Hour)}
			if m != cloud.MeterEgress {
				p.CapHours, p.MinimumSeconds = pick("cap", 0, 0, 5, 9, 40), pick("minimum", 0, 0, 3600, 86400)
				p.States = rapid.SampledFrom([][]cloud.State{{cloud.StateRunning}, {cloud.StateRunning}, {cloud.StateStopped}, nil}).Draw(rt, "states")
			}
			if from = p.To; p.From.Before(p.To) {
				u.Prices = append(u.Prices, p)
			}
		}
	}
	for n := range whole("discounts", 0, 2) {
		d := cloud.Discount{ID: string(rune('d' + n)), TenantID: "t", Percent: rapid.SampledFrom([]string{"33.3333", "0.0001", "100", "12.5"}).Draw(rt, "percent"), From: hour.Add(time.Duration(whole("discount from", -40, 20)) * time.Hour)}
		if n == 1 {
			d.Meter = cloud.MeterVCPU
		}
		u.Discounts = append(u.Discounts, d)
	}
	return u
}

// The instant that is computed is the very millisecond in which the limit is
// reached: the cost is below it one before.
func TestACrossingIsFoundToTheMillisecond(t *testing.T) {
	day := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	found := map[cloud.BudgetPeriod]int{}
	rapid.Check(t, func(rt *rapid.T) {
		now := day.Add(time.Duration(rapid.IntRange(18*3600_000, 22*3600_000).Draw(rt, "now")) * time.Millisecond)
		b := cloud.Budget{
			Period:     rapid.SampledFrom([]cloud.BudgetPeriod{cloud.BudgetDay, cloud.BudgetMonth, cloud.BudgetTotal}).Draw(rt, "period"),
			Selector:   rapid.SampledFrom([]string{"", "", "env=dev"}).Draw(rt, "label"),
			CreatedAt:  now.Add(-7 * time.Hour),
			Thresholds: []cloud.BudgetThreshold{{Percent: rapid.IntRange(1, 120).Draw(rt, "percent"), On: cloud.BudgetActual, Action: cloud.BudgetStop}, {Percent: 100, On: cloud.BudgetActual, Action: cloud.BudgetStop}},
		}
		o := purseOracle{b: b, u: anyUsage(rt, now)}
		if o.from, o.to = b.Of(now); o.to.IsZero() {
			o.to = cloud.Hour(now.Add(budgetHorizon))
		}
		// Near what it will cost, or exactly what is spent at some instant, where a
		// cost may stand still, and a hair beside it.
		whole := o.spentAt(o.to)
		amount := whole.Add(decimal.New(1, -6))
		if rapid.Bool().Draw(rt, "exactly") {
			part := rapid.IntRange(0, 1000).Draw(rt, "part")
			at := now.Add(o.to.Sub(now) / 1000 * time.Duration(part)).Truncate(time.Millisecond)
			amount = o.spentAt(at).Add(decimal.New(int64(rapid.IntRange(-1, 1).Draw(rt, "beside")), -24))
		}
		if amount.Sign() <= 0 {
			amount = decimal.New(1, -12)
		}
		b.Amount = amount.String()
		s := JudgeBudget(b, o.u, now)
		spent := o.spentAt(now)
		if s.Spent != spent.String() || (b.Period != cloud.BudgetTotal && s.Forecast != whole.String()) {
			rt.Fatalf("spent %s and %s, want %s and %s", s.Spent, s.Forecast, spent, whole)
		}
		var first time.Time
		for i, th := range b.Thresholds {
			limit := amount.Mul(decimal.New(int64(th.Percent), -2))
			if reached := spent.Cmp(limit) >= 0; s.Reached[i] != reached {
				rt.Fatalf("threshold %d: reached %v with %s of %s", i, s.Reached[i], spent, limit)
			} else if reached {
				continue
			}
			if at, ever := o.crossing(now, limit); ever && (first.IsZero() || at.Before(first)) {
				first = at
			}
		}
		if !s.Next.Equal(first) {
			rt.Fatalf("next %v, want %v", s.Next, first)
		}
		if !first.IsZero() {
			found[b.Period]++
		}
	})
	for _, p := range []cloud.BudgetPeriod{cloud.BudgetDay, cloud.BudgetMonth, cloud.BudgetTotal} {
		if found[p] == 0 {
			t.Errorf("no crossing of a %s lay ahead in any example", p)
		}
	}
}

// A cost that stands still a hair below the limit once divided by no rate at all.
func TestABudgetAHairFromItsLimitIsJudged(t *testing.T) {
	now := time.Date(2027, 6, 10, 12, 0, 30, 0, time.UTC)
	u := cloud.BudgetUsage{
		Traffic: []cloud.Traffic{{TenantID: "t", ResourceID: "i", Slot: "nic:0", Meter: cloud.MeterEgress, Bytes: 1_000_001_000, EndedAt: cloud.Hour(now)}},
		Prices: []cloud.Price{
			{ID: "e", Meter: cloud.MeterEgress, UnitPrice: "0.000000000001", From: now.AddDate(0, -1, 0)},
			{ID: "i", Meter: cloud.MeterVCPU, UnitPrice: "0.5", From: time.Date(2027, 6, 20, 0, 0, 0, 0, time.UTC)},
		},
		Discounts: []cloud.Discount{{ID: "d", TenantID: "t", Percent: "0.0001", From: now.AddDate(0, -1, 0)}},
		Intervals: []cloud.Interval{{TenantID: "t", ResourceID: "i", Reading: cloud.Reading{Slot: "cpu", Meter: cloud.MeterVCPU, Amount: 1, State: cloud.StateRunning}, StartedAt: now.Add(-time.Hour)}},
	}
	b := cloud.Budget{Amount: "0.000000000001", Period: cloud.BudgetMonth, Thresholds: []cloud.BudgetThreshold{{Percent: 100, On: cloud.BudgetActual, Action: cloud.BudgetNotify}}}
	s := JudgeBudget(b, u, now)
	if s.Spent != "0.000000000000999999999999" || s.Reached[0] || !s.Next.Equal(time.Date(2027, 6, 20, 0, 0, 0, 1_000_000, time.UTC)) {
		t.Errorf("got %+v", s)
	}
}

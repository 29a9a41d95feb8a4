package meter

import (
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"lodge/cloud"
)

// The oracle knows nothing of rates: it computes what was spent second by second,
// and finds the first at which the limit is reached.
func spentAt(b cloud.Budget, u cloud.BudgetUsage, at time.Time) decimal.Decimal {
	from, to := b.Of(at)
	in := Input{Intervals: u.Intervals, Facts: u.Facts, Prices: u.Prices, Discounts: u.Discounts, From: from, To: to, Now: at}
	sum := decimal.Zero
	for c := range Charges(in) {
		sum = sum.Add(c.Cost())
	}
	return sum
}

func TestACrossingIsFoundToTheSecond(t *testing.T) {
	day := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	found := 0
	rapid.Check(t, func(rt *rapid.T) {
		now := day.Add(time.Duration(rapid.IntRange(20*3600_000, 22*3600_000).Draw(rt, "now")) * time.Millisecond)
		b := cloud.Budget{Period: cloud.BudgetDay, Thresholds: []cloud.BudgetThreshold{{Percent: rapid.IntRange(1, 120).Draw(rt, "percent"), On: cloud.BudgetActual, Action: cloud.BudgetStop}}}
		var u cloud.BudgetUsage
		for n := range rapid.IntRange(1, 3).Draw(rt, "instances") {
			id := string(rune('a' + n))
			start := now.Add(-time.Duration(rapid.IntRange(0, 12*3600_000).Draw(rt, "ago")) * time.Millisecond)
			iv := cloud.Interval{Seq: int64(n), TenantID: "t", ResourceID: id, Reading: cloud.Reading{Slot: "cpu", Meter: cloud.MeterVCPU, Amount: int64(rapid.IntRange(1, 9).Draw(rt, "vcpus")), State: cloud.StateRunning}, StartedAt: start}
			u.Intervals = append(u.Intervals, iv)
			u.Facts = append(u.Facts, cloud.UsageFact{TenantID: "t", ResourceID: id, Since: start})
		}
		from := day.AddDate(0, -1, 0)
		for n := range rapid.IntRange(1, 3).Draw(rt, "prices") {
			to := day.Add(time.Duration(21+n) * time.Hour)
			p := cloud.Price{ID: string(rune('p' + n)), Meter: cloud.MeterVCPU, UnitPrice: rapid.SampledFrom([]string{"0.01", "0.123456789012", "3", "0", "0.0000001"}).Draw(rt, "price"), From: from, To: to,
				States: []cloud.State{cloud.StateRunning}, CapHours: int64(rapid.SampledFrom([]int{0, 0, 5, 9}).Draw(rt, "cap")), MinimumSeconds: int64(rapid.SampledFrom([]int{0, 3600}).Draw(rt, "minimum"))}
			u.Prices = append(u.Prices, p)
			from = to
		}
		if rapid.Bool().Draw(rt, "discount") {
			u.Discounts = []cloud.Discount{{ID: "d", TenantID: "t", Percent: "33.3333", From: day.Add(22 * time.Hour)}}
		}
		// Near what the day will cost, so that many are reached.
		end := day.AddDate(0, 0, 1)
		whole := decimal.Zero
		for c := range Charges(Input{Intervals: u.Intervals, Facts: u.Facts, Prices: u.Prices, Discounts: u.Discounts, From: day, To: end, Now: end}) {
			whole = whole.Add(c.Cost())
		}
		b.Amount = whole.Add(decimal.New(1, -6)).String()
		limit, _ := decimal.NewFromString(b.Amount)
		limit = limit.Mul(decimal.New(int64(b.Thresholds[0].Percent), -2))

		s := JudgeBudget(b, u, now)
		if want := spentAt(b, u, now); s.Spent != want.String() || s.Forecast != whole.String() {
			rt.Fatalf("spent %s and %s, want %s and %s", s.Spent, s.Forecast, want, whole)
		}
		// A part of a quantity is rounded to 9 places, which the oracle sees and a
		// path does not.
		near := decimal.New(1, -7)
		switch {
		case s.Reached[0]:
			if spentAt(b, u, now.Truncate(time.Second).Add(time.Second)).Add(near).LessThan(limit) {
				rt.Fatalf("reached at %v, %s of %s", now, s.Spent, limit)
			}
		case s.Next.IsZero():
			if whole.Sub(near).GreaterThanOrEqual(limit) {
				rt.Fatalf("never reached, and %s of %s will be", whole, limit)
			}
		default:
			found++
			if s.Next.Nanosecond() != 0 || !s.Next.After(now) {
				rt.Fatalf("next %v at %v", s.Next, now)
			}
			// What a minimum owes may come due at that very instant, and go beyond it at
			// once; but just before it is not gone.
			if got, before := spentAt(b, u, s.Next), spentAt(b, u, s.Next.Add(-time.Millisecond)); got.Sub(near).GreaterThan(limit) && before.Sub(near).GreaterThanOrEqual(limit) {
				rt.Fatalf("at %v %s of %s are gone already, %s a moment before", s.Next, got, limit, before)
			}
			after := s.Next.Add(time.Second)
			if after.Before(end) && spentAt(b, u, after).Add(near).LessThan(limit) {
				rt.Fatalf("a second after %v only %s of %s are gone", s.Next, spentAt(b, u, after), limit)
			}
			// Nor is it reached at any whole second before.
			for _, share := range []float64{0.1, 0.5, 0.9} {
				at := now.Add(time.Duration(float64(s.Next.Sub(now)) * share)).Truncate(time.Second)
				if at.After(now) && at.Before(s.Next) && spentAt(b, u, at).Sub(near).GreaterThanOrEqual(limit) {
					rt.Fatalf("reached at %v already, not at %v", at, s.Next)
				}
			}
		}
	})
	if found == 0 {
		t.Error("no crossing lay ahead in any example")
	}
}

func TestAForecastIsReachedAtOnce(t *testing.T) {
	now := time.Date(2026, 11, 5, 12, 0, 0, 0, time.UTC)
	u := cloud.BudgetUsage{
		Intervals: []cloud.Interval{{TenantID: "t", ResourceID: "i", Reading: cloud.Reading{Slot: "cpu", Meter: cloud.MeterVCPU, Amount: 1, State: cloud.StateRunning}, StartedAt: now}},
		Prices:    []cloud.Price{{ID: "p", Meter: cloud.MeterVCPU, UnitPrice: "1", From: now.AddDate(0, -1, 0)}},
	}
	b := cloud.Budget{Amount: "612", Period: cloud.BudgetMonth, CreatedAt: now, Thresholds: []cloud.BudgetThreshold{
		{Percent: 100, On: cloud.BudgetForecast, Action: cloud.BudgetNotify}, {Percent: 101, On: cloud.BudgetForecast, Action: cloud.BudgetNotify}, {Percent: 50, On: cloud.BudgetActual, Action: cloud.BudgetStop},
	}}
	s := JudgeBudget(b, u, now) // 25.5 days are left
	if !s.Reached[0] || s.Reached[1] || s.Reached[2] || s.Forecast != "612" || !s.Next.Equal(now.Add(306*time.Hour)) || s.NextThreshold != 2 {
		t.Errorf("got %+v", s)
	}
	b.Period, b.Amount, b.Thresholds = cloud.BudgetTotal, "2000", b.Thresholds[2:]
	if s = JudgeBudget(b, u, now); s.Forecast != "" || !s.To.IsZero() || !s.Next.IsZero() {
		t.Errorf("further ahead than is looked for: %+v", s)
	}
	if s = JudgeBudget(b, u, now.Add(900*time.Hour)); !s.Next.Equal(now.Add(1000 * time.Hour)) {
		t.Errorf("a total over months: %+v", s)
	}
}

func TestWhatAScheduleSaves(t *testing.T) {
	now := time.Date(2026, 11, 5, 12, 0, 0, 0, time.UTC)
	prices := []cloud.Price{
		{ID: "p", Meter: cloud.MeterVCPU, UnitPrice: "0.5", From: now.Add(-time.Hour), States: []cloud.State{cloud.StateRunning}},
		{ID: "old", Meter: cloud.MeterMemory, UnitPrice: "9", From: now.AddDate(0, -2, 0), To: now.AddDate(0, -1, 0)},
		{ID: "kept", Meter: cloud.MeterInstance, UnitPrice: "1", From: now.AddDate(0, -2, 0)}, // whatever the state
	}
	rests := []cloud.Rest{
		{InstanceID: "i", TenantID: "t", VCPUs: 2, MemoryMiB: 1024, From: now.AddDate(0, 0, -2), Until: now.AddDate(0, 0, -2).Add(10 * time.Hour)},
		{InstanceID: "i", TenantID: "t", VCPUs: 2, MemoryMiB: 1024, From: now.Add(-time.Hour)},
		{InstanceID: "j", TenantID: "t", VCPUs: 1, MemoryMiB: 1024, From: cloud.Month(now).Add(-5 * time.Hour), Until: cloud.Month(now).Add(4 * time.Hour)},
	}
	if got := Saved(rests, prices, nil, now); got.Cost.String() != "13" { // 10 + 1 + 2
		t.Errorf("saved %s", got.Cost)
	}
}

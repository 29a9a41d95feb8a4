package meter

import (
	"time"

	"github.com/shopspring/decimal"

	"lodge/cloud"
)

// budgetHorizon is how far ahead a crossing of a budget without an end is looked
// for. It is looked for again long before.
const budgetHorizon = 40 * 24 * time.Hour

// JudgeBudget says where a budget stands at an instant, and when it will reach its
// next threshold if nothing changes: what runs goes on, at the prices that the
// book has for then. The crossing is not looked for in steps: between two changes
// of a rate the cost grows evenly, so it is computed, and then put to the very
// millisecond by what the cost is there.
func JudgeBudget(b cloud.Budget, u cloud.BudgetUsage, now time.Time) cloud.BudgetState {
	now = now.UTC()
	s := cloud.BudgetState{Reached: make([]bool, len(b.Thresholds))}
	s.From, s.To = b.Of(now)
	p := purse{from: now.UnixMilli(), in: Input{Intervals: u.Intervals, Facts: u.Facts, Traffic: u.Traffic, Prices: u.Prices, Discounts: u.Discounts, From: s.From, To: s.To}}
	if s.To.IsZero() {
		p.in.To = cloud.Hour(now.Add(budgetHorizon))
	}
	if b.Selector != "" {
		p.labels, _ = cloud.ParseSelector(b.Selector) // it was checked when it was written
	}
	spent := p.spent(now.UnixMilli())
	s.Spent = spent.String()
	path := newPath(spent, now)
	forecast := p.charges(p.in.To.UnixMilli(), path.add)
	if !s.To.IsZero() {
		s.Forecast = forecast.String()
	}
	amount, err := decimal.NewFromString(b.Amount)
	if err != nil {
		return s
	}
	var next decimal.Decimal // the limit that is reached first: the lowest that is not
	nearest := -1
	for i, t := range b.Thresholds {
		limit := amount.Mul(decimal.New(int64(t.Percent), -2))
		switch {
		case t.On == cloud.BudgetForecast:
			s.Reached[i] = forecast.Cmp(limit) >= 0
		case spent.Cmp(limit) >= 0:
			s.Reached[i] = true
		case forecast.Cmp(limit) >= 0 && (nearest < 0 || limit.LessThan(next)):
			nearest, next = i, limit
		}
	}
	if nearest >= 0 {
		s.Next, s.NextThreshold = time.UnixMilli(p.reaches(next, path.reaches(next))).UTC(), nearest
	}
	return s
}

// purse is what a budget pays for.
type purse struct {
	in     Input
	labels cloud.Selector
	from   int64 // milliseconds: the instant that it is looked at
}

// spent is what is paid for at an instant. It never falls from one to a later one.
func (p *purse) spent(at int64) decimal.Decimal { return p.charges(at, func(Charge) {}) }

func (p *purse) charges(at int64, tell func(Charge)) decimal.Decimal {
	in, sum := p.in, decimal.Zero
	in.Now = time.UnixMilli(at).UTC()
	for c := range Fitting(Charges(in), p.labels) {
		sum = sum.Add(c.Cost())
		tell(c)
	}
	return sum
}

// reaches is the first millisecond at which no less than the limit is spent: not
// yet when the purse is looked at, but at the end of its period at the latest.
// near is close to it, for parts of quantities are rounded and a path is not; so
// the cost itself is asked, in steps that grow from there.
func (p *purse) reaches(limit decimal.Decimal, near int64) int64 {
	enough := func(at int64) bool { return p.spent(at).Cmp(limit) >= 0 }
	below, above := p.from, p.in.To.UnixMilli()
	near = min(max(near, below+1), above)
	step := int64(1)
	if near == above || enough(near) {
		for above = near; above-step > below; step *= 2 {
			if !enough(above - step) {
				below = above - step
				break
			}
			above -= step
		}
	} else {
		for below = near; below+step < above; step *= 2 {
			if enough(below + step) {
				above = below + step
				break
			}
			below += step
		}
	}
	for above-below > 1 {
		if middle := below + (above-below)/2; enough(middle) {
			above = middle
		} else {
			below = middle
		}
	}
	return above
}

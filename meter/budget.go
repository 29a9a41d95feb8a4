package meter

import (
	"cmp"
	"math/big"
	"slices"
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
// of a rate the cost grows evenly, so it is computed.
func JudgeBudget(b cloud.Budget, u cloud.BudgetUsage, now time.Time) cloud.BudgetState {
	now = now.UTC()
	s := cloud.BudgetState{Reached: make([]bool, len(b.Thresholds))}
	s.From, s.To = b.Of(now)
	end := s.To
	if end.IsZero() {
		end = cloud.Hour(now.Add(budgetHorizon))
	}
	in := Input{Intervals: u.Intervals, Facts: u.Facts, Traffic: u.Traffic, Prices: u.Prices, Discounts: u.Discounts, From: s.From, To: end, Now: now}
	var labels cloud.Selector
	if b.Selector != "" {
		labels, _ = cloud.ParseSelector(b.Selector) // it was checked when it was written
	}
	spent := decimal.Zero
	for c := range Fitting(Charges(in), labels) {
		spent = spent.Add(c.Cost())
	}
	s.Spent = spent.String()
	in.Now = end
	forecast, path := decimal.Zero, newPath(spent, now)
	for c := range Fitting(Charges(in), labels) {
		forecast = forecast.Add(c.Cost())
		path.add(c)
	}
	if !s.To.IsZero() {
		s.Forecast = forecast.String()
	}
	amount, err := decimal.NewFromString(b.Amount)
	if err != nil {
		return s
	}
	path.sort()
	for i, t := range b.Thresholds {
		limit := amount.Mul(decimal.New(int64(t.Percent), -2))
		if t.On == cloud.BudgetForecast {
			s.Reached[i] = forecast.Cmp(limit) >= 0
			continue
		}
		at, reaches := path.reaches(limit)
		if !reaches {
			continue
		}
		if at = at.Truncate(time.Second); !at.After(now) {
			s.Reached[i] = true
		} else if s.Next.IsZero() || at.Before(s.Next) {
			s.Next, s.NextThreshold = at, i
		}
	}
	return s
}

// path is how a cost grows from an instant on: evenly between its bends.
type path struct {
	from  int64
	start *big.Int // cost at from
	bends []bend
}

// bend is where a rate changes or a cost is added at once.
type bend struct {
	at   int64
	rate *big.Int // change, per millisecond
	jump *big.Int
}

// pathPlaces is the number of decimal places that a path counts in: more than a
// cost has, so that only rates are rounded, and those down. pathError is more than
// that can add up to.
const pathPlaces = 40

var pathError = big.NewInt(1_000_000_000_000_000_000)

// inPath is a cost in units of a path.
func inPath(d decimal.Decimal) *big.Int { return d.Shift(pathPlaces).BigInt() }

func newPath(spent decimal.Decimal, now time.Time) *path {
	return &path{from: now.UnixMilli(), start: inPath(spent)}
}

// add adds what a charge costs behind the beginning of the path.
func (p *path) add(c Charge) {
	a, b := c.From.UnixMilli(), c.To.UnixMilli()
	if b <= p.from {
		return
	}
	money := c.Cost()
	if money.IsZero() {
		return
	}
	cost := inPath(money)
	if a == b {
		p.bends = append(p.bends, bend{at: a, jump: cost})
		return
	}
	rate := new(big.Int).Quo(cost, big.NewInt(b-a))
	p.bends = append(p.bends, bend{at: max(a, p.from), rate: rate}, bend{at: b, rate: new(big.Int).Neg(rate)})
}

func (p *path) sort() {
	slices.SortStableFunc(p.bends, func(a, b bend) int { return cmp.Compare(a.at, b.at) })
}

// reaches is the millisecond in which the cost reaches a limit.
func (p *path) reaches(limit decimal.Decimal) (time.Time, bool) {
	want := inPath(limit)
	nearly := new(big.Int).Sub(want, pathError)
	cost, rate, at := new(big.Int).Set(p.start), new(big.Int), p.from
	if cost.Cmp(want) >= 0 {
		return time.UnixMilli(at).UTC(), true
	}
	for _, b := range p.bends {
		grown := new(big.Int).Mul(rate, big.NewInt(b.at-at))
		grown.Add(grown, cost)
		if grown.Cmp(nearly) >= 0 {
			left := new(big.Int).Sub(want, cost)
			return time.UnixMilli(min(b.at, at+left.Quo(left, rate).Int64())).UTC(), true
		}
		cost, at = grown, b.at
		if b.jump != nil {
			cost.Add(cost, b.jump)
		}
		if cost.Cmp(want) >= 0 {
			return time.UnixMilli(at).UTC(), true
		}
		if b.rate != nil {
			rate.Add(rate, b.rate)
		}
	}
	return time.Time{}, false
}

package meter

import (
	"cmp"
	"math/big"
	"slices"
	"time"

	"github.com/shopspring/decimal"
)

// path is how a cost grows from an instant on: evenly between its bends. Rounding
// is left out of it, so it is close to the cost and not the same.
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
// cost has, so that only rates are rounded, and those down.
const pathPlaces = 40

// inPath is a cost in units of a path.
func inPath(d decimal.Decimal) *big.Int { return d.Shift(pathPlaces).BigInt() }

func newPath(spent decimal.Decimal, now time.Time) *path {
	return &path{from: now.UnixMilli(), start: inPath(spent)}
}

// add adds what a charge costs behind the beginning of the path.
func (p *path) add(c Charge) {
	a, b := c.From.UnixMilli(), c.To.UnixMilli()
	if c.counted != 0 { // bytes cost what they cost at once, not over their hour
		a, b = c.counted, c.counted
	}
	money := c.Cost()
	if b <= p.from || money.IsZero() {
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

// reaches is the millisecond in which the path reaches a limit; its last bend
// where it does not.
func (p *path) reaches(limit decimal.Decimal) int64 {
	slices.SortStableFunc(p.bends, func(a, b bend) int { return cmp.Compare(a.at, b.at) })
	want := inPath(limit)
	cost, rate, at := new(big.Int).Set(p.start), new(big.Int), p.from
	for _, b := range p.bends {
		grown := new(big.Int).Mul(rate, big.NewInt(b.at-at))
		grown.Add(grown, cost)
		if grown.Cmp(want) >= 0 {
			if rate.Sign() <= 0 { // it stood there already
				return at
			}
			left := new(big.Int).Sub(want, cost)
			left.Add(left, rate).Sub(left, big.NewInt(1)) // up to a whole one
			return min(b.at, at+left.Quo(left, rate).Int64())
		}
		cost, at = grown, b.at
		if b.jump != nil {
			cost.Add(cost, b.jump)
		}
		if b.rate != nil {
			rate.Add(rate, b.rate)
		}
	}
	return at
}

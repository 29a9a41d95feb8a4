package meter

import (
	"math"
	"math/big"

	"github.com/shopspring/decimal"

	"lodge/cloud"
)

// Places is the number of decimal places of a quantity.
const Places = 9

var hundred = decimal.NewFromInt(100)

// Quantity is what was used in all hours, in the unit of the meter.
func (c Charge) Quantity() decimal.Decimal { return inUnits(c.whole()) }

// whole is the quantity of all hours, in units x 10^Places.
func (c Charge) whole() Quantity { return c.each.times(uint64(c.Hours)) }

// ListCost is Quantity x UnitPrice, without cap and discount; 0 without a price.
func (c Charge) ListCost() decimal.Decimal {
	list, _ := c.money()
	return list
}

// Cost is exact, never rounded.
func (c Charge) Cost() decimal.Decimal {
	_, cost := c.money()
	return cost
}

func (c Charge) money() (list, cost decimal.Decimal) {
	if c.PriceID == "" {
		return list, cost
	}
	list = c.Quantity().Mul(c.UnitPrice)
	switch {
	case c.Capped:
		return list, cost
	case c.DiscountID != "":
		return list, list.Mul(hundred.Sub(c.Percent)).Shift(-2)
	}
	return list, list
}

// sum adds charges up. Those at one price have costs that are their quantities
// times one number, so only the quantities are added, and money is computed once
// for each price: no product is rounded, so that is the same to the last digit.
type sum struct{ terms []Charge }

func (s *sum) add(c Charge) {
	for i := range s.terms {
		if t := &s.terms[i]; t.PriceID == c.PriceID && t.DiscountID == c.DiscountID && t.Capped == c.Capped {
			t.each = t.each.Plus(c.whole())
			return
		}
	}
	c.each, c.Hours = c.whole(), 1
	s.terms = append(s.terms, c)
}

// into puts the sums to a share.
func (s *sum) into(to *Share) {
	for _, t := range s.terms {
		list, cost := t.money()
		to.Quantity, to.ListCost, to.Cost = to.Quantity.Add(t.Quantity()), to.ListCost.Add(list), to.Cost.Add(cost)
		to.Unpriced = to.Unpriced || t.PriceID == ""
	}
}

// rounded is what was used in an hour in the unit of the meter x 10^Places,
// rounded half to even. The most that an interval can hold of an hour, 2^63 x
// 3,600,000, is some 2^94 then, so the hours of a thousand years can be added.
func rounded(m cloud.Meter, q Quantity) Quantity {
	per := uint64(PerHour)
	switch m {
	case cloud.MeterMemory, cloud.MeterImage, cloud.MeterSnapshot: // kept in MiB
		per = PerGiBHour
	case cloud.MeterEgress, cloud.MeterIngress: // a GB is 10^9 bytes, exactly
		per = perGB
	}
	const scale = 1_000_000_000 // 10^Places
	whole, rem := q.div(per)
	frac, rem := mulDiv(rem, scale, per)
	if twice := rem * 2; twice > per || (twice == per && frac%2 == 1) {
		frac++
	}
	return whole.times(scale).Plus(Quantity{0, frac})
}

// inUnits is the inverse of the scale of rounded.
func inUnits(q Quantity) decimal.Decimal {
	if q.hi == 0 && q.lo <= math.MaxInt64 {
		return decimal.New(int64(q.lo), -Places)
	}
	n := new(big.Int).SetUint64(q.hi)
	return decimal.NewFromBigInt(n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(q.lo)), -Places)
}

func quantityOf(m cloud.Meter, q Quantity) decimal.Decimal { return inUnits(rounded(m, q)) }

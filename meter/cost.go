package meter

import (
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"lodge/cloud"
)

// Share is the sum of some charges.
type Share struct {
	Key      string
	Name     string // of what the key is the id of, as last charged
	Quantity decimal.Decimal
	ListCost decimal.Decimal
	Cost     decimal.Decimal
	Unpriced bool // for some of it there was no price
	last     time.Time
}

// Whole is the sum of shares.
func Whole(shares []Share) (sum Share) {
	for _, s := range shares {
		sum.Quantity = sum.Quantity.Add(s.Quantity)
		sum.ListCost, sum.Cost = sum.ListCost.Add(s.ListCost), sum.Cost.Add(s.Cost)
		sum.Unpriced = sum.Unpriced || s.Unpriced
	}
	return sum
}

// By adds charges up by what key says of each: the key, and a name for it. They
// come in the order of their keys.
func By(charges iter.Seq[Charge], key func(Charge) (key, name string)) []Share {
	type entry struct {
		Share
		sum
	}
	sums := map[string]*entry{}
	for c := range charges {
		k, name := key(c)
		s := sums[k]
		if s == nil {
			s = &entry{Share: Share{Key: k, Name: name}}
			sums[k] = s
		}
		if c.To.After(s.last) {
			s.Name, s.last = name, c.To
		}
		s.add(c)
	}
	out := make([]Share, 0, len(sums))
	for _, s := range sums {
		s.into(&s.Share)
		out = append(out, s.Share)
	}
	slices.SortFunc(out, func(a, b Share) int { return strings.Compare(a.Key, b.Key) })
	return out
}

// ByHour is By for the hours that charges belong to; the keys are RFC 3339.
func ByHour(charges iter.Seq[Charge]) []Share {
	return byTime(cut(charges, func(h time.Time) time.Time { return h.Add(time.Hour) }), time.RFC3339)
}

// ByDay is By for days of UTC, "2026-11-05".
func ByDay(charges iter.Seq[Charge]) []Share {
	return byTime(cut(charges, func(h time.Time) time.Time { return h.Truncate(24 * time.Hour).Add(24 * time.Hour) }), time.DateOnly)
}

func byTime(parts iter.Seq[Charge], layout string) []Share {
	return By(parts, func(c Charge) (string, string) { return c.Hour.Format(layout), "" })
}

// Hourly cuts charges at whole hours: what an export needs a row for.
func Hourly(charges iter.Seq[Charge]) iter.Seq[Charge] {
	return cut(charges, func(h time.Time) time.Time { return h.Add(time.Hour) })
}

// cut cuts charges where next says that another part begins.
func cut(charges iter.Seq[Charge], next func(hour time.Time) time.Time) iter.Seq[Charge] {
	return func(yield func(Charge) bool) {
		for c := range charges {
			for c.Hours > 0 {
				var part Charge
				part, c = c.split(min(int64(next(c.Hour).Sub(c.Hour)/time.Hour), c.Hours))
				if !yield(part) {
					return
				}
			}
		}
	}
}

// split cuts off the first hours; the parts add up exactly to the whole.
func (c Charge) split(hours int64) (first, rest Charge) {
	if hours == c.Hours {
		return c, Charge{}
	}
	first, rest = c, c
	first.Hours, rest.Hours = hours, c.Hours-hours
	rest.Hour = c.Hour.Add(time.Duration(hours) * time.Hour)
	first.To, rest.From = rest.Hour, rest.Hour
	return first, rest
}

// Fitting are the charges whose resource had labels that fit, when they were made.
func Fitting(charges iter.Seq[Charge], sel cloud.Selector) iter.Seq[Charge] {
	if len(sel) == 0 {
		return charges
	}
	return func(yield func(Charge) bool) {
		for c := range charges {
			if sel.Fits(c.Labels) && !yield(c) {
				return
			}
		}
	}
}

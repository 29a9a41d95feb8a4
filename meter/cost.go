package meter

import (
	"slices"
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

func (s *Share) add(c Charge) {
	s.Quantity = s.Quantity.Add(c.Quantity)
	s.ListCost, s.Cost = s.ListCost.Add(c.ListCost), s.Cost.Add(c.Cost)
	s.Unpriced = s.Unpriced || c.PriceID == ""
}

// Sole is the sum of all the charges.
func Sole(charges []Charge) (s Share) {
	for _, c := range charges {
		s.add(c)
	}
	return s
}

// By adds charges up by what key says of each: the key, and a name for it. They
// come in the order of their keys.
func By(charges []Charge, key func(Charge) (key, name string)) []Share {
	sums := map[string]*Share{}
	for _, c := range charges {
		k, name := key(c)
		s := sums[k]
		if s == nil {
			s = &Share{Key: k, Name: name}
			sums[k] = s
		}
		if c.To.After(s.last) {
			s.Name, s.last = name, c.To
		}
		s.add(c)
	}
	out := make([]Share, 0, len(sums))
	for _, s := range sums {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b Share) int { return compareText(a.Key, b.Key) })
	return out
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// ByHour is By for the hours that charges belong to, ByDay for days of UTC. The
// keys are RFC 3339.
func ByHour(charges []Charge) []Share {
	return byTime(charges, time.RFC3339, func(h time.Time) time.Time { return h.Add(time.Hour) })
}

// ByDay is By for days of UTC, "2026-11-05".
func ByDay(charges []Charge) []Share {
	return byTime(charges, time.DateOnly, func(h time.Time) time.Time {
		return h.Truncate(24 * time.Hour).Add(24 * time.Hour)
	})
}

func byTime(charges []Charge, layout string, next func(hour time.Time) time.Time) []Share {
	var parts []Charge
	for _, c := range charges {
		for c.Hours > 0 {
			hours := int64(next(c.Hour).Sub(c.Hour) / time.Hour)
			var part Charge
			part, c = c.split(min(hours, c.Hours))
			parts = append(parts, part)
		}
	}
	return By(parts, func(c Charge) (string, string) { return c.Hour.Format(layout), "" })
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
	return first.priced(), rest.priced()
}

// Fitting are the charges whose resource had labels that fit, when they were made.
func Fitting(charges []Charge, sel cloud.Selector) []Charge {
	if len(sel) == 0 {
		return charges
	}
	return slices.DeleteFunc(slices.Clone(charges), func(c Charge) bool { return !sel.Fits(c.Labels) })
}

// Within are the charges of one slot cut at whole hours, one for each: what an
// export needs a row for.
func Within(charges []Charge) (out []Charge) {
	for _, c := range charges {
		for c.Hours > 0 {
			var hour Charge
			hour, c = c.split(1)
			out = append(out, hour)
		}
	}
	return out
}

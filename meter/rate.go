package meter

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"lodge/cloud"
)

const (
	msHour = int64(time.Hour / time.Millisecond)
	never  = math.MaxInt64 // a price without an end
)

// rate is a price, read.
type rate struct {
	cloud.Price
	unit     decimal.Decimal
	selector cloud.Selector
	from, to int64 // milliseconds
	least    int64 // milliseconds of a start
	most     int64 // milliseconds of a month; 0: no cap
}

// reduction is a discount, read.
type reduction struct {
	cloud.Discount
	percent  decimal.Decimal
	from, to int64
}

// book is the price book, read.
type book struct {
	rates    map[cloud.Meter][]rate // the most specific first
	cuts     []reduction            // those of one meter first
	fitting  map[fitKey][]*rate
	reducing map[cutKey][]*reduction
}

type fitKey struct {
	tenant string
	meter  cloud.Meter
	fact   *fact
}

type cutKey struct {
	tenant string
	meter  cloud.Meter
}

// newBook reads prices and discounts. What cannot be read was never let into the
// book, so it is left out.
func newBook(prices []cloud.Price, discounts []cloud.Discount) *book {
	b := &book{rates: map[cloud.Meter][]rate{}, fitting: map[fitKey][]*rate{}, reducing: map[cutKey][]*reduction{}}
	for _, p := range prices {
		r := rate{Price: p, from: p.From.UnixMilli(), to: endMS(p.To), least: p.MinimumSeconds * 1000, most: p.CapHours * msHour}
		var err error
		if r.unit, err = decimal.NewFromString(p.UnitPrice); err != nil {
			continue
		}
		if p.Selector != "" {
			if r.selector, err = cloud.ParseSelector(p.Selector); err != nil {
				continue
			}
		}
		b.rates[p.Meter] = append(b.rates[p.Meter], r)
	}
	for _, rates := range b.rates {
		slices.SortFunc(rates, moreSpecific)
	}
	for _, d := range discounts {
		percent, err := decimal.NewFromString(d.Percent)
		if err == nil {
			b.cuts = append(b.cuts, reduction{Discount: d, percent: percent, from: d.From.UnixMilli(), to: endMS(d.To)})
		}
	}
	slices.SortFunc(b.cuts, func(a, c reduction) int {
		return cmp.Or(first(a.Meter != "", c.Meter != ""), cmp.Compare(c.from, a.from), cmp.Compare(a.ID, c.ID))
	})
	return b
}

func endMS(t time.Time) int64 {
	if t.IsZero() {
		return never
	}
	return t.UnixMilli()
}

// first orders what has before what has not.
func first(a, b bool) int {
	switch {
	case a && !b:
		return -1
	case b && !a:
		return 1
	}
	return 0
}

// moreSpecific is the order in which prices win: one of the tenant, one with
// labels, of them the one with more terms, one of the flavor; then the newer.
func moreSpecific(a, b rate) int {
	return cmp.Or(
		first(a.TenantID != "", b.TenantID != ""),
		first(a.Selector != "", b.Selector != ""),
		cmp.Compare(len(b.selector), len(a.selector)),
		first(a.FlavorID != "", b.FlavorID != ""),
		cmp.Compare(b.from, a.from),
		b.Created.Compare(a.Created),
		cmp.Compare(a.ID, b.ID),
	)
}

// fits are the rates that a resource with this fact could have at any time.
func (b *book) fits(tenant string, m cloud.Meter, f *fact) []*rate {
	key := fitKey{tenant, m, f}
	out, known := b.fitting[key]
	if known {
		return out
	}
	rates := b.rates[m]
	for i := range rates {
		r := &rates[i]
		if (r.TenantID == "" || r.TenantID == tenant) && (r.FlavorID == "" || r.FlavorID == f.Flavor) && r.selector.Fits(f.Labels) {
			out = append(out, r)
		}
	}
	b.fitting[key] = out
	return out
}

// rateAt is the rate at an instant, nil for none, and until when it is so at least.
func rateAt(fitting []*rate, at int64) (*rate, int64) {
	until := int64(never)
	for _, r := range fitting {
		switch {
		case r.to <= at || r.to <= r.from:
		case r.from <= at:
			return r, min(until, r.to)
		default:
			until = min(until, r.from)
		}
	}
	return nil, until
}

// cutAt is the discount at an instant, nil for none, and until when it is so.
func (b *book) cutAt(tenant string, m cloud.Meter, at int64) (*reduction, int64) {
	if len(b.cuts) == 0 {
		return nil, never
	}
	key := cutKey{tenant, m}
	all, known := b.reducing[key]
	if !known {
		for i := range b.cuts {
			if c := &b.cuts[i]; c.TenantID == tenant && (c.Meter == "" || c.Meter == m) {
				all = append(all, c)
			}
		}
		b.reducing[key] = all
	}
	until := int64(never)
	for _, c := range all {
		switch {
		case c.to <= at || c.to <= c.from:
		case c.from <= at:
			return c, min(until, c.to)
		default:
			until = min(until, c.from)
		}
	}
	return nil, until
}

// fact is what a resource was called and labelled until the next one.
type fact struct {
	cloud.UsageFact
	since, until int64
}

// newFacts puts the facts of each resource in order. The first one counts for
// all time before it: nothing older is known.
func newFacts(in []cloud.UsageFact) map[string][]*fact {
	out := map[string][]*fact{}
	for _, f := range in {
		out[f.ResourceID] = append(out[f.ResourceID], &fact{UsageFact: f, since: f.Since.UnixMilli()})
	}
	for _, all := range out {
		slices.SortStableFunc(all, func(a, b *fact) int { return cmp.Or(cmp.Compare(a.since, b.since), cmp.Compare(a.Seq, b.Seq)) })
		all[0].since = math.MinInt64
		for i, f := range all {
			if f.until = never; i+1 < len(all) {
				f.until = all[i+1].since
			}
		}
	}
	return out
}

// unknown is the fact of a resource of which nothing was written down.
var unknown = &fact{since: math.MinInt64, until: never}

func factAt(all []*fact, at int64) *fact {
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].since <= at && at < all[i].until {
			return all[i]
		}
	}
	return unknown
}

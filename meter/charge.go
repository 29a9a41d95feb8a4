package meter

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"lodge/cloud"
)

// Input is all that a charge is a function of.
type Input struct {
	// Intervals of the ledger that touch Window(From, To). More do no harm.
	Intervals []cloud.Interval
	Facts     []cloud.UsageFact // of the resources, the whole history
	Traffic   []cloud.Traffic   // rows that belong to [From, To)
	Prices    []cloud.Price
	Discounts []cloud.Discount
	From, To  time.Time // whole hours of UTC
	// Now is up to when what still runs is counted. A forecast says the end of the
	// period.
	Now time.Time
}

// Charge is what a stretch of one slot costs in which nothing changed: a part of
// one hour, or so many whole hours, each of which costs the same.
type Charge struct {
	TenantID   string
	ResourceID string
	Resource   string // its name then
	Slot       string
	Meter      cloud.Meter
	Flavor     string
	Labels     map[string]string

	PriceID    string // "": there was no price, and the cost is 0
	UnitPrice  decimal.Decimal
	DiscountID string
	Percent    decimal.Decimal // of the discount
	Minimum    bool            // tops a run up to the minimum of its price
	Capped     bool            // beyond the cap of its price: the cost is 0

	From, To time.Time
	Hour     time.Time // the first hour it belongs to
	Hours    int64     // how many

	each    Quantity // of one hour: units of the meter x 10^Places
	counted int64    // of bytes: the millisecond at which they count; else 0
}

// lookback is how long before a period a run may have begun that still owes a
// minimum in it.
const lookback = cloud.MaxMinimumSeconds * time.Second

// Window is the part of the ledger that the charges of a period depend on: from
// the beginning of the month, for caps, and a little before, for minimums; to
// just behind its end, for what goes on there.
func Window(from, to time.Time) (time.Time, time.Time) { return cloud.ChargeWindow(from, to) }

// Charges gives what was used in [From, To) with what it costs, in the order of
// tenant, resource, slot and time. The charges of adjoining periods add up
// exactly to those of both. They are made while they are asked for: a year of
// many instances is never in memory at once.
func Charges(in Input) iter.Seq[Charge] {
	return func(yield func(Charge) bool) { walkAll(in, yield) }
}

func walkAll(in Input, yield func(Charge) bool) {
	e := &engine{yield: yield, book: newBook(in.Prices, in.Discounts), facts: newFacts(in.Facts)}
	start, _ := Window(in.From, in.To)
	e.start, e.from = start.UnixMilli(), in.From.UnixMilli()
	e.end = min(in.To.UnixMilli(), in.Now.UnixMilli())
	order := make([]*cloud.Interval, len(in.Intervals))
	for i := range in.Intervals {
		order[i] = &in.Intervals[i]
	}
	slices.SortFunc(order, func(a, b *cloud.Interval) int {
		return cmp.Or(
			cmp.Compare(a.TenantID, b.TenantID), cmp.Compare(a.ResourceID, b.ResourceID), cmp.Compare(a.Slot, b.Slot), cmp.Compare(a.Meter, b.Meter),
			a.StartedAt.Compare(b.StartedAt), cmp.Compare(a.Seq, b.Seq))
	})
	for len(order) > 0 && !e.enough {
		n := 1
		for n < len(order) && sameSlot(order[0], order[n]) {
			n++
		}
		e.slot(order[:n])
		order = order[n:]
	}
	e.traffic(in.Traffic)
}

// tell gives a charge to whoever asked, until that one has enough.
func (e *engine) tell(c Charge) {
	if !e.enough && !e.yield(c) {
		e.enough = true
	}
}

// sameSlot reports whether both are of one slot. A slot that changes its owner is
// two: nobody's cost depends on what another tenant used.
func sameSlot(a, b *cloud.Interval) bool {
	return a.TenantID == b.TenantID && a.ResourceID == b.ResourceID && a.Slot == b.Slot && a.Meter == b.Meter
}

// engine walks the slots one after the other.
type engine struct {
	book             *book
	facts            map[string][]*fact
	start, from, end int64
	yield            func(Charge) bool
	enough           bool
}

// stretch is a time in which nothing about a slot changed.
type stretch struct {
	iv   *cloud.Interval
	fact *fact
	rate *rate // nil: no price
	cut  *reduction
	a, b int64
}

// billed reports whether the stretch costs something if it has a price.
func (s stretch) billed() bool {
	if s.rate != nil {
		return cloud.Bills(s.rate.States, s.iv.State)
	}
	return cloud.Bills(s.iv.Meter.BilledStates(), s.iv.State)
}

// at is the stretch that begins at an instant of an interval; it ends at most
// at end.
func (e *engine) at(iv *cloud.Interval, at, end int64) stretch {
	s := stretch{iv: iv, fact: factAt(e.facts[iv.ResourceID], at), a: at}
	var rateUntil, cutUntil int64
	s.rate, rateUntil = rateAt(e.book.fits(iv.TenantID, iv.Meter, s.fact), at)
	s.cut, cutUntil = e.book.cutAt(iv.TenantID, iv.Meter, at)
	s.b = min(end, s.fact.until, rateUntil, cutUntil)
	return s
}

// clockSet ends an interval because the clock was set; the next one of its slot
// goes on with the same run.
const clockSet cloud.Evidence = "clock"

// slot charges the intervals of one slot, which are in order.
func (e *engine) slot(ivs []*cloud.Interval) {
	w := &walk{engine: e, meter: ivs[0].Meter}
	for _, iv := range ivs {
		a, b := iv.StartedAt.UnixMilli(), endMS(iv.EndedAt)
		a, b = max(a, e.start), min(b, e.end)
		for a < b {
			s := e.at(iv, a, b)
			if s.rate != nil && s.rate.most > 0 {
				s.b = min(s.b, nextMonth(a))
			}
			w.take(s)
			a = s.b
		}
	}
	w.close(ivs)
}

// traffic charges counts of bytes, each by itself, in the hour in which or at the
// end of which the counter was read.
func (e *engine) traffic(rows []cloud.Traffic) {
	for _, t := range rows {
		at := t.EndedAt.UnixMilli() - 1
		if at < e.from || at >= e.end || t.Bytes <= 0 {
			continue
		}
		f := factAt(e.facts[t.ResourceID], at)
		r, _ := rateAt(e.book.fits(t.TenantID, t.Meter, f), at)
		if r != nil && !cloud.Bills(r.States, cloud.StateRunning) {
			continue
		}
		d, _ := e.book.cutAt(t.TenantID, t.Meter, at)
		hour := cloud.Hour(time.UnixMilli(at))
		c := Charge{
			TenantID: t.TenantID, ResourceID: t.ResourceID, Slot: t.Slot, Meter: t.Meter,
			From: hour, To: hour.Add(time.Hour), Hour: hour, Hours: 1, each: Quantity{0, uint64(t.Bytes)}, counted: t.EndedAt.UnixMilli(), // GB have nine places
		}
		e.tell(named(c, "", f, r, d))
	}
}

func nextMonth(at int64) int64 {
	m := cloud.Month(time.UnixMilli(at))
	return m.AddDate(0, 1, 0).UnixMilli()
}

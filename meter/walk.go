package meter

import (
	"time"

	"lodge/cloud"
)

// walk goes along one slot. It keeps what a charge depends on besides its own
// stretch: the run it is part of, what was counted in the month, and how much of
// the present hour was charged already.
type walk struct {
	*engine
	meter cloud.Meter

	open bool // a run is under way
	last stretch
	ran  [][2]int64 // the times of the run

	month   int64 // for which counted is
	counted int64 // milliseconds billed, or beyond the cap, in the month

	hour  int64
	cells []cell // of the hour
}

// cell is what was used in one hour at one price, rounded once: its parts are
// the differences between what is rounded, so they add up to it.
type cell struct {
	rate  *rate
	raw   Quantity
	given Quantity // to charges, rounded
}

// goesOn reports whether the stretch belongs to the run under way.
func (w *walk) goesOn(s stretch) bool {
	return s.rate != nil && s.billed() && (s.a == w.last.b || w.interrupted())
}

// interrupted reports whether the run stands still because the clock was set. If
// it does not go on after that, nobody knows how long it was, and no minimum is
// asked for.
func (w *walk) interrupted() bool {
	iv := w.last.iv
	return iv.Evidence == clockSet && w.last.b == endMS(iv.EndedAt)
}

// take charges the next stretch.
func (w *walk) take(s stretch) {
	if w.open && !w.goesOn(s) {
		w.finish()
	}
	if !s.billed() {
		return
	}
	if s.rate == nil {
		w.emit(s, s.a, s.b, false)
		return
	}
	if n := len(w.ran); w.open && s.a == w.last.b {
		w.ran[n-1][1] = s.b
	} else {
		w.ran = append(w.ran, [2]int64{s.a, s.b})
	}
	w.open, w.last = true, s
	below := w.count(s, s.a, s.b)
	if below > 0 {
		w.emit(s, s.a, s.a+below, false)
	}
	if s.a+below < s.b {
		w.emit(s, s.a+below, s.b, true)
	}
}

// count adds [a, b) to what was counted in the month, and says how much of it is
// below the cap. With a cap, all of it lies in one month. Without, it counts too,
// for a cap may begin later in the month.
func (w *walk) count(s stretch, a, b int64) (below int64) {
	below = b - a
	if month := monthOf(b - 1); month != w.month {
		w.month, w.counted = month, 0
		a = max(a, month)
	}
	if s.rate.most > 0 {
		below = min(below, max(0, s.rate.most-w.counted))
	}
	w.counted += b - a
	return below
}

func monthOf(at int64) int64 { return cloud.Month(time.UnixMilli(at)).UnixMilli() }

// finish ends the run, and tops it up to the minimum of its last price.
func (w *walk) finish() {
	s, lost := w.last, w.interrupted()
	hour := floorHour(s.b - 1)
	ran := int64(0)
	for _, r := range w.ran { // no further back than every report sees
		ran += max(0, r[1]-max(r[0], hour-lookback.Milliseconds()))
	}
	w.open, w.ran = false, w.ran[:0]
	more := s.rate.least - ran
	if more <= 0 || lost {
		return
	}
	left := more
	if s.rate.most > 0 {
		left = min(more, max(0, s.rate.most-w.counted))
	}
	w.counted += more
	if hour >= w.from {
		w.topUp(s, hour, left, false)
		w.topUp(s, hour, more-left, true)
	}
}

func (w *walk) topUp(s stretch, hour, ms int64, free bool) {
	if ms <= 0 {
		return
	}
	at := time.UnixMilli(s.b).UTC()
	w.put(Charge{From: at, To: at, Hour: time.UnixMilli(hour).UTC(), Hours: 1, Minimum: true, Capped: free},
		s, w.more(hour, s.rate, Of(s.iv.Amount, ms)))
}

// close ends the run where it is known to have ended. What goes on at the end of
// the period is not topped up yet.
func (w *walk) close(ivs []*cloud.Interval) {
	if !w.open {
		return
	}
	if w.last.b == w.end {
		for _, iv := range ivs {
			if iv.StartedAt.UnixMilli() <= w.end && w.end < endMS(iv.EndedAt) && w.goesOn(w.at(iv, w.end, never)) {
				return
			}
		}
	}
	w.finish()
}

func floorHour(ms int64) int64 { return ms - ms%msHour }

// emit charges [a, b) of a stretch, as parts of hours and whole hours.
func (w *walk) emit(s stretch, a, b int64, free bool) {
	a = max(a, w.from)
	for a < b {
		hour := floorHour(a)
		end, hours := min(b, hour+msHour), int64(1)
		if a == hour && b-a >= msHour {
			hours = (b - a) / msHour
			end = a + hours*msHour
		}
		// Of several whole hours each has the quantity of the last: nothing else of
		// the slot is in them.
		each := w.more(floorHour(end-1), s.rate, Of(s.iv.Amount, (end-a)/hours))
		w.put(Charge{From: time.UnixMilli(a).UTC(), To: time.UnixMilli(end).UTC(), Hour: time.UnixMilli(hour).UTC(), Hours: hours, Capped: free}, s, each)
		a = end
	}
}

// more adds to what was used in an hour at a price, and gives what that adds to
// the rounded quantity.
func (w *walk) more(hour int64, r *rate, q Quantity) Quantity {
	if hour != w.hour {
		w.hour, w.cells = hour, w.cells[:0]
	}
	for i := range w.cells {
		if c := &w.cells[i]; c.rate == r {
			c.raw = c.raw.Plus(q)
			sum := rounded(w.meter, c.raw)
			part := sum.minus(c.given)
			c.given = sum
			return part
		}
	}
	sum := rounded(w.meter, q)
	w.cells = append(w.cells, cell{r, q, sum})
	return sum
}

// put completes a charge of so much in each hour and keeps it, unless nothing
// was used.
func (w *walk) put(c Charge, s stretch, each Quantity) {
	if each.IsZero() {
		return
	}
	c.TenantID, c.ResourceID, c.Slot, c.Meter = s.iv.TenantID, s.iv.ResourceID, s.iv.Slot, s.iv.Meter
	c.each = each
	w.tell(named(c, s.iv.Resource, s.fact, s.rate, s.cut))
}

// named puts names and money to a charge.
func named(c Charge, name string, f *fact, r *rate, d *reduction) Charge {
	c.Resource, c.Flavor, c.Labels = name, f.Flavor, f.Labels
	if f.Name != "" {
		c.Resource = f.Name
	}
	if r != nil {
		c.PriceID, c.UnitPrice = r.ID, r.unit
		if d != nil {
			c.DiscountID, c.Percent = d.ID, d.percent
		}
	}
	return c
}

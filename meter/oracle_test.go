package meter

import (
	"fmt"
	"iter"
	"maps"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"lodge/cloud"
)

// The oracle walks hour by hour, and in each hour tick by tick, with nothing in
// mind but the rules; everything in its worlds happens at whole ticks.
const tick = 100 * time.Second

type cellKey struct {
	tenant, resource, slot string
	meter                  cloud.Meter
	price                  string
	hour                   int64
}

type oracleCell struct {
	below, all *big.Rat // in the unit of the meter
	unit, off  *big.Rat
}

type oracle struct {
	Input
	cells map[cellKey]*oracleCell
}

func ratOf(text string) *big.Rat {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		panic(text)
	}
	return r
}

// run walks each slot from long before the period to its end.
func (o *oracle) run(start time.Time) {
	o.cells = map[cellKey]*oracleCell{}
	slots := map[[3]string]cloud.Meter{}
	for _, iv := range o.Intervals {
		slots[[3]string{iv.TenantID, iv.ResourceID, iv.Slot}] = iv.Meter
	}
	for s, m := range slots {
		o.slot(s[0], s[1], s[2], m, start)
	}
}

func (o *oracle) slot(tenant, resource, slot string, m cloud.Meter, start time.Time) {
	end := o.To
	if o.Now.Before(end) {
		end = o.Now
	}
	counted := map[time.Time]time.Duration{}
	var ran []time.Time // the ticks of the run
	var last *cloud.Interval
	var lastPrice *cloud.Price
	charge := func(iv *cloud.Interval, p *cloud.Price, at time.Time, n int64) {
		for range n {
			month := cloud.Month(at)
			free := p.CapHours > 0 && counted[month] >= time.Duration(p.CapHours)*time.Hour
			counted[month] += tick
			o.add(iv, p, at, free)
		}
	}
	finish := func() {
		if len(ran) == 0 {
			return
		}
		at := ran[len(ran)-1]
		lost := last.Evidence == "clock" && last.EndedAt.Equal(at.Add(tick))
		least := time.Duration(lastPrice.MinimumSeconds) * time.Second
		n := int64(0)
		for _, r := range ran {
			if !r.Before(cloud.Hour(at).Add(-24 * time.Hour)) {
				n++
			}
		}
		if more := int64(least/tick) - n; more > 0 && !lost {
			charge(last, lastPrice, at, more)
		}
		ran = nil
	}
	for at := start; !at.After(end); at = at.Add(tick) {
		iv := o.covering(tenant, resource, slot, at)
		var p *cloud.Price
		billed := false
		if iv != nil {
			p = o.price(iv, at)
			states := m.BilledStates()
			if p != nil {
				states = p.States
			}
			billed = cloud.Bills(states, iv.State)
		}
		if len(ran) > 0 {
			paused := last.Evidence == "clock" && iv == nil && last.EndedAt.Equal(ran[len(ran)-1].Add(tick))
			if !paused && !(billed && p != nil) {
				finish()
			}
		}
		if at.Equal(end) {
			return
		}
		switch {
		case billed && p != nil:
			ran, last, lastPrice = append(ran, at), iv, p
			charge(iv, p, at, 1)
		case billed:
			o.add(iv, nil, at, false)
		}
	}
}

func (o *oracle) covering(tenant, resource, slot string, at time.Time) *cloud.Interval {
	for i := range o.Intervals {
		iv := &o.Intervals[i]
		if iv.TenantID == tenant && iv.ResourceID == resource && iv.Slot == slot && !iv.StartedAt.After(at) && (iv.EndedAt.IsZero() || at.Before(iv.EndedAt)) {
			return iv
		}
	}
	return nil
}

func (o *oracle) factAt(resource string, at time.Time) (out cloud.UsageFact) {
	found := false
	for _, f := range o.Facts {
		if f.ResourceID != resource {
			continue
		}
		if !found || !f.Since.After(at) {
			out, found = f, true
		}
	}
	return out
}

func (o *oracle) price(iv *cloud.Interval, at time.Time) *cloud.Price {
	f := o.factAt(iv.ResourceID, at)
	var best *cloud.Price
	rank := func(p *cloud.Price) (n int64) {
		sel, _ := cloud.ParseSelector(p.Selector)
		if p.TenantID != "" {
			n += 1000
		}
		n += 100 * int64(len(sel))
		if p.FlavorID != "" {
			n += 10
		}
		return n
	}
	for i := range o.Prices {
		p := &o.Prices[i]
		sel, _ := cloud.ParseSelector(p.Selector)
		if p.Meter != iv.Meter || at.Before(p.From) || (!p.To.IsZero() && !at.Before(p.To)) ||
			(p.TenantID != "" && p.TenantID != iv.TenantID) || (p.FlavorID != "" && p.FlavorID != f.Flavor) || !sel.Fits(f.Labels) {
			continue
		}
		if best == nil || rank(p) > rank(best) || (rank(p) == rank(best) && p.From.After(best.From)) {
			best = p
		}
	}
	return best
}

func (o *oracle) add(iv *cloud.Interval, p *cloud.Price, at time.Time, free bool) {
	hour := cloud.Hour(at)
	if hour.Before(o.From) {
		return
	}
	k := cellKey{iv.TenantID, iv.ResourceID, iv.Slot, iv.Meter, "", hour.UnixMilli()}
	unit := new(big.Rat)
	if p != nil {
		k.price, unit = p.ID, ratOf(p.UnitPrice)
	}
	c := o.cells[k]
	if c == nil {
		c = &oracleCell{new(big.Rat), new(big.Rat), unit, o.off(iv, at)}
		o.cells[k] = c
	}
	q := big.NewRat(iv.Amount*int64(tick/time.Second), 3600)
	if iv.Meter == cloud.MeterMemory {
		q.Quo(q, big.NewRat(1024, 1))
	}
	c.all.Add(c.all, q)
	if !free {
		c.below.Add(c.below, q)
	}
}

// off is what is left after the discount.
func (o *oracle) off(iv *cloud.Interval, at time.Time) *big.Rat {
	all := big.NewRat(1, 1)
	for _, m := range []cloud.Meter{iv.Meter, ""} {
		for _, d := range o.Discounts {
			if d.TenantID == iv.TenantID && d.Meter == m && !at.Before(d.From) && (d.To.IsZero() || at.Before(d.To)) {
				return all.Sub(all, new(big.Rat).Quo(ratOf(d.Percent), big.NewRat(100, 1)))
			}
		}
	}
	return all
}

func round9(r *big.Rat) *big.Rat {
	scaled := new(big.Rat).Mul(r, big.NewRat(1_000_000_000, 1))
	return new(big.Rat).SetFrac(roundRat(scaled), big.NewInt(1_000_000_000))
}

func roundRat(r *big.Rat) *big.Int {
	whole, rem := new(big.Int).QuoRem(r.Num(), r.Denom(), new(big.Int))
	if c := rem.Lsh(rem, 1).Cmp(r.Denom()); c > 0 || (c == 0 && whole.Bit(0) == 1) {
		whole.Add(whole, big.NewInt(1))
	}
	return whole
}

func (c *oracleCell) cost() *big.Rat {
	out := new(big.Rat).Mul(round9(c.below), c.unit)
	return out.Mul(out, c.off)
}

// drawInput makes lives of a few slots around the turn of a month, with prices,
// facts and discounts that change in the middle of everything.
func drawInput(t *rapid.T) Input {
	base := time.Date(2027, 12, 28, 0, 0, 0, 0, time.UTC)
	span := 9 * 24 * time.Hour
	instant := func(name string) time.Time {
		return base.Add(time.Duration(rapid.Int64Range(0, int64(span/tick)).Draw(t, name)) * tick)
	}
	hour := func(name string) time.Time {
		return base.Add(time.Duration(rapid.Int64Range(0, int64(span/time.Hour)).Draw(t, name)) * time.Hour)
	}
	in := Input{}
	meters := []cloud.Meter{cloud.MeterVCPU, cloud.MeterMemory, cloud.MeterDisk}
	states := []cloud.State{cloud.StateRunning, cloud.StatePaused, cloud.StateStopped}
	seq := int64(0)
	for r := range rapid.IntRange(1, 2).Draw(t, "resources") {
		resource := fmt.Sprint("r", r)
		m := rapid.SampledFrom(meters).Draw(t, "meter")
		at := instant("begin")
		for range rapid.IntRange(1, 7).Draw(t, "intervals") {
			seq++
			length := rapid.SampledFrom([]int64{1, 2, 5, 30, 36, 40, 200, 1500}).Draw(t, "length")
			iv := cloud.Interval{Seq: seq, TenantID: rapid.SampledFrom([]string{"t1", "t1", "t1", "t2"}).Draw(t, "tenant"), ResourceID: resource, Resource: resource, StartedAt: at, Evidence: cloud.EvidenceSeen}
			iv.Slot, iv.Meter, iv.Amount = "slot", m, rapid.SampledFrom([]int64{1, 2, 3, 7, 512, 1000, 4096}).Draw(t, "amount")
			iv.State = rapid.SampledFrom(states).Draw(t, "state")
			at = at.Add(time.Duration(length) * tick)
			iv.EndedAt = at
			gap := rapid.SampledFrom([]int64{0, 0, 0, 1, 20, 36, 300}).Draw(t, "gap")
			if gap > 0 && rapid.IntRange(0, 2).Draw(t, "clock") == 0 {
				iv.Evidence = "clock"
			}
			at = at.Add(time.Duration(gap) * tick)
			in.Intervals = append(in.Intervals, iv)
		}
		if rapid.Bool().Draw(t, "open") {
			last := &in.Intervals[len(in.Intervals)-1]
			last.EndedAt, last.Evidence = time.Time{}, ""
		}
		since := base
		for range rapid.IntRange(0, 3).Draw(t, "facts") {
			seq++
			f := cloud.UsageFact{Seq: seq, ResourceID: resource, Since: since, Name: fmt.Sprint("n", seq), Flavor: rapid.SampledFrom([]string{"", "small"}).Draw(t, "flavor")}
			f.Labels = map[string]string{"env": rapid.SampledFrom([]string{"prod", "dev"}).Draw(t, "env")}
			in.Facts = append(in.Facts, f)
			since = since.Add(time.Duration(rapid.Int64Range(1, 2000).Draw(t, "later")) * tick)
		}
	}
	for n := range rapid.IntRange(0, 6).Draw(t, "prices") {
		p := cloud.Price{ID: fmt.Sprint("p", n), Meter: rapid.SampledFrom(meters).Draw(t, "of"), From: hour("from"),
			TenantID:  rapid.SampledFrom([]string{"", "", "t1"}).Draw(t, "for"),
			FlavorID:  rapid.SampledFrom([]string{"", "", "small"}).Draw(t, "flavor of"),
			Selector:  rapid.SampledFrom([]string{"", "", "env=prod", "env=prod,env"}).Draw(t, "selector"),
			UnitPrice: rapid.SampledFrom([]string{"0", "1", "0.0333", "0.000000000001", "12.5"}).Draw(t, "unit"),
			States:    rapid.SampledFrom([][]cloud.State{nil, {cloud.StateRunning}, {cloud.StateRunning, cloud.StatePaused}}).Draw(t, "states"),
		}
		p.MinimumSeconds = rapid.SampledFrom([]int64{0, 0, 100, 3600, 5000, 86400}).Draw(t, "least")
		p.CapHours = rapid.SampledFrom([]int64{0, 0, 1, 10, 50}).Draw(t, "cap")
		if rapid.Bool().Draw(t, "ends") {
			p.To = p.From.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "valid")) * time.Hour)
		}
		clash := slices.ContainsFunc(in.Prices, func(o cloud.Price) bool {
			return o.Meter == p.Meter && o.TenantID == p.TenantID && o.FlavorID == p.FlavorID && o.Selector == p.Selector && o.From.Equal(p.From)
		})
		if !clash {
			in.Prices = append(in.Prices, p)
		}
	}
	for n := range rapid.IntRange(0, 2).Draw(t, "discounts") {
		d := cloud.Discount{ID: fmt.Sprint("d", n), TenantID: "t1", From: hour("off from"), Percent: rapid.SampledFrom([]string{"10", "33.3333", "100"}).Draw(t, "percent")}
		d.Meter = []cloud.Meter{"", cloud.MeterMemory}[n]
		if rapid.Bool().Draw(t, "off ends") {
			d.To = d.From.Add(30 * time.Hour)
		}
		in.Discounts = append(in.Discounts, d)
	}
	in.From = hour("period")
	in.To = in.From.Add(time.Duration(rapid.Int64Range(0, 24*9).Draw(t, "hours")) * time.Hour)
	in.Now = instant("now")
	if rapid.Bool().Draw(t, "later") {
		in.Now = in.To.Add(10 * 24 * time.Hour)
	}
	return in
}

func ratio(d decimal.Decimal) *big.Rat { return d.Rat() }

// What the engine charges for each hour of each slot at each price is what the
// oracle finds, to the last digit.
func TestChargesAreThoseOfTheOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		o := oracle{Input: in}
		o.run(time.Date(2027, 11, 29, 0, 0, 0, 0, time.UTC))
		type sum struct{ quantity, cost *big.Rat }
		got := map[cellKey]*sum{}
		for c := range Hourly(Charges(in)) {
			k := cellKey{c.TenantID, c.ResourceID, c.Slot, c.Meter, c.PriceID, c.Hour.UnixMilli()}
			if got[k] == nil {
				got[k] = &sum{new(big.Rat), new(big.Rat)}
			}
			got[k].quantity.Add(got[k].quantity, ratio(c.Quantity()))
			got[k].cost.Add(got[k].cost, ratio(c.Cost()))
		}
		for k, want := range o.cells {
			have := got[k]
			if have == nil {
				if round9(want.all).Sign() == 0 {
					continue
				}
				t.Fatalf("%+v: nothing charged, want %v", k, want.all)
			}
			if have.quantity.Cmp(round9(want.all)) != 0 || have.cost.Cmp(want.cost()) != 0 {
				for c := range Charges(in) {
					if c.ResourceID == k.resource {
						t.Logf("%s to %s, %d h, price %s minimum %v capped %v: %s", c.From, c.To, c.Hours, c.PriceID, c.Minimum, c.Capped, c.Quantity())
					}
				}
				t.Logf("%+v", in)
				t.Fatalf("%+v (%s): quantity %s, want %s; cost %s, want %s", k, time.UnixMilli(k.hour).UTC(),
					have.quantity.FloatString(12), want.all.FloatString(12), have.cost.FloatString(24), want.cost().FloatString(24))
			}
		}
		for k := range maps.Keys(got) {
			if o.cells[k] == nil {
				t.Fatalf("%+v is charged, and nothing was used", k)
			}
		}
	})
}

// Wherever a period is cut, its parts cost what it costs, and reports by hour,
// day and instance add up to the total.
func TestCostsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		charges := Charges(in)
		total := sole(charges).Cost
		cut := in.From.Add(time.Duration(rapid.Int64Range(0, int64(in.To.Sub(in.From)/time.Hour)).Draw(t, "cut")) * time.Hour)
		early, late := in, in
		early.To, late.From = cut, cut
		parts := sole(Charges(early)).Cost.Add(sole(Charges(late)).Cost)
		if !parts.Equal(total) {
			t.Fatalf("the whole costs %s, its parts %s", total, parts)
		}
		for name, shares := range map[string][]Share{
			"hour": ByHour(charges), "day": ByDay(charges),
			"label": By(charges, func(c Charge) (string, string) { return c.Labels["env"], "" }),
		} {
			sum := decimal.Zero
			for _, s := range shares {
				sum = sum.Add(s.Cost)
			}
			if !sum.Equal(total) {
				t.Fatalf("by %s: %s, want %s", name, sum, total)
			}
		}
		shuffled := in
		shuffled.Intervals = slices.Clone(in.Intervals)
		slices.Reverse(shuffled.Intervals)
		if again := sole(Charges(shuffled)).Cost; !again.Equal(total) {
			t.Fatalf("in another order: %s, want %s", again, total)
		}
	})
}

func sole(charges iter.Seq[Charge]) Share {
	return Whole(By(charges, func(c Charge) (string, string) { return "", "" }))
}

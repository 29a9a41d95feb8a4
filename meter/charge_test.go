package meter

import (
	"testing"
	"time"

	"lodge/cloud"
)

var ten = time.Date(2026, 11, 5, 10, 0, 0, 0, time.UTC)

// vcpu is a run of one vCPU, from and to seconds after ten; to 0 is open.
func vcpu(from, to int, change ...func(*cloud.Interval)) cloud.Interval {
	out := cloud.Interval{TenantID: "t", ResourceID: "r", StartedAt: ten.Add(time.Duration(from) * time.Second), Evidence: cloud.EvidenceSeen}
	if out.Slot, out.Meter, out.Amount, out.State = "cpu", cloud.MeterVCPU, 1, cloud.StateRunning; to != 0 {
		out.EndedAt = ten.Add(time.Duration(to) * time.Second)
	}
	for _, c := range change {
		c(&out)
	}
	return out
}

func stepped(iv *cloud.Interval) { iv.Evidence = clockSet }

func stopped(iv *cloud.Interval) { iv.State = cloud.StateStopped }

// secondsOf are the seconds charged of one vCPU in so many hours from ten on, at
// 3600 an hour.
func secondsOf(ivs []cloud.Interval, hours int, change ...func(*cloud.Price)) string {
	p := cloud.Price{ID: "p", Meter: cloud.MeterVCPU, UnitPrice: "3600", From: ten.AddDate(0, -2, 0), States: []cloud.State{cloud.StateRunning}, MinimumSeconds: 600}
	for _, c := range change {
		c(&p)
	}
	end := ten.Add(time.Duration(hours) * time.Hour)
	sum := sole(Charges(Input{Intervals: ivs, Prices: []cloud.Price{p}, From: ten, To: end, Now: end}))
	return sum.Cost.Round(3).String()
}

func TestMinimums(t *testing.T) {
	for _, tt := range []struct {
		name  string
		ivs   []cloud.Interval
		hours int
		want  string
	}{
		{"short", []cloud.Interval{vcpu(0, 90)}, 2, "600"},
		{"long enough", []cloud.Interval{vcpu(0, 900)}, 2, "900"},
		{"open", []cloud.Interval{vcpu(3500, 0)}, 1, "100"},
		{"it goes on in the next hour", []cloud.Interval{vcpu(3500, 3700)}, 1, "100"},
		{"ends with the period", []cloud.Interval{vcpu(3500, 3600)}, 1, "600"},
		{"goes on with another size as the period ends", []cloud.Interval{vcpu(3500, 3600), vcpu(3600, 9000, func(iv *cloud.Interval) { iv.Amount = 2 })}, 1, "100"},
		{"stops as the period ends", []cloud.Interval{vcpu(3500, 3600), vcpu(3600, 9000, stopped)}, 1, "600"},
		{"stopped between", []cloud.Interval{vcpu(0, 100), vcpu(100, 200, stopped), vcpu(200, 300)}, 2, "1200"},
		{"the clock was set", []cloud.Interval{vcpu(0, 100, stepped), vcpu(1000, 1100)}, 2, "600"},
		{"the clock was set, and it had ended", []cloud.Interval{vcpu(0, 100, stepped), vcpu(1000, 1100, stopped)}, 2, "100"},
		{"the clock was set, and nothing is known after", []cloud.Interval{vcpu(0, 100, stepped)}, 2, "100"},
		{"the clock was set further than a day", []cloud.Interval{vcpu(0, 500, stepped), vcpu(100_000, 100_100)}, 30, "1100"},
		{"began in the hour before", []cloud.Interval{vcpu(-400, 50)}, 1, "200"},
		{"ended in the hour before", []cloud.Interval{vcpu(-400, -50)}, 1, "0"},
	} {
		if got := secondsOf(tt.ivs, tt.hours); got != tt.want {
			t.Errorf("%s: %s s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestCapsCountWhatMinimumsAdd(t *testing.T) {
	capped := func(p *cloud.Price) { p.CapHours = 1 }
	var ivs []cloud.Interval
	for n := range 8 { // 8 starts of 10 minutes each, of which 6 fill the hour
		ivs = append(ivs, vcpu(n*900, n*900+60))
	}
	if got := secondsOf(ivs, 3, capped); got != "3600" {
		t.Errorf("%s s", got)
	}
	// What was added before the period counts too.
	for n := range 3 {
		ivs = append(ivs, vcpu(-9000+n*900, -9000+n*900+60))
	}
	if got := secondsOf(ivs, 3, capped); got != "1800" {
		t.Errorf("%s s", got)
	}
	// The cap is of the month: what was used in October does not count.
	october := []cloud.Interval{vcpu(-86400*10, -86400*9), vcpu(0, 7200)}
	if got := secondsOf(october, 3, capped); got != "3600" {
		t.Errorf("%s s", got)
	}
}

func TestTheMostSpecificPriceWins(t *testing.T) {
	in := Input{Intervals: []cloud.Interval{vcpu(0, 3600)}, From: ten, To: ten.Add(time.Hour), Now: ten.Add(time.Hour),
		Facts: []cloud.UsageFact{{ResourceID: "r", Flavor: "small", Labels: map[string]string{"env": "prod", "team": "a"}, Since: ten}}}
	// Each beats all before it.
	for n, p := range []cloud.Price{
		{}, {FlavorID: "small"}, {Selector: "env=prod"}, {Selector: "env=prod", FlavorID: "small"}, {Selector: "env=prod,team"},
		{TenantID: "t"}, {TenantID: "t", FlavorID: "small"}, {TenantID: "t", Selector: "env"},
	} {
		p.ID, p.Meter, p.UnitPrice, p.From = string(rune('a'+n)), cloud.MeterVCPU, "1", ten.AddDate(0, 0, -n-1)
		in.Prices = append([]cloud.Price{p}, in.Prices...)
		for c := range Charges(in) {
			if c.PriceID != p.ID {
				t.Errorf("%+v lost to %s", p, c.PriceID)
			}
		}
	}
	others := []cloud.Price{{ID: "x", TenantID: "u"}, {ID: "y", FlavorID: "large"}, {ID: "z", Selector: "env=dev"}}
	for i := range others {
		others[i].Meter, others[i].UnitPrice, others[i].From = cloud.MeterVCPU, "1", ten
	}
	in.Prices = others
	for c := range Charges(in) {
		if c.PriceID != "" || !c.Cost().IsZero() {
			t.Errorf("a price of others counts: %+v", c)
		}
	}
}

// A report that is not read to its end is not made to its end.
func TestWhoHasEnoughGetsNoMore(t *testing.T) {
	n := 0
	for range Charges(Input{Intervals: []cloud.Interval{vcpu(60, 7000), vcpu(8000, 9000)}, From: ten, To: ten.Add(9 * time.Hour), Now: ten.Add(9 * time.Hour)}) {
		n++
		break
	}
	if n != 1 {
		t.Error(n)
	}
}

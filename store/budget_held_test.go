package store_test

import (
	"testing"
	"time"

	"lodge/cloud"
	"lodge/meter"
)

// Bytes are written without an event: they alone have a budget act.
func TestBytesAloneHaveABudgetAct(t *testing.T) {
	for _, c := range []struct {
		name string
		th   cloud.BudgetThreshold
	}{
		{"stop", cloud.BudgetThreshold{Percent: 100, On: cloud.BudgetActual, Action: cloud.BudgetStop}},
		{"refuse", cloud.BudgetThreshold{Percent: 100, On: cloud.BudgetActual, Action: cloud.BudgetRefuse}},
		{"forecast", cloud.BudgetThreshold{Percent: 100, On: cloud.BudgetForecast, Action: cloud.BudgetRefuse}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorldWith(t, roomy)
			w.price("egress", func(p *cloud.Price) { p.Meter, p.UnitPrice = cloud.MeterEgress, "1" })
			i := w.run("web")
			b := w.aBudget("dev", func(b *cloud.Budget) { b.Thresholds = []cloud.BudgetThreshold{c.th} })
			k := w.keeper()
			w.later(time.Hour)
			w.keep(k)
			bell, events := w.NextChange(), w.NextEvents("")
			w.moved(i, nics("vnet0", 999_999_999, 5))
			if !rung(bell) || rung(events) {
				t.Fatalf("the bell of changes rang: %v, that of events: %v", rung(bell), rung(events))
			}
			w.later(time.Second)
			w.keep(k)
			if n := w.crossings(b); n != 0 {
				t.Fatalf("%d crossings below the limit", n)
			}
			w.moved(i, nics("vnet0", 1_000_000_000, 5))
			w.later(time.Second)
			w.keep(k)
			if n := w.crossings(b); n != 1 {
				t.Fatalf("%d crossings behind a GB", n)
			}
			if c.th.Action == cloud.BudgetStop && w.power(i) != cloud.PowerOff {
				t.Error("it was not stopped")
			}
			_, err := w.CreateInstance(ctx, operator, w.now, w.wanted("more"))
			w.refused(err, cloud.CodeBudget)
		})
	}
}

// Bytes that no price was ever set for change nothing, so nobody looks.
func TestBytesWithoutAPriceAreNoChange(t *testing.T) {
	w := newWorldWith(t, roomy)
	w.price("ingress", func(p *cloud.Price) { p.Meter = cloud.MeterIngress })
	i := w.run("web")
	tenants, everyone, mark, err := w.Changes(ctx, cloud.BudgetMark{})
	if w.must(err); len(tenants) != 0 || !everyone {
		t.Errorf("at first: %v, %v", tenants, everyone)
	}
	w.later(time.Hour)
	w.moved(i, nics("vnet0", 5, 0))
	tenants, everyone, mark, err = w.Changes(ctx, mark)
	if w.must(err); len(tenants) != 0 || everyone {
		t.Errorf("egress without a price: %v", tenants)
	}
	w.later(time.Hour)
	w.moved(i, nics("vnet0", 5, 5))
	if tenants, _, _, err = w.Changes(ctx, mark); err != nil || !tenants[w.tenant.ID] {
		t.Errorf("ingress with a price: %v, %v", tenants, err)
	}
}

// A crossing that a change has left in force is lifted by none but another change:
// not by a new name, a restart or a look, whatever the forecast says meanwhile.
func TestWhatIsInForceIsLiftedByAChangeOnly(t *testing.T) {
	w, i := spending(t)
	b := w.aBudget("dev", func(b *cloud.Budget) {
		b.Thresholds = []cloud.BudgetThreshold{{Percent: 100, On: cloud.BudgetForecast, Action: cloud.BudgetRefuse}}
	})
	k := w.keeper()
	w.keep(k)
	change := func(ch cloud.BudgetChange) {
		t.Helper()
		_, err := w.UpdateBudget(ctx, operator, w.now, b.ID, ch, meter.JudgeBudget)
		w.must(err)
	}
	more, name, much := "1.1", "other", "1000"
	change(cloud.BudgetChange{Amount: &more}) // still reached
	i, err := w.PowerInstance(ctx, operator, w.now, i.ID, cloud.PowerStop, false)
	w.must(err)
	w.record(w.stopped(i)) // and now it is not
	for what, do := range map[string]func(){
		"a look":     func() { w.keep(k) },
		"a new name": func() { change(cloud.BudgetChange{Name: &name}) },
		"a restart":  func() { k = w.keeper(); w.keep(k) },
	} {
		w.later(time.Second)
		if do(); w.crossings(b) != 1 {
			t.Fatalf("lifted by %s", what)
		}
	}
	_, err = w.CreateInstance(ctx, operator, w.now, w.wanted("more"))
	w.refused(err, cloud.CodeBudget)
	change(cloud.BudgetChange{Amount: &much})
	if w.crossings(b) != 0 {
		t.Error("not lifted by a raise")
	}
}

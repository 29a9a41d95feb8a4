package store_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"lodge/cloud"
	"lodge/meter"
	"lodge/timetable"
)

func (w *world) nights(change ...func(*cloud.Schedule)) cloud.Schedule {
	w.t.Helper()
	s := cloud.Schedule{ID: id("schedule"), TenantID: w.tenant.ID, Name: "nights", Selector: "env=dev", Start: "0 7 * * *", Stop: "0 20 * * *", Zone: "Europe/Berlin", Enabled: true}
	for _, c := range change {
		c(&s)
	}
	s, err := w.CreateSchedule(ctx, operator, w.now, s)
	w.must(err)
	return s
}

func (w *world) dev(name string) cloud.Instance {
	w.t.Helper()
	n := w.wanted(name)
	n.Labels = map[string]string{"env": "dev"}
	i, err := w.CreateInstance(ctx, operator, w.now, n)
	w.must(err)
	w.record(w.running(i))
	return w.instance(i.ID)
}

func (w *world) apply() time.Time {
	w.t.Helper()
	next, err := (&timetable.Runner{Board: w.DB, Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler)}).Apply(ctx)
	w.must(err)
	return next
}

func (w *world) power(i cloud.Instance) cloud.Power {
	w.t.Helper()
	return w.instance(i.ID).Power
}

func TestAScheduleStopsAtNightAndStartsInTheMorning(t *testing.T) {
	w := newWorldWith(t, roomy)
	i, other := w.dev("dev"), w.run("prod")
	byHand := w.dev("by-hand")
	_, err := w.PowerInstance(ctx, operator, w.now, byHand.ID, cloud.PowerStop, false)
	w.must(err)
	s := w.nights()
	w.now = w.apply()
	if want := time.Date(2026, 3, 1, 19, 0, 0, 0, time.UTC); !w.now.Equal(want) {
		t.Fatalf("first at %v, want %v", w.now, want)
	}
	w.apply()
	w.apply() // once is enough
	if got := w.instance(i.ID); got.Power != cloud.PowerOff || got.StoppedBy != (cloud.Ref{Kind: cloud.KindSchedule, ID: s.ID}) || w.power(other) != cloud.PowerOn {
		t.Fatalf("at night %v by %+v", got.Power, got.StoppedBy)
	}
	// Somebody works late: it runs until the next stop.
	w.later(time.Hour)
	_, err = w.PowerInstance(ctx, operator, w.now, i.ID, cloud.PowerStart, false)
	w.must(err)
	w.later(time.Hour)
	w.apply()
	if w.power(i) != cloud.PowerOn {
		t.Fatal("what was started by hand was stopped at once")
	}
	// lodged was away from before the stop of the next day until the morning behind it.
	w.now = time.Date(2026, 3, 3, 6, 30, 0, 0, time.UTC)
	w.apply()
	if w.power(i) != cloud.PowerOn {
		t.Fatal("a stop that was missed was done in the morning")
	}
	w.now = time.Date(2026, 3, 3, 23, 0, 0, 0, time.UTC)
	w.apply()
	if w.power(i) != cloud.PowerOff {
		t.Fatal("the last time counts")
	}
	w.now = w.apply()
	w.apply()
	if w.power(i) != cloud.PowerOn || w.power(byHand) != cloud.PowerOff {
		t.Fatalf("in the morning %v and %v", w.power(i), w.power(byHand))
	}
	rests, err := w.Rests(ctx, s.ID, cloud.Month(noon))
	w.must(err)
	if len(rests) != 2 || rests[0].Until.Sub(rests[0].From) != time.Hour || !rests[1].Until.Equal(w.now) {
		t.Errorf("rests %+v", rests)
	}
}

func TestABudgetGoesBeforeASchedule(t *testing.T) {
	w := newWorldWith(t, roomy)
	w.price("vcpu", func(p *cloud.Price) { p.UnitPrice = "0.25" })
	i := w.dev("dev")
	s := w.nights()
	w.now = w.apply()
	w.apply() // the schedule has it
	used := w.aBudget("dev", func(b *cloud.Budget) { b.Amount = "0.01" })
	if w.crossings(used) != 1 {
		t.Fatal("the budget is not used up")
	}
	w.now = w.apply()
	w.apply()
	if got := w.instance(i.ID); got.Power != cloud.PowerOff || got.StoppedBy.ID != used.ID {
		t.Fatalf("in the morning %v by %+v", got.Power, got.StoppedBy)
	}
	w.now = w.apply()
	w.apply() // night again
	w.must(w.deleteBudget(operator, used.ID))
	if got := w.instance(i.ID); got.Power != cloud.PowerOff || got.StoppedBy.ID != s.ID {
		t.Fatalf("at night without a budget %v by %+v", got.Power, got.StoppedBy)
	}
	off := false
	_, err := w.UpdateSchedule(ctx, operator, w.now, s.ID, cloud.ScheduleChange{Enabled: &off}, func(cloud.Schedule) error { return nil })
	w.must(err)
	if w.power(i) != cloud.PowerOn {
		t.Error("a schedule that is switched off holds on")
	}
}

// The Keeper sleeps until the second of the crossing, hears what changes, and acts
// once: in virtual time, on a real database.
func TestTheKeeperActsInTheSecondOfTheCrossing(t *testing.T) {
	w, i := spending(t)
	b := w.aBudget("dev", stops(100, time.Minute))
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		now := func() time.Time { return noon.Add(time.Since(begin)) }
		k := &meter.Keeper{Purse: silent{w}, Now: now, Log: slog.New(slog.DiscardHandler)}
		stop := make(chan struct{})
		quit, cancel := contextOf()
		go func() { defer close(stop); k.Run(quit) }()
		time.Sleep(2*time.Hour - time.Second)
		synctest.Wait()
		if n := w.crossings(b); n != 0 {
			t.Errorf("%d crossings a second before", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := w.crossings(b); n != 1 {
			t.Errorf("%d crossings in the second", n)
		}
		time.Sleep(time.Minute - time.Second)
		synctest.Wait()
		if got := w.power(i); got != cloud.PowerOn {
			t.Errorf("%s within the grace", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := w.power(i); got != cloud.PowerOff {
			t.Errorf("%s behind the grace", got)
		}
		cancel()
		<-stop
	})
	all, err := w.Budget(ctx, operator, b.ID)
	w.must(err)
	if x := all.Crossings[0]; !x.At.Equal(noon.Add(2*time.Hour)) || !x.StoppedAt.Equal(noon.Add(2*time.Hour+time.Minute)) || x.Spent != "1" {
		t.Errorf("got %+v", x)
	}
}

// silent has no bell: its channel would be made outside of the virtual time.
type silent struct{ *world }

func (silent) NextChange() <-chan struct{} { return nil }

func contextOf() (context.Context, context.CancelFunc) { return context.WithCancel(ctx) }

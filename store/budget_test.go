package store_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/meter"
)

// aBudget is of 1 EUR a month: with vCPUs at 0.25 an hour and two of them, two
// hours.
func (w *world) aBudget(name string, change ...func(*cloud.Budget)) cloud.Budget {
	w.t.Helper()
	b := cloud.Budget{ID: id("budget", name), TenantID: w.tenant.ID, Name: name, Amount: "1", Period: cloud.BudgetMonth,
		Thresholds: []cloud.BudgetThreshold{{Percent: 100, On: cloud.BudgetActual, Action: cloud.BudgetRefuse}}}
	for _, c := range change {
		c(&b)
	}
	b, err := w.CreateBudget(ctx, operator, w.now, b, meter.JudgeBudget)
	w.must(err)
	return b
}

func stops(percent int, grace time.Duration) func(*cloud.Budget) {
	return func(b *cloud.Budget) {
		b.Thresholds = []cloud.BudgetThreshold{{Percent: percent, On: cloud.BudgetActual, Action: cloud.BudgetStop, Grace: grace}}
	}
}

// spending is a world in which an instance of two vCPUs costs half a EUR an hour.
func spending(t *testing.T) (*world, cloud.Instance) {
	w := newWorldWith(t, roomy)
	w.price("vcpu", func(p *cloud.Price) { p.UnitPrice = "0.25" })
	n := w.wanted("web")
	n.VCPUs, n.MemoryMiB = 2, 1024
	i, err := w.CreateInstance(ctx, operator, w.now, n)
	w.must(err)
	w.record(w.running(i))
	return w, w.instance(i.ID)
}

func (w *world) keeper() *meter.Keeper {
	return &meter.Keeper{Purse: w.DB, Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler)}
}

func (w *world) keep(k *meter.Keeper) time.Time {
	w.t.Helper()
	next, err := k.Keep(context.Background())
	w.must(err)
	return next
}

func (w *world) deleteBudget(c cloud.Caller, id string) error {
	_, _, err := w.DeleteBudget(ctx, c, w.now, id)
	return err
}

func (w *world) crossings(b cloud.Budget) int {
	w.t.Helper()
	b, err := w.Budget(ctx, operator, b.ID)
	w.must(err)
	return len(b.Crossings)
}

func TestABudgetRefusesFromTheSecondOnInWhichItIsUsedUp(t *testing.T) {
	w, i := spending(t)
	b := w.aBudget("dev")
	k := w.keeper()
	at := w.keep(k)
	if want := noon.Add(2 * time.Hour); !at.Equal(want) {
		t.Fatalf("crossed at %v, want %v", at, want)
	}
	w.now = at.Add(-time.Second)
	w.keep(k)
	w.create("still")
	w.now = at
	w.keep(k)
	_, err := w.CreateInstance(ctx, operator, w.now, w.wanted("more"))
	w.refused(err, cloud.CodeBudget)
	dry := operator
	dry.DryRun = true
	_, err = w.CreateInstance(ctx, dry, w.now, w.wanted("more"))
	w.refused(err, cloud.CodeBudget)
	three := 3
	_, err = w.UpdateInstance(ctx, operator, w.now, i.ID, cloud.InstanceChange{VCPUs: &three})
	w.refused(err, cloud.CodeBudget)
	one := 1
	_, err = w.UpdateInstance(ctx, operator, w.now, i.ID, cloud.InstanceChange{VCPUs: &one})
	w.must(err)
	i, err = w.PowerInstance(ctx, operator, w.now, i.ID, cloud.PowerStop, false)
	w.must(err)
	_, err = w.PowerInstance(ctx, operator, w.now, i.ID, cloud.PowerStart, false)
	w.refused(err, cloud.CodeBudget)
	bulk, err := w.ChangeInstances(ctx, operator, w.now, cloud.Filter{TenantID: w.tenant.ID}, cloud.BulkChange{Do: cloud.BulkStart})
	w.must(err)
	if len(bulk.Skipped) != 1 || bulk.Skipped[0].Refused.Code != cloud.CodeBudget {
		t.Errorf("bulk: %+v", bulk)
	}
	for range 3 {
		w.later(time.Second)
		w.keep(k)
	}
	if got := w.eventTypes(b.ID); fmt.Sprint(got) != "[budget.created budget.crossed]" {
		t.Errorf("events %v", got)
	}
	more := "2"
	if _, err = w.UpdateBudget(ctx, operator, w.now, b.ID, cloud.BudgetChange{Amount: &more}, meter.JudgeBudget); err != nil {
		t.Fatal(err)
	}
	w.create("more")
	little := "0.5"
	if _, err = w.UpdateBudget(ctx, operator, w.now, b.ID, cloud.BudgetChange{Amount: &little}, meter.JudgeBudget); err != nil {
		t.Fatal(err)
	}
	_, err = w.CreateInstance(ctx, operator, w.now, w.wanted("again"))
	w.refused(err, cloud.CodeBudget)
	w.now = time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC) // no Keeper was there
	w.create("april")
	w.keep(k)
	if n := w.crossings(b); n != 0 {
		t.Errorf("%d crossings in the new month", n)
	}
	w.must(w.deleteBudget(operator, b.ID))
}

func TestABudgetStopsAfterItsGraceAndStartsAgain(t *testing.T) {
	w, i := spending(t)
	byHand := w.run("by-hand")
	b := w.aBudget("dev", stops(50, time.Minute))
	k := w.keeper()
	at := w.keep(k)
	w.now = at
	if next := w.keep(k); !next.Equal(at.Add(time.Minute)) {
		t.Fatalf("next %v, want %v", next, at.Add(time.Minute))
	}
	if got := w.instance(i.ID); got.Power != cloud.PowerOn {
		t.Fatal("stopped before the grace was over")
	}
	w.now = at.Add(time.Minute)
	k = w.keeper() // a restart between the crossing and the stop
	w.keep(k)
	got := w.instance(i.ID)
	if got.Power != cloud.PowerOff || got.StoppedBy != (cloud.Ref{Kind: cloud.KindBudget, ID: b.ID}) {
		t.Fatalf("%v by %+v", got.Power, got.StoppedBy)
	}
	w.record(w.stopped(got))
	_, err := w.PowerInstance(ctx, operator, w.now, i.ID, cloud.PowerStart, false)
	w.refused(err, cloud.CodeBudget)
	// Somebody wishes this one stopped, so nobody else starts it.
	_, err = w.PowerInstance(ctx, operator, w.now, byHand.ID, cloud.PowerStop, false)
	w.must(err)
	if got := w.instance(byHand.ID); got.StoppedBy != (cloud.Ref{}) {
		t.Errorf("what was stopped by hand is held by %+v", got.StoppedBy)
	}
	w.must(w.deleteBudget(operator, b.ID))
	if got := w.instance(i.ID); got.Power != cloud.PowerOn || got.StoppedBy != (cloud.Ref{}) {
		t.Errorf("after the deletion: %v by %+v", got.Power, got.StoppedBy)
	}
	if got := w.instance(byHand.ID); got.Power != cloud.PowerOff {
		t.Error("what was stopped by hand was started")
	}
}

func TestOfTwoBudgetsTheLastStartsAgain(t *testing.T) {
	w, i := spending(t)
	a := w.aBudget("a", stops(50, 0))
	b := w.aBudget("b", stops(60, 0))
	k := w.keeper()
	for range 2 {
		w.now = w.keep(k)
		w.keep(k)
	}
	if got := w.instance(i.ID); got.StoppedBy.ID != a.ID {
		t.Fatalf("stopped by %+v", got.StoppedBy)
	}
	if w.crossings(b) != 1 {
		t.Fatal("b was not reached") // what was seen runs on until it is seen stopped
	}
	less, much := "0.1", "10"
	for _, step := range []struct {
		id, amount string
		power      cloud.Power
		by         string
	}{{a.ID, much, cloud.PowerOff, b.ID}, {b.ID, much, cloud.PowerOn, ""}, {a.ID, less, cloud.PowerOff, a.ID}, {a.ID, much, cloud.PowerOn, ""}} {
		if _, err := w.UpdateBudget(ctx, operator, w.now, step.id, cloud.BudgetChange{Amount: &step.amount}, meter.JudgeBudget); err != nil {
			t.Fatal(err)
		}
		if got := w.instance(i.ID); got.Power != step.power || got.StoppedBy.ID != step.by {
			t.Fatalf("%s at %s: %v by %+v", step.id, step.amount, got.Power, got.StoppedBy)
		}
	}
}

func TestABudgetIsOfWhatHasItsLabels(t *testing.T) {
	w, _ := spending(t)
	w.aBudget("dev", func(b *cloud.Budget) { b.Selector = "env=dev" })
	if next := w.keep(w.keeper()); !next.Equal(time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("next %v", next)
	}
	used := w.aBudget("all", func(b *cloud.Budget) { b.Amount, b.Selector = "0.000001", "env!=prod" })
	w.later(time.Second)
	w.keep(w.keeper())
	if w.crossings(used) != 1 {
		t.Fatal("it is not used up")
	}
	n := w.wanted("prod")
	n.Labels = map[string]string{"env": "prod"}
	_, err := w.CreateInstance(ctx, operator, w.now, n)
	w.must(err)
	_, err = w.CreateInstance(ctx, operator, w.now, w.wanted("dev"))
	w.refused(err, cloud.CodeBudget)
}

func TestABudgetOfAnOperatorIsTheOperators(t *testing.T) {
	w := newWorld(t)
	b := w.aBudget("ops")
	admin := cloud.Caller{TenantID: w.tenant.ID, Role: cloud.RoleAdmin, Via: "token", UserID: "u"}
	name := "mine"
	_, err := w.UpdateBudget(ctx, admin, w.now, b.ID, cloud.BudgetChange{Name: &name}, meter.JudgeBudget)
	w.refused(err, cloud.CodeForbidden)
	w.refused(w.deleteBudget(admin, b.ID), cloud.CodeForbidden)
	mine, err := w.CreateBudget(ctx, admin, w.now, cloud.Budget{ID: id("budget", "mine"), TenantID: w.tenant.ID, Name: "mine", Amount: "1.50", Period: cloud.BudgetDay, Thresholds: b.Thresholds}, meter.JudgeBudget)
	w.must(err)
	if mine.Amount != "1.5" || mine.ByOperator {
		t.Errorf("got %+v", mine)
	}
	bound := admin
	bound.IfMatch = []string{"nothing"}
	w.refused(w.deleteBudget(bound, mine.ID), cloud.CodePrecondition)
	w.must(w.deleteBudget(admin, mine.ID))
	_, err = w.Budget(ctx, viewerOf(w.newTenant("other")), b.ID)
	w.refused(err, cloud.CodeNotFound)
}

// Many ask at once while the budget acts: what was made was made before.
func TestNothingIsMadeBehindACrossing(t *testing.T) {
	w, _ := spending(t)
	b := w.aBudget("dev")
	k := w.keeper()
	w.now = w.keep(k)
	wants := make([]cloud.NewInstance, 40)
	for i := range wants {
		wants[i] = w.wanted(fmt.Sprintf("many%d", i))
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	made := map[string]bool{}
	for i, n := range wants {
		all.Go(func() {
			if i == len(wants)/2 {
				if _, err := k.Keep(ctx); err != nil {
					t.Error(err)
				}
			}
			_, err := w.CreateInstance(ctx, operator, w.now, n)
			switch cloud.CodeOf(err) {
			case "":
				mu.Lock()
				made[n.ID] = true
				mu.Unlock()
			case cloud.CodeBudget:
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	events, err := w.Events(ctx, operator, cloud.EventFilter{Limit: 1000})
	w.must(err)
	crossed, before := false, 0
	for _, e := range events {
		crossed = crossed || (e.Type == "budget.crossed" && e.Subject.ID == b.ID)
		if e.Type == "instance.created" && made[e.Subject.ID] {
			if before++; crossed {
				t.Errorf("%s was made behind the crossing", e.Name)
			}
		}
	}
	if !crossed || before != len(made) {
		t.Errorf("crossed %v, %d events of %d made", crossed, before, len(made))
	}
}

// A stop that somebody wishes of many counts as much as of one, and a tenant that
// goes takes with it what acts for it.
func TestABulkStopIsAWishToo(t *testing.T) {
	w, i := spending(t)
	b := w.aBudget("dev", stops(50, 0))
	k := w.keeper()
	w.now = w.keep(k)
	w.keep(k)
	if w.instance(i.ID).StoppedBy.ID != b.ID {
		t.Fatal("not stopped")
	}
	if _, err := w.ChangeInstances(ctx, operator, w.now, cloud.Filter{TenantID: w.tenant.ID}, cloud.BulkChange{Do: cloud.BulkStop}); err != nil {
		t.Fatal(err)
	}
	w.must(w.deleteBudget(operator, b.ID))
	if got := w.instance(i.ID); got.Power != cloud.PowerOff || got.StoppedBy != (cloud.Ref{}) {
		t.Errorf("%v by %+v", got.Power, got.StoppedBy)
	}
	other := w.newTenant("other")
	w.aBudget("theirs", func(b *cloud.Budget) { b.TenantID = other.ID })
	w.must(w.DeleteTenant(ctx, operator, w.now, other.ID))
	if all, err := w.Budgets(ctx, operator, ""); err != nil || len(all) != 0 {
		t.Errorf("%d budgets are left, %v", len(all), err)
	}
	w.keep(k)
}

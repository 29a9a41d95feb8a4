package store_test

import (
	"testing"
	"time"

	"lodge/cloud"
	"lodge/meter"
)

// usedUp is a world whose budget has refused for a second. The instance in it has
// a larger size waiting for its next start.
func usedUp(t *testing.T, change ...func(*cloud.Budget)) (*world, cloud.Instance) {
	w, i := spending(t)
	three := 3
	i, err := w.UpdateInstance(ctx, operator, w.now, i.ID, cloud.InstanceChange{VCPUs: &three})
	w.must(err)
	w.aBudget("dev", change...)
	k := w.keeper()
	w.now = w.keep(k)
	w.keep(k)
	w.later(time.Second)
	return w, i
}

func TestARebootDoesNotGrowUnderABudgetThatIsUsedUp(t *testing.T) {
	w, i := usedUp(t)
	dry := operator
	dry.DryRun = true
	for _, c := range []cloud.Caller{dry, operator} {
		for _, force := range []bool{false, true} {
			_, err := w.PowerInstance(ctx, c, w.now, i.ID, cloud.PowerReboot, force)
			w.refused(err, cloud.CodeBudget)
		}
	}
	// The size of before is no growth, and then a reboot is none.
	two := 2
	_, err := w.UpdateInstance(ctx, operator, w.now, i.ID, cloud.InstanceChange{VCPUs: &two})
	w.must(err)
	_, err = w.PowerInstance(ctx, operator, w.now, i.ID, cloud.PowerReboot, false)
	w.must(err)
}

func TestAStartDoesNotGrowUnderABudgetThatIsUsedUp(t *testing.T) {
	w, i := usedUp(t)
	_, err := w.PowerInstance(ctx, operator, w.now, i.ID, cloud.PowerStop, false)
	w.must(err)
	_, err = w.PowerInstance(ctx, operator, w.now, i.ID, cloud.PowerStart, false)
	w.refused(err, cloud.CodeBudget)
}

// What runs does not come by a label under a budget that would not let it start:
// else the label is taken off, the instance started, and the label put on again.
func TestALabelIsNoWayAroundABudget(t *testing.T) {
	env := func(value string) cloud.LabelChange {
		return cloud.LabelChange{Labels: map[string]*string{"env": &value}}
	}
	for name, change := range map[string]func(*cloud.Budget){
		"refuse": func(*cloud.Budget) {},
		"stop":   stops(100, time.Minute),
	} {
		t.Run(name, func(t *testing.T) {
			w, i := spending(t)
			label := func(id string, l cloud.LabelChange, c cloud.Caller) error {
				_, err := w.UpdateInstance(ctx, c, w.now, id, cloud.InstanceChange{LabelChange: l})
				return err
			}
			w.must(label(i.ID, env("dev"), operator))
			b := w.aBudget("dev", change, func(b *cloud.Budget) { b.Selector = "env=dev" })
			k := w.keeper()
			w.now = w.keep(k)
			w.keep(k)
			w.now = w.now.Add(time.Hour)
			w.keep(k)
			if w.crossings(b) != 1 {
				t.Fatal("it is not in force")
			}
			_, err := w.PowerInstance(ctx, operator, w.now, i.ID, cloud.PowerStop, false)
			w.must(err)
			_, err = w.PowerInstance(ctx, operator, w.now, i.ID, cloud.PowerStart, false)
			w.refused(err, cloud.CodeBudget)
			w.must(label(i.ID, cloud.LabelChange{NoLabels: true}, operator))
			_, err = w.PowerInstance(ctx, operator, w.now, i.ID, cloud.PowerStart, false)
			w.must(err)
			dry := operator
			dry.DryRun = true
			w.refused(label(i.ID, env("dev"), dry), cloud.CodeBudget)
			w.refused(label(i.ID, env("dev"), operator), cloud.CodeBudget)
			w.must(label(i.ID, env("prod"), operator))
			// Stopped it may have them, and does not start with them.
			_, err = w.PowerInstance(ctx, operator, w.now, i.ID, cloud.PowerStop, false)
			w.must(err)
			w.must(label(i.ID, env("dev"), operator))
			_, err = w.PowerInstance(ctx, operator, w.now, i.ID, cloud.PowerStart, false)
			w.refused(err, cloud.CodeBudget)
			// What it has already changes nothing.
			more := "1000"
			_, err = w.UpdateBudget(ctx, operator, w.now, b.ID, cloud.BudgetChange{Amount: &more}, meter.JudgeBudget)
			w.must(err)
			_, err = w.PowerInstance(ctx, operator, w.now, i.ID, cloud.PowerStart, false)
			w.must(err)
		})
	}
}

// New labels that take an instance out of the budget that holds it end the hold:
// another one that means it has it then, or nobody, and no name of a budget starts it.
func TestANewLabelEndsTheHoldOfItsBudget(t *testing.T) {
	w, _ := spending(t)
	alone, shared, stays := w.dev("alone"), w.dev("shared"), w.dev("stays")
	label := func(i cloud.Instance, l cloud.LabelChange) {
		t.Helper()
		_, err := w.UpdateInstance(ctx, operator, w.now, i.ID, cloud.InstanceChange{LabelChange: l})
		w.must(err)
	}
	model := w.dev("model") // by which the other budget is used up
	team := "red"
	label(model, cloud.LabelChange{Labels: map[string]*string{"team": &team}})
	b := w.aBudget("dev", stops(100, 0), func(b *cloud.Budget) { b.Selector, b.Amount = "env=dev", "0.1" })
	other := w.aBudget("red", func(b *cloud.Budget) { b.Selector, b.Amount = "team=red", "0.01" })
	k := w.keeper()
	for range 4 {
		w.now = w.now.Add(time.Hour)
		w.keep(k)
	}
	is := func(when string, i cloud.Instance, power cloud.Power, by string) {
		t.Helper()
		if got := w.instance(i.ID); got.Power != power || got.StoppedBy.ID != by {
			t.Errorf("%s: %s is %s by %q, want %s by %q", when, i.Name, got.Power, got.StoppedBy.ID, power, by)
		}
	}
	if w.crossings(b) != 1 || w.crossings(other) != 1 {
		t.Fatal("a budget is not in force")
	}
	for _, i := range []cloud.Instance{alone, shared, stays} {
		is("at first", i, cloud.PowerOff, b.ID)
	}
	label(alone, cloud.LabelChange{Labels: map[string]*string{"env": nil}})
	label(shared, cloud.LabelChange{Labels: map[string]*string{"env": nil, "team": &team}})
	x := "1"
	label(stays, cloud.LabelChange{Labels: map[string]*string{"x": &x}})
	for _, name := range []string{"", "renamed"} {
		if name != "" {
			_, err := w.UpdateBudget(ctx, operator, w.now, b.ID, cloud.BudgetChange{Name: &name}, meter.JudgeBudget)
			w.must(err)
			w.keep(k)
		}
		is("relabelled "+name, alone, cloud.PowerOff, "")
		is("relabelled "+name, shared, cloud.PowerOff, other.ID)
		is("relabelled "+name, stays, cloud.PowerOff, b.ID)
	}
	_, err := w.PowerInstance(ctx, operator, w.now, alone.ID, cloud.PowerStart, false)
	w.must(err)
	_, err = w.PowerInstance(ctx, operator, w.now, shared.ID, cloud.PowerStart, false)
	w.refused(err, cloud.CodeBudget)
}

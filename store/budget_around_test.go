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

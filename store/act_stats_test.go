package store_test

import (
	"maps"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/meter"
)

func (w *world) actStats() cloud.ActStats {
	w.t.Helper()
	a, err := w.ActStats(ctx, w.now)
	w.must(err)
	return a
}

func TestTheOperatorSeesWhatActs(t *testing.T) {
	w, _ := spending(t)
	w.nights()
	h := w.webhook("chat")
	b := w.aBudget("dev", stops(100, time.Minute), func(b *cloud.Budget) { b.WebhookID = h.ID })
	if a := w.actStats(); a.Budgets != 1 || a.Schedules != 1 || a.Webhooks != 1 || len(a.InForce)+len(a.Held)+len(a.Acts) != 0 || a.Pending != 0 || !a.Oldest.IsZero() || !a.Overdue.IsZero() {
		t.Errorf("before: %+v", a)
	}
	w.later(2 * time.Hour)
	crossed := w.now
	k := w.keeper()
	w.keep(k)
	w.later(90 * time.Second) // nobody keeps the budget meanwhile
	if a := w.actStats(); a.InForce[cloud.BudgetStop] != 1 || !a.Overdue.Equal(crossed.Add(time.Minute)) || a.Pending != 1 || a.Failing != 0 || !a.Oldest.Equal(crossed) {
		t.Errorf("late: %+v", a)
	}
	w.keep(k)
	w.must(w.RecordDelivery(ctx, w.now, w.delivery().ID, 500, "No.", w.now.Add(time.Hour)))
	if a := w.actStats(); !a.Overdue.IsZero() || a.Held[cloud.KindBudget] != 1 || a.Pending != 1 || a.Failing != 1 {
		t.Errorf("stopped: %+v", a)
	}
	dry := operator
	dry.DryRun = true
	_, _ = w.UpdateBudget(ctx, dry, w.now, b.ID, cloud.BudgetChange{Amount: ptr("100")}, meter.JudgeBudget) // which counts for nothing
	_, err := w.UpdateBudget(ctx, operator, w.now, b.ID, cloud.BudgetChange{Amount: ptr("100")}, meter.JudgeBudget)
	w.must(err)
	a := w.actStats()
	want := map[cloud.Act]int64{}
	for _, what := range []string{cloud.ActCrossed, cloud.ActStopped, cloud.ActLifted, cloud.ActStarted} {
		want[cloud.Act{By: cloud.KindBudget, What: what}] = 1
	}
	if !maps.Equal(a.Acts, want) || len(a.InForce) != 0 || len(a.Held) != 0 || a.Pending != 2 {
		t.Errorf("raised: %+v", a)
	}
	w.later(time.Hour)
	for range 2 { // a webhook that fails gets one message at a time
		due, _, err := w.DueDeliveries(ctx, w.now, nil, 10)
		w.must(err)
		for _, m := range due {
			w.must(w.RecordDelivery(ctx, w.now, m.ID, 500, "No.", time.Time{}))
		}
	}
	if a := w.actStats(); a.Pending != 0 || a.GivenUp != 2 {
		t.Errorf("given up: %+v", a)
	}
	w.later(25 * time.Hour)
	if a := w.actStats(); a.GivenUp != 0 {
		t.Errorf("a day later: %+v", a)
	}
}

package meter

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"lodge/cloud"
)

// purses is a store of budgets of which some cannot be read.
type purses struct {
	budgets []cloud.Budget
	usage   func(b cloud.Budget) (cloud.BudgetUsage, error)
	acted   map[string]int
	changed map[string]bool
}

func (p *purses) Budgets(context.Context, cloud.Caller, string) ([]cloud.Budget, error) {
	return p.budgets, nil
}

func (p *purses) BudgetUsage(_ context.Context, b cloud.Budget, _ time.Time) (cloud.BudgetUsage, error) {
	return p.usage(b)
}

func (p *purses) ActBudget(_ context.Context, _ time.Time, id string, _ cloud.JudgeBudget) (bool, error) {
	p.acted[id]++
	return false, nil
}

func (p *purses) NextChange() <-chan struct{} { return nil }

func (p *purses) Changes(context.Context, cloud.BudgetMark) (map[string]bool, bool, cloud.BudgetMark, error) {
	return p.changed, false, cloud.BudgetMark{}, nil
}

// A mistake that shows in one budget is logged, and neither ends lodge nor keeps
// the other budgets from acting.
func TestABudgetThatCannotBeKeptKeepsNoOtherFromActing(t *testing.T) {
	now := time.Date(2026, 11, 5, 12, 0, 0, 0, time.UTC)
	looks := map[string]int{}
	heal := false
	p := &purses{acted: map[string]int{}, budgets: []cloud.Budget{{ID: "panics", TenantID: "t", Amount: "1"}, {ID: "fails", TenantID: "t", Amount: "1"}, {ID: "fine", TenantID: "t", Amount: "1"}}}
	p.usage = func(b cloud.Budget) (u cloud.BudgetUsage, err error) {
		looks[b.ID]++
		switch {
		case b.ID == "panics" && !heal:
			panic("division by zero")
		case b.ID == "fails" && !heal:
			err = errors.New("the disk is full")
		}
		return u, err
	}
	var log strings.Builder
	observed := map[string]int{}
	k := &Keeper{Purse: p, Now: func() time.Time { return now }, Log: slog.New(slog.NewTextHandler(&log, nil)),
		Observe: func(ctx context.Context, w cloud.Work, _, id string) (context.Context, func(error)) {
			return ctx, func(err error) {
				if w == cloud.WorkBudget && err != nil {
					observed[id]++
				}
			}
		}}
	keep := func(wantNext time.Time) {
		t.Helper()
		next, err := k.Keep(t.Context())
		if err != nil || !next.Equal(wantNext) {
			t.Fatalf("next %v, %v, want %v", next, err, wantNext)
		}
	}
	keep(now.Add(keeperRetry))
	if p.acted["fine"] != 1 || p.acted["panics"] != 0 || observed["panics"] != 1 || observed["fails"] != 1 || observed["fine"] != 0 {
		t.Errorf("acted %v, failures %v", p.acted, observed)
	}
	for _, want := range []string{"keep budget", "budget=panics", "panic: division by zero", "keeper_test.go", "budget=fails", "the disk is full"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, log.String())
		}
	}
	// What rings does not have them tried again before their time.
	p.changed = map[string]bool{"t": true}
	keep(now.Add(keeperRetry))
	if looks["fine"] != 2 || looks["panics"] != 1 || looks["fails"] != 1 {
		t.Errorf("looks %v", looks)
	}
	p.changed, heal = nil, true
	now = now.Add(keeperRetry)
	keep(now.Add(keeperRest - keeperRetry))
	now = now.Add(keeperRest - keeperRetry)
	keep(time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)) // none has an end: half of the horizon on, of the one that was looked at first
	if p.acted["fails"] != 1 || p.acted["panics"] != 1 || p.acted["fine"] != 1 {
		t.Errorf("what was owed was not done: %v", p.acted)
	}
}

// A budget without an end reaches its limit behind the horizon: it is looked at
// again before, though nothing changes.
func TestABudgetWithoutAnEndIsLookedAtAgain(t *testing.T) {
	now := time.Date(2026, 11, 5, 12, 0, 0, 0, time.UTC)
	made := now
	u := cloud.BudgetUsage{
		Intervals: []cloud.Interval{{TenantID: "t", ResourceID: "i", Reading: cloud.Reading{Slot: "cpu", Meter: cloud.MeterVCPU, Amount: 1, State: cloud.StateRunning}, StartedAt: now}},
		Prices:    []cloud.Price{{ID: "p", Meter: cloud.MeterVCPU, UnitPrice: "1", From: now.AddDate(0, -1, 0)}},
	}
	p := &purses{acted: map[string]int{}, usage: func(cloud.Budget) (cloud.BudgetUsage, error) { return u, nil }, budgets: []cloud.Budget{{
		ID: "b", TenantID: "t", Amount: "1500", Period: cloud.BudgetTotal, CreatedAt: made, Thresholds: []cloud.BudgetThreshold{{Percent: 100, On: cloud.BudgetActual, Action: cloud.BudgetStop}},
	}}}
	k := &Keeper{Purse: p, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)}
	for range 10 {
		next, err := k.Keep(t.Context())
		if err != nil || next.IsZero() {
			t.Fatalf("at %v next %v, %v", now, next, err)
		}
		if now = next; p.acted["b"] > 1 { // once at its first look
			break
		}
		if now.After(made.Add(1500 * time.Hour)) {
			t.Fatalf("at %v nothing was done yet", now)
		}
	}
	if p.acted["b"] < 2 {
		t.Error("it never acted")
	}
}

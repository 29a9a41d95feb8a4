package meter

import (
	"testing"
	"time"

	"lodge/cloud"
)

func TestAForecastIsReachedAtOnce(t *testing.T) {
	now := time.Date(2026, 11, 5, 12, 0, 0, 0, time.UTC)
	u := cloud.BudgetUsage{
		Intervals: []cloud.Interval{{TenantID: "t", ResourceID: "i", Reading: cloud.Reading{Slot: "cpu", Meter: cloud.MeterVCPU, Amount: 1, State: cloud.StateRunning}, StartedAt: now}},
		Prices:    []cloud.Price{{ID: "p", Meter: cloud.MeterVCPU, UnitPrice: "1", From: now.AddDate(0, -1, 0)}},
	}
	b := cloud.Budget{Amount: "612", Period: cloud.BudgetMonth, CreatedAt: now, Thresholds: []cloud.BudgetThreshold{
		{Percent: 100, On: cloud.BudgetForecast, Action: cloud.BudgetNotify}, {Percent: 101, On: cloud.BudgetForecast, Action: cloud.BudgetNotify}, {Percent: 50, On: cloud.BudgetActual, Action: cloud.BudgetStop},
	}}
	s := JudgeBudget(b, u, now) // 25.5 days are left
	if !s.Reached[0] || s.Reached[1] || s.Reached[2] || s.Forecast != "612" || !s.Next.Equal(now.Add(306*time.Hour)) || s.NextThreshold != 2 {
		t.Errorf("got %+v", s)
	}
	b.Period, b.Amount, b.Thresholds = cloud.BudgetTotal, "2000", b.Thresholds[2:]
	if s = JudgeBudget(b, u, now); s.Forecast != "" || !s.To.IsZero() || !s.Next.IsZero() {
		t.Errorf("further ahead than is looked for: %+v", s)
	}
	if s = JudgeBudget(b, u, now.Add(900*time.Hour)); !s.Next.Equal(now.Add(1000 * time.Hour)) {
		t.Errorf("a total over months: %+v", s)
	}
}

func TestWhatAScheduleSaves(t *testing.T) {
	now := time.Date(2026, 11, 5, 12, 0, 0, 0, time.UTC)
	prices := []cloud.Price{
		{ID: "p", Meter: cloud.MeterVCPU, UnitPrice: "0.5", From: now.Add(-time.Hour), States: []cloud.State{cloud.StateRunning}},
		{ID: "old", Meter: cloud.MeterMemory, UnitPrice: "9", From: now.AddDate(0, -2, 0), To: now.AddDate(0, -1, 0)},
		{ID: "kept", Meter: cloud.MeterInstance, UnitPrice: "1", From: now.AddDate(0, -2, 0)}, // whatever the state
	}
	rests := []cloud.Rest{
		{InstanceID: "i", TenantID: "t", VCPUs: 2, MemoryMiB: 1024, From: now.AddDate(0, 0, -2), Until: now.AddDate(0, 0, -2).Add(10 * time.Hour)},
		{InstanceID: "i", TenantID: "t", VCPUs: 2, MemoryMiB: 1024, From: now.Add(-time.Hour)},
		{InstanceID: "j", TenantID: "t", VCPUs: 1, MemoryMiB: 1024, From: cloud.Month(now).Add(-5 * time.Hour), Until: cloud.Month(now).Add(4 * time.Hour)},
	}
	if got := Saved(rests, nil, prices, nil, now); got.Cost.String() != "13" { // 10 + 1 + 2
		t.Errorf("saved %s", got.Cost)
	}
}

package meter

import (
	"context"
	"log/slog"
	"time"

	"lodge/cloud"
)

// Purse is what keeping budgets needs of the store.
type Purse interface {
	Budgets(ctx context.Context, c cloud.Caller, tenantID string) ([]cloud.Budget, error)
	BudgetUsage(ctx context.Context, b cloud.Budget, now time.Time) (cloud.BudgetUsage, error)
	ActBudget(ctx context.Context, now time.Time, id string, judge cloud.JudgeBudget) (more bool, err error)
	NextEvents(tenantID string) <-chan struct{}
	EventTenants(ctx context.Context, after int64) (tenants map[string]bool, everyone bool, last int64, err error)
}

// Keeper has budgets act. It sleeps until the next threshold will be reached, or
// until something changes; what it knows it finds out anew after a restart. The
// decision is made again in the transaction that acts on it.
type Keeper struct {
	Purse Purse
	Now   func() time.Time
	Log   *slog.Logger

	due   map[string]time.Time // of each budget, when it has something to do if nothing changes
	event int64                // the last one that was seen
}

const (
	// keeperRest is how long the Keeper sleeps at most: nothing depends on it, for
	// what changes rings.
	keeperRest = time.Minute
	// keeperPause is the shortest time between two looks that changes ask for.
	keeperPause = 100 * time.Millisecond
)

// keeping may see all budgets.
var keeping = cloud.Caller{Operator: true, Via: "budget"}

// Run keeps the budgets until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	for ctx.Err() == nil {
		bell := k.Purse.NextEvents("") // before it is read: what comes then rings
		next, err := k.Keep(ctx)
		if err != nil && ctx.Err() == nil {
			k.Log.Error("keep budgets", "err", err)
			next = k.Now().Add(time.Second)
		}
		if !k.sleep(ctx, next, bell) {
			return
		}
	}
}

// sleep waits until it is time, or the bell rings and a pause is over.
func (k *Keeper) sleep(ctx context.Context, next time.Time, bell <-chan struct{}) bool {
	wait := keeperRest
	if !next.IsZero() {
		wait = max(0, min(wait, next.Sub(k.Now())))
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	case <-bell:
	}
	pause := time.NewTimer(min(wait, keeperPause))
	defer pause.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-pause.C:
		return true
	case <-timer.C:
		return true
	}
}

// Keep does what is due of all budgets, and says when the next of them is; zero
// when that is not known.
func (k *Keeper) Keep(ctx context.Context) (next time.Time, err error) {
	first := k.due == nil
	tenants, everyone, last, err := k.Purse.EventTenants(ctx, k.event)
	if err != nil {
		return next, err
	}
	all, err := k.Purse.Budgets(ctx, keeping, "")
	if err != nil {
		return next, err
	}
	due := make(map[string]time.Time, len(all))
	for _, b := range all {
		at, known := k.due[b.ID]
		if !known || everyone || tenants[b.TenantID] || (!at.IsZero() && !at.After(k.Now())) {
			if at, err = k.look(ctx, b, first); err != nil {
				return next, err
			}
		}
		due[b.ID] = at
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	k.due, k.event = due, last
	return next, nil
}

// look looks at one budget, has it act when it has to or must, and says when it
// is due next.
func (k *Keeper) look(ctx context.Context, b cloud.Budget, must bool) (time.Time, error) {
	now := k.Now()
	if !b.DeletedAt.IsZero() { // nothing of it depends on what was spent
		more, err := k.Purse.ActBudget(ctx, now, b.ID, JudgeBudget)
		if err != nil || !more {
			return time.Time{}, err
		}
		return now, nil
	}
	u, err := k.Purse.BudgetUsage(ctx, b, now)
	if err != nil {
		return time.Time{}, err
	}
	s := JudgeBudget(b, u, now)
	if !must && !hasToAct(b, s, now) {
		return dueNext(b, s, now), nil
	}
	more, err := k.Purse.ActBudget(ctx, now, b.ID, JudgeBudget)
	if err != nil {
		return time.Time{}, err
	}
	if more {
		return now, nil
	}
	return dueNext(b, s, now), nil
}

// hasToAct reports whether a threshold is reached that is not in force, or
// something in force is to be stopped or is over.
func hasToAct(b cloud.Budget, s cloud.BudgetState, now time.Time) bool {
	force := map[string]bool{}
	for _, c := range b.Crossings {
		force[c.Threshold.Rule()] = true
		if !c.Period.Equal(s.From) || (c.StoppedAt.IsZero() && !c.StopAt.IsZero() && !c.StopAt.After(now)) {
			return true
		}
	}
	for i, t := range b.Thresholds {
		if s.Reached[i] && !force[t.Rule()] {
			return true
		}
	}
	return false
}

// dueNext is when a budget has something to do if nothing changes.
func dueNext(b cloud.Budget, s cloud.BudgetState, now time.Time) time.Time {
	next := s.Next
	earlier := func(at time.Time) {
		if at.After(now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	earlier(s.To)
	for _, c := range b.Crossings {
		if c.StoppedAt.IsZero() {
			earlier(c.StopAt)
		}
	}
	for i, t := range b.Thresholds { // just reached: its stop is not in the crossings yet
		if s.Reached[i] && t.Action == cloud.BudgetStop {
			earlier(now.Add(t.Grace))
		}
	}
	return next
}

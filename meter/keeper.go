package meter

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"lodge/cloud"
)

// Purse is what keeping budgets needs of the store.
type Purse interface {
	Budgets(ctx context.Context, c cloud.Caller, tenantID string) ([]cloud.Budget, error)
	BudgetUsage(ctx context.Context, b cloud.Budget, now time.Time) (cloud.BudgetUsage, error)
	ActBudget(ctx context.Context, now time.Time, id string, judge cloud.JudgeBudget) (more bool, err error)
	NextChange() <-chan struct{}
	Changes(ctx context.Context, after cloud.BudgetMark) (tenants map[string]bool, everyone bool, last cloud.BudgetMark, err error)
}

// Keeper has budgets act. It sleeps until the next threshold will be reached, or
// until something changes; what it knows it finds out anew after a restart. The
// decision is made again in the transaction that acts on it.
type Keeper struct {
	Purse   Purse
	Now     func() time.Time
	Log     *slog.Logger
	Observe cloud.Observe // of every look at a budget

	kept map[string]kept  // what is known of each budget
	mark cloud.BudgetMark // how far changes were seen
}

// kept is what is known of a budget since it was looked at.
type kept struct {
	due time.Time // when it has something to do if nothing changes; zero: not known to
	// failed: it was tried in vain, is tried again when it is due and not before,
	// and then has to act.
	failed bool
}

const (
	// keeperRest is how long the Keeper sleeps at most: nothing depends on it, for
	// what changes rings.
	keeperRest = time.Minute
	// keeperPause is the shortest time between two looks that changes ask for.
	keeperPause = 100 * time.Millisecond
	// keeperRetry is after how long a budget that could not be kept is tried again.
	keeperRetry = time.Second
)

// keeping may see all budgets.
var keeping = cloud.Caller{Operator: true, Via: "budget"}

// Run keeps the budgets until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	for ctx.Err() == nil {
		bell := k.Purse.NextChange() // before it is read: what comes then rings
		next, err := k.Keep(ctx)
		if err != nil && ctx.Err() == nil {
			k.Log.Error("keep budgets", "err", err)
			next = k.Now().Add(keeperRetry)
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
// when that is not known. A budget that cannot be kept is logged and tried again,
// and the others go on.
func (k *Keeper) Keep(ctx context.Context) (next time.Time, err error) {
	tenants, everyone, last, err := k.Purse.Changes(ctx, k.mark)
	if err != nil {
		return next, err
	}
	all, err := k.Purse.Budgets(ctx, keeping, "")
	if err != nil {
		return next, err
	}
	now := make(map[string]kept, len(all))
	for _, b := range all {
		is, known := k.kept[b.ID]
		is = k.keep(ctx, b, is, known, everyone || tenants[b.TenantID])
		now[b.ID] = is
		if !is.due.IsZero() && (next.IsZero() || is.due.Before(next)) {
			next = is.due
		}
	}
	k.kept, k.mark = now, last
	return next, nil
}

// keep looks at a budget when it has to be looked at. One that is not known has
// to act: what is due of it is found out anew.
func (k *Keeper) keep(ctx context.Context, b cloud.Budget, is kept, known, changed bool) kept {
	now := k.Now()
	due := !is.due.IsZero() && !is.due.After(now)
	if known && !due && (!changed || is.failed) {
		return is
	}
	at, err := k.look(ctx, b, !known || is.failed)
	if err == nil {
		return kept{due: at}
	}
	retry := keeperRetry
	if _, is := err.(panicked); is {
		retry = keeperRest // it would do the same at once
	}
	if ctx.Err() == nil {
		k.Log.Error("keep budget", "budget", b.ID, "err", err)
	}
	return kept{due: now.Add(retry), failed: true}
}

// panicked is an error that lodge has not foreseen.
type panicked struct {
	with  any
	stack []byte
}

func (p panicked) Error() string { return fmt.Sprintf("panic: %v\n%s", p.with, p.stack) }

// look looks at one budget, has it act when it has to or must, and says when it
// is due next. A mistake that shows in one budget must not end lodge.
func (k *Keeper) look(ctx context.Context, b cloud.Budget, must bool) (next time.Time, err error) {
	ctx, end := k.Observe.Begin(ctx, cloud.WorkBudget, "budget", b.ID)
	defer func() {
		if p := recover(); p != nil {
			err = panicked{p, debug.Stack()}
		}
		end(err)
	}()
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
	if s.To.IsZero() { // what lies behind the horizon comes nearer
		earlier(now.Add(budgetHorizon / 2))
	}
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

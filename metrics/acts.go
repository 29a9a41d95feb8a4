package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lodge/cloud"
)

// doing is all that budgets and schedules do by themselves.
var doing = []cloud.Act{
	{By: cloud.KindBudget, What: cloud.ActCrossed}, {By: cloud.KindBudget, What: cloud.ActLifted},
	{By: cloud.KindBudget, What: cloud.ActStopped}, {By: cloud.KindBudget, What: cloud.ActStarted},
	{By: cloud.KindSchedule, What: cloud.ActStopped}, {By: cloud.KindSchedule, What: cloud.ActStarted},
}

// acts is what acts by itself, whom it tells, and the last proof of the ledger.
func (a *asked) acts(put, sum func(*prometheus.Desc, float64, ...string)) {
	if a.Verified != nil {
		if at, wrong := a.Verified(); !at.IsZero() {
			put(verified, float64(at.UnixMilli())/1000)
			put(verifyWrong, float64(wrong))
		}
	}
	if a.Acts == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), askFor)
	defer cancel()
	s, err := a.Acts(ctx)
	if !a.told("what acts", err) {
		return
	}
	put(budgets, float64(s.Budgets))
	put(schedules, float64(s.Schedules))
	put(webhooks, float64(s.Webhooks))
	for _, action := range []cloud.BudgetAction{cloud.BudgetNotify, cloud.BudgetRefuse, cloud.BudgetStop} {
		put(inForce, float64(s.InForce[action]), string(action))
	}
	for _, by := range []cloud.Kind{cloud.KindBudget, cloud.KindSchedule} {
		put(held, float64(s.Held[by]), string(by))
	}
	for _, act := range doing {
		sum(actsTotal, float64(s.Acts[act]), string(act.By), act.What)
	}
	put(overdue, a.since(s.Overdue))
	put(hookPending, float64(s.Pending))
	put(hookFailing, float64(s.Failing))
	put(hookOldest, a.since(s.Oldest))
	put(hookGivenUp, float64(s.GivenUp))
}

// since is how many seconds ago it was; 0 for no time.
func (a *asked) since(at time.Time) float64 {
	if at.IsZero() {
		return 0
	}
	return max(0, a.Now().Sub(at).Seconds())
}

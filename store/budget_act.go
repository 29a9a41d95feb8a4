package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"lodge/cloud"
)

// budgetKeeper is lodge itself when a budget acts.
var budgetKeeper = cloud.Caller{Operator: true, Role: cloud.RoleOperator, Via: "budget"}

// heldAtOnce bounds how many instances one transaction stops or starts again: it
// holds the database for as long.
const heldAtOnce = cloud.MaxBulk

func inForce(s source, budgetID string) ([]cloud.BudgetCrossing, error) {
	return collect(s, scanCrossing, `
		SELECT
		  percent,
		  basis,
		  action,
		  grace,
		  at,
		  period,
		  until,
		  spent,
		  stop_at,
		  stopped_at
		FROM budget_crossing
		WHERE budget_id = ?
		  AND lifted_at IS NULL
		ORDER BY at, percent, rule`, budgetID)
}

func scanCrossing(rows *sql.Rows) (c cloud.BudgetCrossing, err error) {
	var at, period, until, stop, stopped sql.NullInt64
	err = rows.Scan(
		&c.Threshold.Percent,
		&c.Threshold.On,
		&c.Threshold.Action,
		&c.Threshold.Grace,
		&at,
		&period,
		&until,
		&c.Spent,
		&stop,
		&stopped,
	)
	c.At, c.Period, c.Until, c.StopAt, c.StoppedAt = moment(at), moment(period), moment(until), moment(stop), moment(stopped)
	return c, err
}

// ActBudget does what is due of a budget: it reads it and its usage anew, writes
// down each threshold that is reached, stops what is to be stopped, and takes back
// what no longer holds; all or nothing, each once. Of one that was deleted it does
// what is left of that. A budget that is not there any more is none to act on. more is true when there is more to do than one
// transaction does; call again then.
func (d *DB) ActBudget(ctx context.Context, now time.Time, id string, judge cloud.JudgeBudget) (more bool, err error) {
	err = d.write(ctx, now, budgetKeeper, "budget.act", func(t *tx) error {
		b, err := budget(t, budgetKeeper, id)
		if cloud.CodeOf(err) == cloud.CodeNotFound {
			return nil
		}
		if err != nil {
			return err
		}
		if !b.DeletedAt.IsZero() {
			more, err = t.dropBudget(b)
			return err
		}
		_, more, err = t.settle(b, judge, false)
		return err
	})
	return more, err
}

// settle brings what a budget has done in line with where it stands. What is in
// force of the period stays, whatever is spent: only when the budget was changed,
// in this transaction, its thresholds have to be reached as they are now. more is
// as for ActBudget.
func (t *tx) settle(b cloud.Budget, judge cloud.JudgeBudget, changed bool) (_ cloud.Budget, more bool, err error) {
	u, err := budgetUsage(t, b, t.now)
	if err != nil {
		return b, more, err
	}
	state := judge(b, u, t.now)
	holds := map[string]bool{}
	for _, c := range b.Crossings {
		i := slices.IndexFunc(b.Thresholds, func(th cloud.BudgetThreshold) bool { return th == c.Threshold })
		if i >= 0 && c.Period.Equal(state.From) && (state.Reached[i] || !changed) {
			holds[c.Threshold.Rule()] = true
		} else if err := t.lift(b, c); err != nil {
			return b, more, err
		}
	}
	for i, th := range b.Thresholds {
		if state.Reached[i] && !holds[th.Rule()] {
			if err := t.cross(b, th, state); err != nil {
				return b, more, err
			}
		}
	}
	if b.Crossings, err = inForce(t, b.ID); err != nil {
		return b, more, err
	}
	for _, c := range b.Crossings {
		if c.StoppedAt.IsZero() && !c.StopAt.IsZero() && !c.StopAt.After(t.now) {
			left, err := t.stopFor(b, c)
			if err != nil {
				return b, more, err
			}
			more = more || left
		}
	}
	left, err := t.release(cloud.Ref{Kind: cloud.KindBudget, ID: b.ID}, b.TenantID)
	if err != nil {
		return b, more, err
	}
	b.Crossings, err = inForce(t, b.ID)
	return b, more || left, err
}

func (t *tx) lift(b cloud.Budget, c cloud.BudgetCrossing) error {
	_, err := t.exec(`UPDATE budget_crossing SET lifted_at = ? WHERE budget_id = ? AND rule = ? AND lifted_at IS NULL`, stamp(t.now), b.ID, c.Threshold.Rule())
	if err != nil {
		return err
	}
	return t.tellOf(b, c.Threshold, "budget.lifted", fmt.Sprintf("The budget %s is not at %d %% any more.", b.Name, c.Threshold.Percent), c.Spent, c.Period)
}

// cross writes down that a threshold was reached, unless that was done for this
// period and this generation already.
func (t *tx) cross(b cloud.Budget, th cloud.BudgetThreshold, state cloud.BudgetState) error {
	spent, words := state.Spent, "was reached"
	if th.On == cloud.BudgetForecast {
		spent, words = state.Forecast, "will be reached, if nothing changes"
	}
	var stopAt time.Time
	if th.Action == cloud.BudgetStop {
		stopAt = t.now.Add(th.Grace)
	}
	n, err := t.exec(`
		INSERT INTO budget_crossing (
		  budget_id,
		  tenant_id,
		  generation,
		  period,
		  rule,
		  percent,
		  basis,
		  action,
		  grace,
		  at,
		  until,
		  spent,
		  stop_at
		) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO NOTHING`,
		b.ID,
		b.TenantID,
		b.Generation,
		stamp(state.From),
		th.Rule(),
		th.Percent,
		string(th.On),
		string(th.Action),
		int64(th.Grace),
		stamp(t.now),
		stamp(state.To),
		spent,
		stamp(stopAt),
	)
	if err != nil || n == 0 {
		return err
	}
	message := fmt.Sprintf("%d %% of the budget %s %s.", th.Percent, b.Name, words)
	switch th.Action {
	case cloud.BudgetRefuse:
		message += " Nothing new is made or started, and nothing grows."
	case cloud.BudgetStop:
		message += " Nothing new is made or started, and what runs is stopped at " + stopAt.Format(time.RFC3339) + "."
	}
	return t.tellOf(b, th, "budget.crossed", message, spent, state.From)
}

// tellOf writes an event about a threshold, and tells the webhook.
func (t *tx) tellOf(b cloud.Budget, th cloud.BudgetThreshold, typ, message, spent string, period time.Time) error {
	code, err := currency(t)
	if err != nil {
		return err
	}
	data := map[string]string{
		"budget": b.Name, "amount": b.Amount, "currency": code, "percent": fmt.Sprint(th.Percent), "on": string(th.On), "action": string(th.Action),
		"spent": spent, "period": period.UTC().Format(time.RFC3339),
	}
	t.acted(cloud.KindBudget, strings.TrimPrefix(typ, "budget."))
	if err := t.budgetEvent(b, typ, message, data); err != nil || b.WebhookID == "" {
		return err
	}
	return t.deliver(b.WebhookID, derive(b.ID, fmt.Sprint(typ, period.UnixMilli(), th.Rule(), b.Generation, t.now.UnixMilli())),
		"lodge."+typ, "/v1/budgets/"+b.ID, message, data)
}

// inForceNow are the budgets of a tenant that refuse something now.
func inForceNow(s source, tenantID string, now time.Time) ([]cloud.Budget, error) {
	return collect(s, scanBudget, budgetQuery+`
		WHERE id IN (
		  SELECT c.budget_id
		  FROM budget_crossing c
		  WHERE c.tenant_id = ?
		    AND c.lifted_at IS NULL
		    AND c.action <> 'notify'
		    AND (c.until IS NULL OR c.until > ?)
		)
		ORDER BY created_at, id`, tenantID, stamp(now))
}

// blocking finds the budget that refuses what has the labels now, if any.
func blocking(s source, tenantID string, labels map[string]string, now time.Time) (cloud.Budget, bool, error) {
	all, err := inForceNow(s, tenantID, now)
	for _, b := range all {
		if b.Selects(labels) {
			return b, true, err
		}
	}
	return cloud.Budget{}, false, err
}

// refuseBudget returns CodeBudget when a budget does not allow more of what has
// the labels. It reads in the transaction that writes the wish.
func (t *tx) refuseBudget(tenantID string, labels map[string]string) error {
	b, blocks, err := blocking(t, tenantID, labels, t.now)
	if err != nil || !blocks {
		return err
	}
	return t.usedUp(b, "nothing is made, started or grows")
}

// refuseLabels returns CodeBudget when what runs would come, by its new labels,
// under a budget that would not let it start. Else a label could be taken off
// for the start and put on again behind it.
func (t *tx) refuseLabels(w *wish, labels map[string]string) error {
	if w.Power != cloud.PowerOn {
		return nil
	}
	all, err := inForceNow(t, w.TenantID, t.now)
	for _, b := range all {
		if err == nil && b.Selects(labels) && !b.Selects(w.Labels) {
			return t.usedUp(b, "nothing that runs is given its labels; stop the instance first")
		}
	}
	return err
}

// usedUp is CodeBudget with what is not done for it.
func (t *tx) usedUp(b cloud.Budget, so string) error {
	code, err := currency(t)
	if err != nil {
		return err
	}
	until := "raise or delete it, or ask who may"
	if _, end := b.Of(t.now); !end.IsZero() {
		until += ", or wait for " + end.Format(time.RFC3339)
	}
	return cloud.Errorf(cloud.CodeBudget, "The budget %s (%s) is used up as far as it may be, so %s; %s.", b.Name, b.Limit(code), so, until)
}

package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"lodge/cloud"
)

const budgetQuery = `
		SELECT
		  id,
		  tenant_id,
		  name,
		  selector,
		  amount,
		  period,
		  thresholds,
		  COALESCE(webhook_id, ''),
		  by_operator,
		  generation,
		  created_at,
		  updated_at,
		  deleted_at,
		  revision,
		  (SELECT COUNT(*) FROM instance i WHERE i.stopped_by_id = budget.id AND i.stopped_by_id <> '' AND i.deleted_at IS NULL)
		FROM budget`

func scanBudget(rows *sql.Rows) (b cloud.Budget, err error) {
	var created, updated, deleted sql.NullInt64
	var thresholds string
	err = rows.Scan(
		&b.ID,
		&b.TenantID,
		&b.Name,
		&b.Selector,
		&b.Amount,
		&b.Period,
		&thresholds,
		&b.WebhookID,
		&b.ByOperator,
		&b.Generation,
		&created,
		&updated,
		&deleted,
		&b.Revision,
		&b.Holds,
	)
	if err != nil {
		return b, err
	}
	b.CreatedAt, b.UpdatedAt, b.DeletedAt = moment(created), moment(updated), moment(deleted)
	return b, json.Unmarshal([]byte(thresholds), &b.Thresholds)
}

func noBudget(id string) error {
	return cloud.Errorf(cloud.CodeNotFound, "There is no budget %q; list the budgets to see them.", id)
}

// budgets reads budgets with what is in force of each.
func budgets(s source, w where) ([]cloud.Budget, error) {
	all, err := collect(s, scanBudget, budgetQuery+w.String()+` ORDER BY created_at, id`, w.args...)
	for i := range all {
		if err == nil {
			all[i].Crossings, err = inForce(s, all[i].ID)
		}
	}
	return all, err
}

func budget(s source, c cloud.Caller, id string) (cloud.Budget, error) {
	var w where
	w.and("id = ?", id)
	found, err := budgets(s, w)
	if err != nil {
		return cloud.Budget{}, err
	}
	if len(found) == 0 || !c.Sees(found[0].TenantID) {
		return cloud.Budget{}, noBudget(id)
	}
	return found[0], nil
}

// Budgets lists the budgets of the tenant, "" of all that the caller may see, the
// oldest first. Returns CodeNotFound for a tenant that it may not see.
func (d *DB) Budgets(ctx context.Context, c cloud.Caller, tenantID string) ([]cloud.Budget, error) {
	tenantID, err := scope(c, tenantID)
	if err != nil {
		return nil, err
	}
	var w where
	w.equal("tenant_id", tenantID)
	all, err := budgets(d.read(ctx), w)
	return all, fail("list budgets", err)
}

// Budget returns one budget. Returns CodeNotFound when there is none that the
// caller may see.
func (d *DB) Budget(ctx context.Context, c cloud.Caller, id string) (cloud.Budget, error) {
	b, err := budget(d.read(ctx), c, id)
	return b, fail("read budget", err)
}

// BudgetUsage reads what the state of a budget is a function of.
func (d *DB) BudgetUsage(ctx context.Context, b cloud.Budget, now time.Time) (cloud.BudgetUsage, error) {
	u, err := budgetUsage(d.read(ctx), b, now)
	return u, fail("read usage of a budget", err)
}

// budgetUsage reads from the beginning of the month on, for caps, and a little
// before, for minimums.
func budgetUsage(s source, b cloud.Budget, now time.Time) (u cloud.BudgetUsage, err error) {
	from, _ := b.Of(now)
	from = cloud.Month(from).Add(-cloud.MaxMinimumSeconds * time.Second)
	if u.Intervals, err = intervalsDuring(s, b.TenantID, from, time.Time{}); err != nil {
		return u, err
	}
	if u.Facts, err = collect(s, scanFact, factQuery+` WHERE tenant_id = ? ORDER BY resource_id, seq`, b.TenantID); err != nil {
		return u, err
	}
	if u.Traffic, err = collect(s, scanTraffic, trafficQuery+` WHERE tenant_id = ? AND ended_at > ? ORDER BY seq`, b.TenantID, stamp(from)); err != nil {
		return u, err
	}
	prices, err := collect(s, scanPrice, priceQuery+` WHERE tenant_id IS NULL OR tenant_id = ? ORDER BY seq`, b.TenantID)
	if err != nil {
		return u, err
	}
	for _, p := range prices {
		u.Prices = append(u.Prices, p.Price)
	}
	discounts, err := collect(s, scanDiscount, discountQuery+` WHERE tenant_id = ? ORDER BY seq`, b.TenantID)
	for _, one := range discounts {
		u.Discounts = append(u.Discounts, one.Discount)
	}
	return u, err
}

// CreateBudget makes a budget, and does at once what of it is reached already. It
// is the operator's when an operator makes it.
//
// Returns CodeInvalid; CodeNotFound for a tenant that the caller may not see;
// CodeNameTaken; CodeConflict when the tenant has too many.
func (d *DB) CreateBudget(ctx context.Context, c cloud.Caller, now time.Time, b cloud.Budget, judge cloud.JudgeBudget) (cloud.Budget, error) {
	if !c.Sees(b.TenantID) {
		return b, noTenant(b.TenantID)
	}
	b, err := b.Checked()
	if err != nil {
		return b, err
	}
	b.ByOperator = c.Operator
	err = d.write(ctx, now, c, "budget.create", func(t *tx) (err error) {
		if _, err := liveTenant(t, b.TenantID); err != nil {
			return err
		}
		if err := t.refuseBudgetName(b); err != nil {
			return err
		}
		var n int
		if err := t.row(`SELECT COUNT(*) FROM budget WHERE tenant_id = ?`, b.TenantID).Scan(&n); err != nil {
			return err
		}
		if n >= cloud.MaxBudgets {
			return cloud.Errorf(cloud.CodeConflict, "A tenant has at most %d budgets; delete one that is not needed.", cloud.MaxBudgets)
		}
		if err := t.refuseWebhook(b.TenantID, b.WebhookID); err != nil {
			return err
		}
		thresholds, err := json.Marshal(b.Thresholds)
		if err != nil {
			return err
		}
		_, err = t.exec(`
			INSERT INTO budget (
			  id,
			  tenant_id,
			  name,
			  selector,
			  amount,
			  period,
			  thresholds,
			  webhook_id,
			  by_operator,
			  created_at,
			  updated_at
			) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			b.ID,
			b.TenantID,
			b.Name,
			b.Selector,
			b.Amount,
			string(b.Period),
			string(thresholds),
			orNull(b.WebhookID),
			b.ByOperator,
			stamp(t.now),
			stamp(t.now),
		)
		if err != nil {
			return err
		}
		if b, err = budget(t, c, b.ID); err != nil {
			return err
		}
		if err := t.budgetEvent(b, "budget.created", "The budget "+b.Name+" was made.", nil); err != nil {
			return err
		}
		b, _, err = t.settle(b, judge, false)
		t.answer = b
		return err
	})
	return b, err
}

func (t *tx) refuseBudgetName(b cloud.Budget) error {
	taken, err := exists(t, `SELECT 1 FROM budget WHERE tenant_id = ? AND name = ? AND id <> ?`, b.TenantID, b.Name, b.ID)
	if err == nil && taken {
		err = cloud.Errorf(cloud.CodeNameTaken, "There is a budget named %q already; choose another name.", b.Name)
	}
	return err
}

func (t *tx) budgetEvent(b cloud.Budget, typ, message string, data map[string]string) error {
	return t.event(b.TenantID, cloud.Ref{Kind: cloud.KindBudget, ID: b.ID}, b.Name, typ, message, data)
}

// ownBudget finds a budget that the caller may change as it is.
func (t *tx) ownBudget(c cloud.Caller, id string) (cloud.Budget, error) {
	b, err := budget(t, c, id)
	switch {
	case err != nil:
		return b, err
	case b.ByOperator && !c.Operator:
		return b, cloud.Errorf(cloud.CodeForbidden, "The budget %s was made by an operator and only an operator changes it; ask yours.", b.Name)
	}
	return b, c.Expects(b.Tag())
}

// UpdateBudget changes a budget, and does and takes back at once what follows from
// it. Returns CodeNotFound, CodeForbidden for an operator's by anybody else,
// CodeInvalid, CodeNameTaken, CodePrecondition, CodeConflict for one that is being
// deleted.
func (d *DB) UpdateBudget(ctx context.Context, c cloud.Caller, now time.Time, id string, ch cloud.BudgetChange, judge cloud.JudgeBudget) (b cloud.Budget, err error) {
	err = d.write(ctx, now, c, "budget.update", func(t *tx) (err error) {
		if b, err = t.ownBudget(c, id); err != nil {
			return err
		}
		if !b.DeletedAt.IsZero() {
			return cloud.Errorf(cloud.CodeConflict, "The budget %s is being deleted and takes no more changes.", b.Name)
		}
		was := b
		if b, err = changed(b, ch).Checked(); err != nil {
			return err
		}
		if err := t.refuseBudgetName(b); err != nil {
			return err
		}
		if err := t.refuseWebhook(b.TenantID, b.WebhookID); err != nil {
			return err
		}
		thresholds, err := json.Marshal(b.Thresholds)
		if err != nil {
			return err
		}
		before, err := json.Marshal(was.Thresholds)
		if err != nil {
			return err
		}
		decides := b.Amount != was.Amount || b.Selector != was.Selector || string(thresholds) != string(before)
		if !decides && b.Name == was.Name && b.WebhookID == was.WebhookID {
			t.answer = b
			t.audited(b.TenantID, cloud.Ref{Kind: cloud.KindBudget, ID: b.ID}, b.Name)
			return nil
		}
		_, err = t.exec(`
			UPDATE budget
			SET name = ?,
			    selector = ?,
			    amount = ?,
			    thresholds = ?,
			    webhook_id = ?,
			    generation = generation + ?,
			    updated_at = ?,
			    revision = revision + 1
			WHERE id = ?`,
			b.Name,
			b.Selector,
			b.Amount,
			string(thresholds),
			orNull(b.WebhookID),
			decides,
			stamp(t.now),
			b.ID,
		)
		if err != nil {
			return err
		}
		if b, err = budget(t, c, id); err != nil {
			return err
		}
		if err := t.budgetEvent(b, "budget.updated", "The budget "+b.Name+" was changed.", nil); err != nil {
			return err
		}
		b, _, err = t.settle(b, judge, decides)
		t.answer = b
		return err
	})
	return b, err
}

func changed(b cloud.Budget, ch cloud.BudgetChange) cloud.Budget {
	for _, f := range []struct{ to, with *string }{{&b.Name, ch.Name}, {&b.Selector, ch.Selector}, {&b.Amount, ch.Amount}, {&b.WebhookID, ch.WebhookID}} {
		if f.with != nil {
			*f.to = *f.with
		}
	}
	if ch.Thresholds != nil {
		b.Thresholds = ch.Thresholds
	}
	return b
}

// NextChange closes after the next commit that wrote an event or bytes, as
// NextEvents does for events alone.
func (d *DB) NextChange() <-chan struct{} { return d.changes.next(everyTenant) }

// Changes gives the tenants that had events, or bytes that a price was ever set
// for, behind a mark, and the mark behind them. everyone is true when there was an
// event of no tenant, and behind the zero mark, whose rows are not read: they may be
// those of years.
func (d *DB) Changes(ctx context.Context, after cloud.BudgetMark) (tenants map[string]bool, everyone bool, last cloud.BudgetMark, err error) {
	s := d.read(ctx)
	err = s.row(`SELECT (SELECT COALESCE(MAX(seq), 0) FROM event), (SELECT COALESCE(MAX(seq), 0) FROM usage_traffic)`).Scan(&last.Event, &last.Traffic)
	if err != nil || last == after {
		return nil, false, last, fail("read changes", err)
	}
	if after == (cloud.BudgetMark{}) {
		return nil, true, last, nil
	}
	ids, err := collect(s, func(rows *sql.Rows) (id sql.NullString, err error) { return id, rows.Scan(&id) }, `
		SELECT tenant_id FROM event WHERE seq > ? AND seq <= ?
		UNION
		SELECT tenant_id FROM usage_traffic u WHERE seq > ? AND seq <= ?
		  AND EXISTS (SELECT 1 FROM price p WHERE p.meter = u.meter)`,
		after.Event, last.Event, after.Traffic, last.Traffic)
	tenants = make(map[string]bool, len(ids))
	for _, id := range ids {
		tenants[id.String] = true
		everyone = everyone || !id.Valid
	}
	return tenants, everyone, last, fail("read changes", err)
}

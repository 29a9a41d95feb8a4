package store

import (
	"context"
	"time"

	"lodge/cloud"
)

// DeleteBudget ends a budget and takes back what it did: it refuses nothing from
// now on, and what it has stopped is started. left is true when that was too much
// for one transaction: the budget is there, with its DeletedAt, until ActBudget has
// done the rest. To delete it once more then changes nothing.
//
// Returns CodeNotFound, CodeForbidden for an operator's by anybody else,
// CodePrecondition.
func (d *DB) DeleteBudget(ctx context.Context, c cloud.Caller, now time.Time, id string) (b cloud.Budget, left bool, err error) {
	err = d.write(ctx, now, c, "budget.delete", func(t *tx) (err error) {
		if b, err = t.ownBudget(c, id); err != nil {
			return err
		}
		t.answer = b
		if !b.DeletedAt.IsZero() {
			left = true
			return nil
		}
		if _, err := t.exec(`DELETE FROM budget_crossing WHERE budget_id = ?`, id); err != nil {
			return err
		}
		_, err = t.exec(`
			UPDATE budget
			SET deleted_at = ?,
			    updated_at = ?,
			    webhook_id = NULL,
			    revision = revision + 1
			WHERE id = ?`, stamp(t.now), stamp(t.now), id)
		if err != nil {
			return err
		}
		if err := t.budgetEvent(b, "budget.deleted", "The budget "+b.Name+" was deleted.", nil); err != nil {
			return err
		}
		if left, err = t.dropBudget(b); err != nil || !left {
			return err
		}
		b, err = budget(t, c, id)
		return err
	})
	return b, left, err
}

// dropBudget starts what a deleted budget has stopped, and forgets it when there
// is no more of that; left is true when there is.
func (t *tx) dropBudget(b cloud.Budget) (left bool, err error) {
	if left, err = t.release(cloud.Ref{Kind: cloud.KindBudget, ID: b.ID}, b.TenantID); err != nil || left {
		return left, err
	}
	_, err = t.exec(`DELETE FROM budget WHERE id = ?`, b.ID)
	return false, err
}

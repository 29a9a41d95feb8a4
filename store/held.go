package store

import (
	"database/sql"

	"lodge/cloud"
)

// What budgets and schedules do to instances. Who stopped one is written on it,
// and is forgotten as soon as somebody wishes something of its power.

// heldInstance is what is read of an instance to find out whether it is meant.
type heldInstance struct {
	id     string
	labels map[string]string
}

func (t *tx) instancesWhere(condition string, args ...any) ([]heldInstance, error) {
	return collect(t, func(rows *sql.Rows) (h heldInstance, err error) {
		var labels string
		if err = rows.Scan(&h.id, &labels); err == nil {
			h.labels, err = fromJSON[map[string]string](labels)
		}
		return h, err
	}, `SELECT id, labels FROM instance WHERE deleted_at IS NULL AND `+condition+` ORDER BY created_at, id`, args...)
}

// stopFor stops what runs of a budget's instances. What is left when there are too
// many is stopped by the next call, and then that it was done is written down.
func (t *tx) stopFor(b cloud.Budget, c cloud.BudgetCrossing) (left bool, err error) {
	ref := cloud.Ref{Kind: cloud.KindBudget, ID: b.ID}
	if left, err = t.hold(ref, b.TenantID, b.Selects, "budget "+b.Name); err != nil || left {
		return left, err
	}
	_, err = t.exec(`UPDATE budget_crossing SET stopped_at = ? WHERE budget_id = ? AND rule = ? AND lifted_at IS NULL`, stamp(t.now), b.ID, c.Threshold.Rule())
	return false, err
}

// hold wishes all running instances that are meant to be stopped; left is true
// when there are more.
func (t *tx) hold(by cloud.Ref, tenantID string, meant func(map[string]string) bool, who string) (left bool, err error) {
	running, err := t.instancesWhere(`tenant_id = ? AND power = 'running'`, tenantID)
	if err != nil {
		return false, err
	}
	n := 0
	for _, h := range running {
		if !meant(h.labels) {
			continue
		}
		if n++; n > heldAtOnce {
			return true, nil
		}
		err := t.wishOn(h.id, "instance.stop", func(w *wish) error {
			w.stop(t.now, false)
			w.StoppedBy = by
			t.acted(by.Kind, cloud.ActStopped)
			return t.wishEvent(w, "instance.stop", "The "+who+" stops the instance "+w.Name+".")
		})
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

// release starts again what a budget or schedule has stopped, unless something
// else holds it: then it is that one's to start. At most heldAtOnce, and left is
// true when there are more.
func (t *tx) release(by cloud.Ref, tenantID string) (left bool, err error) {
	held, err := t.instancesWhere(`stopped_by_id = ? AND stopped_by_id <> ''`, by.ID) // the second is the index's own
	if err != nil {
		return false, err
	}
	n := 0
	for _, h := range held {
		next, err := t.holder(tenantID, h.labels)
		if err != nil {
			return false, err
		}
		if next == by {
			continue
		}
		if n++; n > heldAtOnce {
			return true, nil
		}
		err = t.wishOn(h.id, "instance.start", func(w *wish) error {
			if next != (cloud.Ref{}) {
				w.StoppedBy, w.changed = next, true
				return nil
			}
			w.start(t.now)
			t.acted(by.Kind, cloud.ActStarted)
			return t.wishEvent(w, "instance.start", "The instance "+w.Name+" is started again, for what stopped it holds no longer.")
		})
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

// leaveBudget ends the hold of a budget that does not mean the instance any more,
// by its new labels: else it would wait for the next change of a budget that has
// nothing to do with it. What holds it then holds it; if nothing does it stays
// stopped, for its owner to start.
func (t *tx) leaveBudget(w *wish) error {
	if w.StoppedBy.Kind != cloud.KindBudget {
		return nil
	}
	b, err := budget(t, budgetKeeper, w.StoppedBy.ID)
	if err != nil || b.Selects(w.Labels) {
		return err
	}
	w.StoppedBy, err = t.holder(w.TenantID, w.Labels)
	return err
}

// holder is what keeps instances with the labels stopped now: a budget, else a
// schedule that is in its off time.
func (t *tx) holder(tenantID string, labels map[string]string) (cloud.Ref, error) {
	b, blocks, err := blocking(t, tenantID, labels, t.now)
	if err != nil || blocks {
		return cloud.Ref{Kind: cloud.KindBudget, ID: b.ID}, err
	}
	off, err := schedules(t, `WHERE tenant_id = ? AND enabled = 1 AND applied = 'stop' ORDER BY created_at, id`, tenantID)
	for _, s := range off {
		if s.Selects(labels) {
			return cloud.Ref{Kind: cloud.KindSchedule, ID: s.ID}, err
		}
	}
	return cloud.Ref{}, err
}

// wishOn changes the wish for one of many instances, with its own line in the
// audit log.
func (t *tx) wishOn(id, what string, change func(*wish) error) error {
	k, err := t.instance(id)
	if err != nil {
		return err
	}
	subject := t.subject
	defer func() { t.subject = subject }()
	t.subject = auditSubject{}
	before := k.instance.Power
	after, err := t.applyWish(k, cloud.OperationKind(what), change)
	if err != nil || after.instance.Power == before {
		return err
	}
	return t.audit(what)
}

// keepRest writes down from when until when a schedule had an instance stopped.
func (t *tx) keepRest(before, after cloud.Instance) error {
	gone := !after.DeletedAt.IsZero()
	if before.StoppedBy == after.StoppedBy && !gone {
		return nil
	}
	if before.StoppedBy.Kind == cloud.KindSchedule {
		if _, err := t.exec(`UPDATE schedule_rest SET until_at = MAX(from_at, ?) WHERE instance_id = ? AND until_at IS NULL`, stamp(t.now), after.ID); err != nil {
			return err
		}
	}
	if after.StoppedBy.Kind != cloud.KindSchedule || gone {
		return nil
	}
	_, err := t.exec(`INSERT INTO schedule_rest (schedule_id, instance_id, from_at) VALUES (?, ?, ?)`, after.StoppedBy.ID, after.ID, stamp(t.now))
	return err
}

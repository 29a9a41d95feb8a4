package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"lodge/cloud"
)

// ChangeInstances changes all instances of one tenant that the filter finds, the
// oldest cloud.MaxBulk of them, in one transaction. What is so already is not
// found; one that refuses is skipped with its reason and holds up no other. Each
// has its own event and line in the audit log.
//
// Returns CodeInvalid when the filter names no tenant or the action is none,
// CodeNotFound for a tenant that the caller may not see, CodePrecondition when
// others than b.Expect are found; then nothing was changed.
func (d *DB) ChangeInstances(ctx context.Context, c cloud.Caller, now time.Time, f cloud.Filter, b cloud.BulkChange) (cloud.BulkResult, error) {
	tenantID, err := scope(c, f.TenantID)
	if err != nil {
		return cloud.BulkResult{}, err
	}
	if tenantID == "" {
		return cloud.BulkResult{}, invalid("tenant", "A change of many instances is of one tenant; name it.")
	}
	act, ok := bulkActs[b.Do]
	if !ok {
		return cloud.BulkResult{}, invalid("action", "There is no bulk action %q; use delete, start or stop.", b.Do)
	}
	if b.DryRun { // the same change, taken back; its answer is not kept
		c.DryRun, c.Once = true, nil
	}
	var out cloud.BulkResult
	err = d.write(ctx, now, c, "instance."+string(b.Do), func(t *tx) (err error) {
		if _, err := liveTenant(t, tenantID); err != nil {
			return err
		}
		if out, err = t.toChange(tenantID, f, b, act); err != nil {
			return err
		}
		if err := t.changeEach(&out, b, act); err != nil {
			return err
		}
		t.answer = out
		return nil
	})
	if b.DryRun && errors.As(err, new(*cloud.Rehearsal)) {
		err = nil
	}
	if err != nil {
		return cloud.BulkResult{}, err
	}
	return out, nil
}

// bulkAct is one bulk action: which instances it has something to do for, and
// what it does to each.
type bulkAct struct {
	wanted func(cloud.BulkChange) string
	each   func(*tx, *wish, cloud.BulkChange) error
}

var bulkActs = map[cloud.BulkAction]bulkAct{
	cloud.BulkDelete: {
		func(cloud.BulkChange) string { return "i.deleted_at IS NULL" },
		func(t *tx, w *wish, _ cloud.BulkChange) error { return t.unwant(w) },
	},
	cloud.BulkStart: {
		func(cloud.BulkChange) string { return "i.deleted_at IS NULL AND i.power = 'stopped'" },
		func(t *tx, w *wish, _ cloud.BulkChange) error { return t.powerInstance(w, cloud.PowerStart, false) },
	},
	cloud.BulkStop: {
		func(b cloud.BulkChange) string {
			if b.Force {
				return "i.deleted_at IS NULL AND (i.power = 'running' OR i.power_force = 0 OR i.stopped_by <> '')"
			}
			return "i.deleted_at IS NULL AND (i.power = 'running' OR i.stopped_by <> '')"
		},
		func(t *tx, w *wish, b cloud.BulkChange) error { return t.powerInstance(w, cloud.PowerStop, b.Force) },
	},
}

// toChange finds what a bulk change changes.
func (t *tx) toChange(tenantID string, f cloud.Filter, b cloud.BulkChange, act bulkAct) (cloud.BulkResult, error) {
	out := cloud.BulkResult{DryRun: b.DryRun}
	found, err := countTerms(t, tenantID, f, cloud.SortCreated)
	if err != nil {
		return out, err
	}
	rows := instancesOf(chooseRoute(f.Labels, cloud.SortCreated, found), tenantID, f, act.wanted(b))
	// All are counted, for Expect is about all; names are read of the first.
	if err := t.row("SELECT COUNT(*)"+rows.from+rows.String(), rows.args...).Scan(&out.Matched); err != nil {
		return out, err
	}
	if b.Expect != nil && *b.Expect != out.Matched {
		return out, cloud.Errorf(cloud.CodePrecondition, "There are %d such instances and %d were expected, so nothing was changed; look at them and say the right number.", out.Matched, *b.Expect)
	}
	args := append(rows.args, cloud.MaxBulk)
	out.Changed, err = collect(t, func(r *sql.Rows) (i cloud.BulkItem, err error) {
		return i, r.Scan(&i.ID, &i.Name)
	}, "SELECT i.id, i.name"+rows.from+rows.String()+" ORDER BY "+rows.created+", "+rows.id+" LIMIT ?", args...)
	out.Remaining = out.Matched - len(out.Changed)
	return out, err
}

// changeEach changes what was found, and sorts out what refuses.
func (t *tx) changeEach(out *cloud.BulkResult, b cloud.BulkChange, act bulkAct) error {
	found := out.Changed
	out.Changed = nil
	for from := 0; from < len(found); from += chunk {
		part := found[from:min(from+chunk, len(found))]
		ids := make([]string, len(part))
		for n, i := range part {
			ids[n] = i.ID
		}
		all, err := fetchInstances(t, ids)
		if err != nil {
			return err
		}
		for _, i := range part {
			k := all[i.ID]
			if k == nil {
				return noInstance(i.ID) // the writer is held: it cannot have gone
			}
			if err := t.changeOne(k, b, act); !errors.As(err, &i.Refused) && err != nil {
				return err
			}
			if i.Refused != nil {
				out.Skipped = append(out.Skipped, i)
				continue
			}
			out.Changed = append(out.Changed, i)
		}
	}
	return nil
}

// changeOne changes one of many, with an operation and a line in the audit log of
// its own.
func (t *tx) changeOne(k *known, b cloud.BulkChange, act bulkAct) error {
	defer func() { t.subject = auditSubject{} }()
	changed := false
	what := "instance." + string(b.Do)
	_, err := t.applyWish(k, cloud.OperationKind(what), func(w *wish) error {
		err := act.each(t, w, b)
		changed = w.changed
		return err
	})
	if err != nil || !changed {
		return err
	}
	return t.audit(what)
}

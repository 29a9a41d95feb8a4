package store

import (
	"context"
	"database/sql"
	"time"

	"lodge/cloud"
)

// operationQuery reads operations. What is in the way of a running one, and how
// many bytes have arrived, is read from its subject: neither costs a write. A
// problem of an older wish is none of a newer operation's.
const operationQuery = `
		SELECT
		  o.id,
		  o.tenant_id,
		  o.kind,
		  o.state,
		  o.subject_kind,
		  o.subject_id,
		  o.name,
		  o.generation,
		  o.boots,
		  o.want_power,
		  o.want_name,
		  o.want_vcpus,
		  o.want_memory_mib,
		  o.error_code,
		  o.error_message,
		  COALESCE(m.bytes_done, o.bytes_done),
		  COALESCE(m.bytes_total, o.bytes_total),
		  o.user_id,
		  o.user_name,
		  o.token_id,
		  o.via,
		  o.request_id,
		  o.created_at,
		  o.ended_at,
		  COALESCE(i.updated_at, m.updated_at),
		  COALESCE(i.problem_code, m.problem_code),
		  COALESCE(i.problem_message, m.problem_message, ''),
		  COALESCE(i.problem_since, m.problem_since),
		  COALESCE(i.problem_retry_at, m.problem_retry_at),
		  COALESCE(i.problem_attempts, m.problem_attempts, 0),
		  COALESCE(i.problem_of_host = 1 OR i.decided_generation >= o.generation, 1)
		FROM operation o
		LEFT JOIN instance i ON o.state = 'running' AND o.subject_kind = 'instance' AND i.id = o.subject_id
		LEFT JOIN image m ON o.state = 'running' AND o.subject_kind = 'image' AND m.id = o.subject_id`

func scanOperation(rows *sql.Rows) (o cloud.Operation, err error) {
	var code sql.NullString
	var message string
	var created, ended, updated sql.NullInt64
	var p problemColumns
	var its bool
	err = rows.Scan(
		&o.ID,
		&o.TenantID,
		&o.Kind,
		&o.State,
		&o.Subject.Kind,
		&o.Subject.ID,
		&o.Name,
		&o.Generation,
		&o.Boots,
		&o.Want.Power,
		&o.Want.Name,
		&o.Want.VCPUs,
		&o.Want.MemoryMiB,
		&code,
		&message,
		&o.BytesDone,
		&o.BytesTotal,
		&o.UserID,
		&o.UserName,
		&o.TokenID,
		&o.Via,
		&o.RequestID,
		&created,
		&ended,
		&updated,
		&p.code,
		&p.message,
		&p.since,
		&p.retryAt,
		&p.attempts,
		&its,
	)
	if err != nil {
		return o, err
	}
	if code.Valid {
		o.Error = &cloud.OperationError{Code: cloud.Code(code.String), Message: message}
	}
	if its {
		o.Problem = p.problem()
	}
	o.CreatedAt, o.EndedAt, o.UpdatedAt = moment(created), moment(ended), moment(updated)
	for _, at := range []time.Time{o.CreatedAt, o.EndedAt} {
		if at.After(o.UpdatedAt) {
			o.UpdatedAt = at
		}
	}
	return o, nil
}

func noOperation(id string) error {
	return cloud.Errorf(cloud.CodeNotFound, "There is no operation %q; one is kept for 7 days after its end.", id)
}

// operation reads one that the caller may see.
func operation(s source, c cloud.Caller, id string) (cloud.Operation, error) {
	o, found, err := one(s, scanOperation, operationQuery+`
		WHERE o.id = ?`, id)
	if err == nil && (!found || !c.Sees(o.TenantID)) {
		return cloud.Operation{}, noOperation(id)
	}
	return o, err
}

// Operation returns one operation. Returns CodeNotFound when there is none that
// the caller may see, also once it is forgotten.
func (d *DB) Operation(ctx context.Context, c cloud.Caller, id string) (cloud.Operation, error) {
	o, err := operation(d.read(ctx), c, id)
	return o, fail("read operation", err)
}

// Operations lists the operations of a tenant; for an operator without a tenant
// in the filter, all.
//
// Returns CodeNotFound when the filter names a tenant that the caller may not
// see, CodeInvalid for a cursor that this list did not give.
func (d *DB) Operations(ctx context.Context, c cloud.Caller, f cloud.OperationFilter, p cloud.Page) (items []cloud.Operation, next string, err error) {
	tenantID, err := scope(c, f.TenantID)
	if err != nil {
		return nil, "", err
	}
	page, err := spanOf(p, "operations", tenantID, string(f.State), string(f.Kind), f.SubjectID)
	if err != nil {
		return nil, "", err
	}
	var w where
	if tenantID != "" {
		w.and("o.tenant_id = ?", tenantID)
	}
	if f.SubjectID != "" {
		w.and("o.subject_id = ?", f.SubjectID)
	}
	if f.State != "" {
		w.and("o.state = ?", string(f.State))
	}
	if f.Kind != "" {
		w.and("o.kind = ?", string(f.Kind))
	}
	tail := page.in(&w, "o.")
	if items, err = collect(d.read(ctx), scanOperation, operationQuery+tail, w.args...); err != nil {
		return nil, "", fail("list operations", err)
	}
	items, next = cut(page, items, func(o *cloud.Operation) place { return place{created: o.CreatedAt, id: o.ID} })
	return items, next, nil
}

// ForgetOperations removes at most so many operations that ended more than
// cloud.OperationKept ago, the oldest end first, and returns how many it removed.
// Those that run are kept however old they are.
func (d *DB) ForgetOperations(ctx context.Context, now time.Time, most int) (n int, err error) {
	err = d.write(ctx, now, reconciler, "forget operations", func(t *tx) error {
		gone, err := t.exec(`
		DELETE FROM operation
		WHERE id IN (
		  SELECT id
		  FROM operation
		  WHERE ended_at <= ?
		  ORDER BY ended_at
		  LIMIT ?
		)`, stamp(t.now.Add(-cloud.OperationKept)), most)
		n = int(gone)
		return err
	})
	return n, err
}

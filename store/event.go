package store

import (
	"context"
	"database/sql"

	"lodge/cloud"
)

// maxEvents is how many events one call gives at most.
const maxEvents = 1000

// event appends one event. An empty tenantID is for what belongs to no tenant.
func (t *tx) event(tenantID string, subject cloud.Ref, name, typ, message string, data map[string]string) error {
	t.audited(tenantID, subject, name)
	if t.evented == nil {
		t.evented = map[string]bool{}
	}
	t.evented[tenantID] = true
	_, err := t.exec(`
		INSERT INTO event (
		  at,
		  tenant_id,
		  subject_kind,
		  subject_id,
		  name,
		  type,
		  message,
		  data,
		  user_id,
		  via
		) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		stamp(t.now),
		orNull(tenantID),
		string(subject.Kind),
		subject.ID,
		name,
		typ,
		message,
		asJSON(data),
		t.caller.UserID,
		t.caller.Via,
	)
	return err
}

// Events returns what happened after the sequence number f.After, oldest first,
// 100 by default and at most 1000. A caller sees the events of its tenant; the
// ones of no tenant are for the operator.
//
// Returns CodeNotFound when the filter names a tenant that the caller may not see.
func (d *DB) Events(ctx context.Context, c cloud.Caller, f cloud.EventFilter) ([]cloud.Event, error) {
	tenantID, err := scope(c, f.TenantID)
	if err != nil {
		return nil, err
	}
	limit := f.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	var w where
	w.and("seq > ?", f.After)
	if tenantID != "" {
		w.and("tenant_id = ?", tenantID)
	}
	if f.SubjectID != "" {
		w.and("subject_id = ?", f.SubjectID)
	}
	events, err := collect(d.read(ctx), scanEvent, `
		SELECT
		  seq,
		  at,
		  tenant_id,
		  subject_kind,
		  subject_id,
		  name,
		  type,
		  message,
		  data
		FROM event`+w.String()+`
		ORDER BY seq
		LIMIT ?`, append(w.args, min(limit, maxEvents))...)
	return events, fail("list events", err)
}

func scanEvent(rows *sql.Rows) (e cloud.Event, err error) {
	var at sql.NullInt64
	var tenantID sql.NullString
	var data string
	err = rows.Scan(
		&e.Seq,
		&at,
		&tenantID,
		&e.Subject.Kind,
		&e.Subject.ID,
		&e.Name,
		&e.Type,
		&e.Message,
		&data,
	)
	if err != nil {
		return e, err
	}
	e.At, e.TenantID = moment(at), tenantID.String
	e.Data, err = fromJSON[map[string]string](data)
	return e, err
}

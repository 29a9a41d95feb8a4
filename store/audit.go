package store

import (
	"context"
	"database/sql"
	"time"

	"lodge/cloud"
)

// auditSubject is what a change was about.
type auditSubject struct {
	tenantID string
	ref      cloud.Ref
	name     string
}

// audited notes what the change is about. The first word counts: what follows is
// about its consequences.
func (t *tx) audited(tenantID string, ref cloud.Ref, name string) {
	if t.subject.ref.ID == "" {
		t.subject = auditSubject{tenantID, ref, name}
	}
}

// auditOK is the result of what was done; the others are error codes.
const auditOK = "ok"

// audit writes down a change that somebody asked for, in the change's own
// transaction. What lodge does by itself is in the events, and what was so
// already is no change.
func (t *tx) audit(action string) error {
	if t.subject.ref.ID == "" {
		return nil
	}
	switch t.caller.Via {
	case "", reconciler.Via, installer.Via:
		return nil
	}
	return t.insertAudit(cloud.AuditEntry{
		TenantID: t.subject.tenantID, Subject: t.subject.ref, Name: t.subject.name, Action: action, Result: auditOK,
	}, t.caller)
}

func (t *tx) insertAudit(e cloud.AuditEntry, c cloud.Caller) error {
	_, err := t.exec(`
		INSERT INTO audit (
		  at,
		  tenant_id,
		  user_id,
		  user_name,
		  token_id,
		  via,
		  address,
		  request_id,
		  action,
		  subject_kind,
		  subject_id,
		  name,
		  result
		) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		stamp(t.now),
		orNull(e.TenantID),
		c.UserID,
		c.UserName,
		c.TokenID,
		c.Via,
		c.Address,
		c.RequestID,
		e.Action,
		string(e.Subject.Kind),
		e.Subject.ID,
		e.Name,
		e.Result,
	)
	return err
}

// RecordRefusal writes down that a caller was refused what it asked for.
func (d *DB) RecordRefusal(ctx context.Context, c cloud.Caller, now time.Time, e cloud.AuditEntry) error {
	quiet := cloud.Caller{} // the row is the only change
	return d.write(ctx, now, quiet, "record refusal", func(t *tx) error { return t.insertAudit(e, c) })
}

func scanAudit(rows *sql.Rows) (e cloud.AuditEntry, err error) {
	var at sql.NullInt64
	var tenant sql.NullString
	var kind string
	err = rows.Scan(
		&e.Seq,
		&at,
		&tenant,
		&e.UserID,
		&e.UserName,
		&e.TokenID,
		&e.Via,
		&e.Address,
		&e.RequestID,
		&e.Action,
		&kind,
		&e.Subject.ID,
		&e.Name,
		&e.Result,
	)
	e.At, e.TenantID, e.Subject.Kind = moment(at), tenant.String, cloud.Kind(kind)
	return e, err
}

// Audit lists who did what, the newest first, below the sequence number
// f.Before when it is set. An admin sees its tenant's, an operator all.
//
// Returns CodeForbidden for whoever is neither, CodeNotFound when the filter
// names a tenant that the caller may not see.
func (d *DB) Audit(ctx context.Context, c cloud.Caller, f cloud.AuditFilter) ([]cloud.AuditEntry, error) {
	if !c.Operator && !c.Role.Covers(cloud.RoleAdmin) {
		return nil, cloud.Errorf(cloud.CodeForbidden, "The audit log is for the admins of the tenant.")
	}
	tenantID, err := scope(c, f.TenantID)
	if err != nil {
		return nil, err
	}
	var w where
	if tenantID != "" {
		w.and("tenant_id = ?", tenantID)
	}
	if f.Before > 0 {
		w.and("seq < ?", f.Before)
	}
	if f.User != "" {
		w.and("(user_id = ? OR user_name = ?)", f.User, f.User)
	}
	if f.Action != "" {
		w.and("action = ?", f.Action)
	}
	if f.SubjectID != "" {
		w.and("subject_id = ?", f.SubjectID)
	}
	if f.Refused {
		w.and("result <> ?", auditOK)
	}
	limit := f.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	items, err := collect(d.read(ctx), scanAudit, `
		SELECT
		  seq,
		  at,
		  tenant_id,
		  user_id,
		  user_name,
		  token_id,
		  via,
		  address,
		  request_id,
		  action,
		  subject_kind,
		  subject_id,
		  name,
		  result
		FROM audit`+w.String()+`
		ORDER BY seq DESC
		LIMIT ?`, append(w.args, min(limit, maxEvents))...)
	return items, fail("list audit", err)
}

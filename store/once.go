package store

import (
	"database/sql"
	"time"

	"lodge/cloud"
)

// onceFor is how long an answer is kept.
const onceFor = 24 * time.Hour

// viaLogin is the way in of who has only just said who it is.
const viaLogin = "login"

// onceScope says whose keys they are: two clients may choose the same one. What
// was answered in one tenant, or to a token that may more, is not given to another;
// a new session, and a token that takes the place of another for the same, go on
// with the keys of the old one.
func onceScope(c cloud.Caller) string {
	switch {
	case c.UserID != "" && c.Via == viaLogin:
		return "login " + c.UserID
	case c.UserID != "" && c.Bound != cloud.Binding{}:
		return "user " + c.UserID + " as " + string(c.Bound.Role) + " " + string(c.Bound.Scope) + " of " + c.Bound.TenantID
	case c.UserID != "" && c.TenantID != "":
		return "user " + c.UserID + " of " + c.TenantID
	case c.UserID != "":
		return "user " + c.UserID
	case c.TokenID != "":
		return "token " + c.TokenID
	}
	return c.Via
}

// replay returns a *cloud.Replay when the caller's request was answered before,
// CodeKeyReused when its key was used for another one, and
// CodeConflict while what was asked for is still being made. Two at once with one
// key come one after the other: there is one writer.
func (t *tx) replay() error {
	once := t.caller.Once
	if once == nil {
		return nil
	}
	var request, pending string
	var r cloud.Replay
	err := t.row(`
		SELECT
		  request,
		  pending,
		  status,
		  location,
		  body,
		  operation
		FROM idempotency
		WHERE scope = ?
		  AND key = ?
		  AND created_at > ?`, t.onceScope, once.Key, stamp(t.now.Add(-onceFor))).
		Scan(&request, &pending, &r.Status, &r.Location, &r.Body, &r.Operation)
	switch {
	case err == sql.ErrNoRows:
		return nil
	case err != nil:
		return err
	case request != once.Request():
		return cloud.Errorf(cloud.CodeKeyReused, "The Idempotency-Key was used for another request; use a new one for each thing you ask for.")
	case pending != "":
		return cloud.Errorf(cloud.CodeConflict, "The first request with this Idempotency-Key is still running; send it again when that has ended.")
	case once.Open != nil:
		if r.Body, err = once.Open(r.Body); err != nil {
			return err
		}
	}
	return &r
}

// keepAnswer keeps the answer of a change that was made, and forgets old ones.
func (t *tx) keepAnswer() error {
	once := t.caller.Once
	if once == nil || (t.answer == nil && t.pending == "") {
		return nil
	}
	var a cloud.Answer
	if t.pending == "" {
		var err error
		if a, err = once.Render(t.answer); err != nil {
			return err
		}
	}
	if len(t.begun) > 0 {
		a.Operation = t.begun[0]
	}
	if _, err := t.exec(`DELETE FROM idempotency WHERE created_at <= ?`, stamp(t.now.Add(-onceFor))); err != nil {
		return err
	}
	_, err := t.exec(`
		INSERT INTO idempotency (
		  scope,
		  key,
		  request,
		  pending,
		  status,
		  location,
		  body,
		  operation,
		  created_at
		) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		t.onceScope,
		once.Key,
		once.Request(),
		t.pending,
		a.Status,
		a.Location,
		string(a.Body),
		a.Operation,
		stamp(t.now),
	)
	return err
}

// keepLate keeps the answer of what took longer than its first transaction, in
// the one that ends it.
func (t *tx) keepLate(id string, a cloud.Answer) error {
	_, err := t.exec(`
		UPDATE idempotency
		SET pending = '',
		    status = ?,
		    location = ?,
		    body = ?
		WHERE pending = ?`, a.Status, a.Location, string(a.Body), id)
	return err
}

// dropPending frees the key of what has failed: the same request may try again.
func (t *tx) dropPending(id string) error {
	_, err := t.exec(`DELETE FROM idempotency WHERE pending = ?`, id)
	return err
}

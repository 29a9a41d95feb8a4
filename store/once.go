package store

import (
	"database/sql"
	"time"

	"lodge/cloud"
)

// onceFor is how long an answer is kept.
const onceFor = 24 * time.Hour

// onceScope says whose keys they are: two clients may choose the same one.
func onceScope(c cloud.Caller) string {
	switch {
	case c.UserID != "":
		return "user " + c.UserID
	case c.TokenID != "":
		return "token " + c.TokenID
	}
	return c.Via
}

// replay returns a *cloud.Replay when the caller's request was answered before,
// and CodeKeyReused when its key was used for another one. Two at once with one
// key come one after the other: there is one writer.
func (t *tx) replay() error {
	once := t.caller.Once
	if once == nil {
		return nil
	}
	var request string
	var r cloud.Replay
	err := t.row(`
		SELECT
		  request,
		  status,
		  location,
		  body,
		  operation
		FROM idempotency
		WHERE scope = ?
		  AND key = ?
		  AND created_at > ?`, onceScope(t.caller), once.Key, stamp(t.now.Add(-onceFor))).
		Scan(&request, &r.Status, &r.Location, &r.Body, &r.Operation)
	switch {
	case err == sql.ErrNoRows:
		return nil
	case err != nil:
		return err
	case request != once.Request():
		return cloud.Errorf(cloud.CodeKeyReused, "The Idempotency-Key was used for another request; use a new one for each thing you ask for.")
	}
	return &r
}

// keepAnswer keeps the answer of a change that was made, and forgets old ones.
func (t *tx) keepAnswer() error {
	once := t.caller.Once
	if once == nil || t.answer == nil {
		return nil
	}
	a, err := once.Render(t.answer)
	if err != nil {
		return err
	}
	if len(t.begun) > 0 {
		a.Operation = t.begun[0]
	}
	if _, err := t.exec(`DELETE FROM idempotency WHERE created_at <= ?`, stamp(t.now.Add(-onceFor))); err != nil {
		return err
	}
	_, err = t.exec(`
		INSERT INTO idempotency (
		  scope,
		  key,
		  request,
		  status,
		  location,
		  body,
		  operation,
		  created_at
		) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		onceScope(t.caller),
		once.Key,
		once.Request(),
		a.Status,
		a.Location,
		string(a.Body),
		a.Operation,
		stamp(t.now),
	)
	return err
}

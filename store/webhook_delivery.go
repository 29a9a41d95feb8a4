package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"lodge/cloud"
)

// message is a CloudEvent 1.0 in JSON.
type message struct {
	SpecVersion string    `json:"specversion"`
	ID          string    `json:"id"`
	Source      string    `json:"source"`
	Type        string    `json:"type"`
	Time        time.Time `json:"time"`
	ContentType string    `json:"datacontenttype"`
	Data        any       `json:"data"`
}

// deliver puts a message into the outbox of a webhook. The same id again is no
// second message.
func (t *tx) deliver(webhookID, id, typ, source, sentence string, data map[string]string) error {
	about := map[string]string{"message": sentence}
	for k, v := range data {
		about[k] = v
	}
	body, err := json.Marshal(message{"1.0", id, source, typ, t.now, "application/json", about})
	if err != nil {
		return err
	}
	_, err = t.exec(`
		INSERT INTO webhook_delivery (id, webhook_id, type, body, created_at, next_at)
		VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT DO NOTHING`, id, webhookID, typ, string(body), stamp(t.now), stamp(t.now))
	return err
}

const deliveryQuery = `
		SELECT
		  d.id,
		  d.webhook_id,
		  w.tenant_id,
		  d.type,
		  d.body,
		  w.url,
		  w.secret,
		  w.old_secret,
		  w.old_until,
		  d.created_at,
		  d.attempts,
		  d.last_at,
		  d.last_status,
		  d.last_error,
		  d.next_at,
		  d.delivered_at,
		  d.given_up_at
		FROM webhook_delivery d
		JOIN webhook w ON w.id = d.webhook_id`

func scanDelivery(rows *sql.Rows) (m cloud.Delivery, err error) {
	var until, created, last, next, delivered, given sql.NullInt64
	err = rows.Scan(
		&m.ID,
		&m.WebhookID,
		&m.TenantID,
		&m.Type,
		&m.Body,
		&m.URL,
		&m.Secret,
		&m.OldSecret,
		&until,
		&created,
		&m.Attempts,
		&last,
		&m.LastStatus,
		&m.LastError,
		&next,
		&delivered,
		&given,
	)
	m.OldUntil = moment(until)
	m.CreatedAt, m.LastAt, m.NextAt, m.DeliveredAt, m.GivenUpAt = moment(created), moment(last), moment(next), moment(delivered), moment(given)
	return m, err
}

// keepDeliveries is how long a delivery is shown once it has ended.
const keepDeliveries = 30 * 24 * time.Hour

// RecordDelivery writes down how an attempt went: status of the answer, 0 for
// none, and the sentence about what failed, "" when it was taken. next is when it
// is tried again; zero for a failure gives it up, which is an event.
func (d *DB) RecordDelivery(ctx context.Context, now time.Time, id string, status int, failed string, next time.Time) error {
	return d.write(ctx, now, cloud.Caller{Operator: true, Via: reconciler.Via}, "record delivery", func(t *tx) error {
		m, found, err := one(t, scanDelivery, deliveryQuery+` WHERE d.id = ? AND d.next_at IS NOT NULL`, id)
		if err != nil || !found {
			return err // its webhook is gone
		}
		var delivered, given time.Time
		switch {
		case failed == "":
			delivered, next = t.now, time.Time{}
		case next.IsZero():
			given = t.now
		}
		_, err = t.exec(`
			UPDATE webhook_delivery
			SET attempts = attempts + 1,
			    last_at = ?,
			    last_status = ?,
			    last_error = ?,
			    next_at = ?,
			    delivered_at = ?,
			    given_up_at = ?
			WHERE id = ?`, stamp(t.now), status, failed, stamp(next), stamp(delivered), stamp(given), id)
		if err != nil {
			return err
		}
		_, err = t.exec(`DELETE FROM webhook_delivery WHERE webhook_id = ? AND next_at IS NULL AND created_at < ?`, m.WebhookID, stamp(t.now.Add(-keepDeliveries)))
		if err != nil || given.IsZero() {
			return err
		}
		h, err := webhook(t, budgetKeeper, m.WebhookID)
		if err != nil {
			return err
		}
		return t.webhookEvent(h, "webhook.given_up", "The webhook "+h.Name+" did not take a message for too long, and is not told of it any more.", map[string]string{"delivery": id, "type": m.Type})
	})
}

package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"lodge/cloud"
)

const webhookQuery = `
		SELECT
		  id,
		  tenant_id,
		  name,
		  url,
		  by_operator,
		  created_at,
		  updated_at,
		  revision
		FROM webhook`

func scanWebhook(rows *sql.Rows) (h cloud.Webhook, err error) {
	var created, updated sql.NullInt64
	err = rows.Scan(
		&h.ID,
		&h.TenantID,
		&h.Name,
		&h.URL,
		&h.ByOperator,
		&created,
		&updated,
		&h.Revision,
	)
	h.CreatedAt, h.UpdatedAt = moment(created), moment(updated)
	return h, err
}

// shownDeliveries is how many of the last deliveries are shown of a webhook.
const shownDeliveries = 10

func webhook(s source, c cloud.Caller, id string) (cloud.Webhook, error) {
	h, found, err := one(s, scanWebhook, webhookQuery+` WHERE id = ?`, id)
	if err == nil && (!found || !c.Sees(h.TenantID)) {
		err = cloud.Errorf(cloud.CodeNotFound, "There is no webhook %q; list the webhooks to see them.", id)
	}
	if err != nil {
		return cloud.Webhook{}, err
	}
	h.Deliveries, err = collect(s, scanDelivery, deliveryQuery+` WHERE d.webhook_id = ? ORDER BY d.seq DESC LIMIT ?`, id, shownDeliveries)
	return h, err
}

// Webhooks lists the webhooks of the tenant, "" of all that the caller may see,
// without their deliveries. Returns CodeNotFound for a tenant that it may not see.
func (d *DB) Webhooks(ctx context.Context, c cloud.Caller, tenantID string) ([]cloud.Webhook, error) {
	tenantID, err := scope(c, tenantID)
	if err != nil {
		return nil, err
	}
	var w where
	w.equal("tenant_id", tenantID)
	all, err := collect(d.read(ctx), scanWebhook, webhookQuery+w.String()+` ORDER BY created_at, id`, w.args...)
	return all, fail("list webhooks", err)
}

// Webhook returns one webhook with its last deliveries, never its secret. Returns
// CodeNotFound when there is none that the caller may see.
func (d *DB) Webhook(ctx context.Context, c cloud.Caller, id string) (cloud.Webhook, error) {
	h, err := webhook(d.read(ctx), c, id)
	return h, fail("read webhook", err)
}

// CreateWebhook makes a webhook. Returns CodeInvalid, CodeNotFound for a tenant
// that the caller may not see, CodeNameTaken, CodeConflict when there are too many.
func (d *DB) CreateWebhook(ctx context.Context, c cloud.Caller, now time.Time, n cloud.IssuedWebhook) (cloud.IssuedWebhook, error) {
	if !c.Sees(n.TenantID) {
		return n, noTenant(n.TenantID)
	}
	if err := n.Checked(); err != nil {
		return n, err
	}
	err := d.write(ctx, now, c, "webhook.create", func(t *tx) (err error) {
		if _, err := liveTenant(t, n.TenantID); err != nil {
			return err
		}
		taken, err := exists(t, `SELECT 1 FROM webhook WHERE tenant_id = ? AND name = ?`, n.TenantID, n.Name)
		if err != nil {
			return err
		}
		if taken {
			return cloud.Errorf(cloud.CodeNameTaken, "There is a webhook named %q already; choose another name.", n.Name)
		}
		var there int
		if err := t.row(`SELECT COUNT(*) FROM webhook WHERE tenant_id = ?`, n.TenantID).Scan(&there); err != nil {
			return err
		}
		if there >= cloud.MaxWebhooks {
			return cloud.Errorf(cloud.CodeConflict, "A tenant has at most %d webhooks; delete one that is not needed.", cloud.MaxWebhooks)
		}
		_, err = t.exec(`
			INSERT INTO webhook (id, tenant_id, name, url, secret, by_operator, created_at, updated_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			n.ID, n.TenantID, n.Name, n.URL, n.Secret, c.Operator, stamp(t.now), stamp(t.now))
		if err != nil {
			return err
		}
		if n.Webhook, err = webhook(t, c, n.ID); err != nil {
			return err
		}
		t.answer = n
		return t.webhookEvent(n.Webhook, "webhook.created", "The webhook "+n.Name+" was made.", nil)
	})
	return n, err
}

func (t *tx) webhookEvent(h cloud.Webhook, typ, message string, data map[string]string) error {
	return t.event(h.TenantID, cloud.Ref{Kind: cloud.KindWebhook, ID: h.ID}, h.Name, typ, message, data)
}

// DeleteWebhook ends a webhook; what it was not told yet it is never told. Returns
// CodeNotFound, CodeForbidden for an operator's by anybody else, CodeInUse while a
// budget names it, CodePrecondition.
func (d *DB) DeleteWebhook(ctx context.Context, c cloud.Caller, now time.Time, id string) error {
	return d.write(ctx, now, c, "webhook.delete", func(t *tx) error {
		h, err := webhook(t, c, id)
		if err != nil {
			return err
		}
		t.answer = h
		if h.ByOperator && !c.Operator {
			return cloud.Errorf(cloud.CodeForbidden, "The webhook %s was made by an operator and only an operator deletes it; ask yours.", h.Name)
		}
		if err := c.Expects(h.Tag()); err != nil {
			return err
		}
		used, err := exists(t, `SELECT 1 FROM budget WHERE webhook_id = ?`, id)
		if err != nil {
			return err
		}
		if used {
			return cloud.Errorf(cloud.CodeInUse, "A budget tells the webhook %s; give that budget another one first.", h.Name)
		}
		if _, err := t.exec(`DELETE FROM webhook WHERE id = ?`, id); err != nil {
			return err
		}
		return t.webhookEvent(h, "webhook.deleted", "The webhook "+h.Name+" was deleted.", nil)
	})
}

// refuseWebhook returns CodeInvalid when the tenant has no such webhook; "" is none.
func (t *tx) refuseWebhook(tenantID, id string) error {
	if id == "" {
		return nil
	}
	there, err := exists(t, `SELECT 1 FROM webhook WHERE id = ? AND tenant_id = ?`, id, tenantID)
	if err == nil && !there {
		err = invalid("webhook", "The tenant has no webhook %q; make one first.", id)
	}
	return err
}

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
		  d.type,
		  d.body,
		  w.url,
		  w.secret,
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
	var created, last, next, delivered, given sql.NullInt64
	err = rows.Scan(
		&m.ID,
		&m.WebhookID,
		&m.Type,
		&m.Body,
		&m.URL,
		&m.Secret,
		&created,
		&m.Attempts,
		&last,
		&m.LastStatus,
		&m.LastError,
		&next,
		&delivered,
		&given,
	)
	m.CreatedAt, m.LastAt, m.NextAt, m.DeliveredAt, m.GivenUpAt = moment(created), moment(last), moment(next), moment(delivered), moment(given)
	return m, err
}

// DueDeliveries gives what is to be sent now, and when the next is after that;
// zero: none is waiting.
func (d *DB) DueDeliveries(ctx context.Context, now time.Time, limit int) (due []cloud.Delivery, next time.Time, err error) {
	s := d.read(ctx)
	due, err = collect(s, scanDelivery, deliveryQuery+` WHERE d.next_at <= ? ORDER BY d.next_at, d.seq LIMIT ?`, stamp(now), limit)
	if err != nil {
		return nil, next, fail("list deliveries", err)
	}
	var at sql.NullInt64
	err = s.row(`SELECT MIN(next_at) FROM webhook_delivery WHERE next_at > ?`, stamp(now)).Scan(&at)
	return due, moment(at), fail("list deliveries", err)
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

package store

import (
	"context"
	"database/sql"
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
		  revision,
		  old_until
		FROM webhook`

func scanWebhook(rows *sql.Rows) (h cloud.Webhook, err error) {
	var created, updated, until sql.NullInt64
	err = rows.Scan(
		&h.ID,
		&h.TenantID,
		&h.Name,
		&h.URL,
		&h.ByOperator,
		&created,
		&updated,
		&h.Revision,
		&until,
	)
	h.CreatedAt, h.UpdatedAt, h.OldUntil = moment(created), moment(updated), moment(until)
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
		if err := t.refuseWebhookName(n.Webhook); err != nil {
			return err
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

func (t *tx) refuseWebhookName(h cloud.Webhook) error {
	taken, err := exists(t, `SELECT 1 FROM webhook WHERE tenant_id = ? AND name = ? AND id <> ?`, h.TenantID, h.Name, h.ID)
	if err == nil && taken {
		err = cloud.Errorf(cloud.CodeNameTaken, "There is a webhook named %q already; choose another name.", h.Name)
	}
	return err
}

func (t *tx) webhookEvent(h cloud.Webhook, typ, message string, data map[string]string) error {
	return t.event(h.TenantID, cloud.Ref{Kind: cloud.KindWebhook, ID: h.ID}, h.Name, typ, message, data)
}

// DeleteWebhook ends a webhook; what it was not told yet it is never told. Returns
// CodeNotFound, CodeForbidden for an operator's by anybody else, CodeInUse while a
// budget names it, CodePrecondition.
func (d *DB) DeleteWebhook(ctx context.Context, c cloud.Caller, now time.Time, id string) error {
	return d.write(ctx, now, c, "webhook.delete", func(t *tx) error {
		h, err := t.ownWebhook(c, id)
		if err != nil {
			return err
		}
		t.answer = h
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

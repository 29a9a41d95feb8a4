package store

import (
	"context"
	"time"

	"lodge/cloud"
)

// ownWebhook finds a webhook that the caller may change as it is.
func (t *tx) ownWebhook(c cloud.Caller, id string) (cloud.Webhook, error) {
	h, err := webhook(t, c, id)
	switch {
	case err != nil:
		return h, err
	case h.ByOperator && !c.Operator:
		return h, cloud.Errorf(cloud.CodeForbidden, "The webhook %s was made by an operator and only an operator changes it; ask yours.", h.Name)
	}
	return h, c.Expects(h.Tag())
}

// UpdateWebhook changes a webhook. What it was not told yet is told at the new
// URL. Returns CodeNotFound, CodeForbidden for an operator's by anybody else,
// CodeInvalid, CodeNameTaken, CodePrecondition.
func (d *DB) UpdateWebhook(ctx context.Context, c cloud.Caller, now time.Time, id string, ch cloud.WebhookChange) (h cloud.Webhook, err error) {
	err = d.write(ctx, now, c, "webhook.update", func(t *tx) (err error) {
		if h, err = t.ownWebhook(c, id); err != nil {
			return err
		}
		was := h
		if ch.Name != nil {
			h.Name = *ch.Name
		}
		if ch.URL != nil {
			h.URL = *ch.URL
		}
		t.answer = h
		if h.Name == was.Name && h.URL == was.URL {
			return nil
		}
		if err := h.Checked(); err != nil {
			return err
		}
		if err := t.refuseWebhookName(h); err != nil {
			return err
		}
		_, err = t.exec(`
			UPDATE webhook
			SET name = ?,
			    url = ?,
			    updated_at = ?,
			    revision = revision + 1
			WHERE id = ?`, h.Name, h.URL, stamp(t.now), id)
		if err != nil {
			return err
		}
		if h, err = webhook(t, c, id); err != nil {
			return err
		}
		t.answer = h
		return t.webhookEvent(h, "webhook.updated", "The webhook "+h.Name+" was changed.", nil)
	})
	return h, err
}

// RotateWebhook gives a webhook a new secret. The one before signs beside it for
// the overlap, and one before that no more.
//
// Returns CodeNotFound, CodeForbidden for an operator's by anybody else,
// CodeInvalid for an overlap that is too long, CodePrecondition.
func (d *DB) RotateWebhook(ctx context.Context, c cloud.Caller, now time.Time, id string, n cloud.NewSecret) (out cloud.IssuedWebhook, err error) {
	if n.Overlap < 0 || n.Overlap > cloud.MaxSecretOverlap {
		return out, invalid("overlap_seconds", "The secret before signs for 0 to %d seconds more.", int(cloud.MaxSecretOverlap/time.Second))
	}
	err = d.write(ctx, now, c, "webhook.rotate", func(t *tx) error {
		if _, err := t.ownWebhook(c, id); err != nil {
			return err
		}
		// With no overlap nothing of the old secret is kept.
		_, err = t.exec(`
			UPDATE webhook
			SET old_secret = CASE WHEN ? THEN secret END,
			    old_until = CASE WHEN ? THEN ? END,
			    secret = ?,
			    updated_at = ?,
			    revision = revision + 1
			WHERE id = ?`, n.Overlap > 0, n.Overlap > 0, stamp(t.now.Add(n.Overlap)), n.Secret, stamp(t.now), id)
		if err != nil {
			return err
		}
		h, err := webhook(t, c, id)
		if err != nil {
			return err
		}
		out = cloud.IssuedWebhook{Webhook: h, Secret: n.Secret}
		t.answer = out
		return t.webhookEvent(h, "webhook.rotated", "The webhook "+h.Name+" has a new secret.", nil)
	})
	return out, err
}

package api

import (
	"crypto/rand"
	"net/http"
	"time"

	"lodge/api/wire"
	"lodge/cloud"
	"lodge/notify"
)

func (s *server) listWebhooks(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	tenantID, err := s.ofTenant(r, c)
	if err != nil {
		return err
	}
	items, err := s.Webhooks.Webhooks(r.Context(), c, tenantID)
	if err != nil {
		return err
	}
	return replyList(w, items, "", s.wireWebhook)
}

func (s *server) getWebhook(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := bookID(r, cloud.KindWebhook)
	if err != nil {
		return err
	}
	h, err := s.Webhooks.Webhook(r.Context(), c, id)
	if err != nil {
		return err
	}
	etag(w, h.Tag())
	return reply(w, http.StatusOK, s.wireWebhook(h))
}

func (s *server) createWebhook(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	var body wire.CreateWebhook
	if err := decode(w, r, &body); err != nil {
		return err
	}
	n := cloud.IssuedWebhook{Webhook: cloud.Webhook{ID: s.NewID(), Name: body.Name, URL: body.URL}, Secret: make([]byte, notify.SecretBytes)}
	_, _ = rand.Read(n.Secret) // it never fails
	var err error
	if n.TenantID, err = s.makesIn(w, r, c, body.Tenant); err != nil {
		return err
	}
	if err := s.WebhookCheck(body.URL); err != nil {
		return err
	}
	if n, err = s.Webhooks.CreateWebhook(r.Context(), c, s.Now(), n); err != nil {
		return err
	}
	location(w, "/v1/webhooks/"+n.ID)
	return reply(w, http.StatusCreated, wireIssuedWebhook(n, s.Now()))
}

func (s *server) updateWebhook(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := bookID(r, cloud.KindWebhook)
	if err != nil {
		return err
	}
	var body wire.UpdateWebhook
	if _, err := decodePatch(w, r, &body); err != nil {
		return err
	}
	if body.URL != nil {
		if err := s.WebhookCheck(*body.URL); err != nil {
			return err
		}
	}
	h, err := s.Webhooks.UpdateWebhook(r.Context(), c, s.Now(), id, cloud.WebhookChange{Name: body.Name, URL: body.URL})
	if err != nil {
		return err
	}
	etag(w, h.Tag())
	return reply(w, http.StatusOK, s.wireWebhook(h))
}

// overlap is how long the secret before signs when the body does not say.
const overlap = 24 * time.Hour

// rotateWebhook gives a webhook a new secret, which only this answer has.
func (s *server) rotateWebhook(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := bookID(r, cloud.KindWebhook)
	if err != nil {
		return err
	}
	var body wire.NewSecret
	if err := decodeOptional(w, r, &body); err != nil {
		return err
	}
	n := cloud.NewSecret{Secret: make([]byte, notify.SecretBytes), Overlap: overlap}
	_, _ = rand.Read(n.Secret) // it never fails
	if body.OverlapSeconds != nil {
		n.Overlap = time.Duration(max(-1, min(maxOverlap, *body.OverlapSeconds))) * time.Second
	}
	issued, err := s.Webhooks.RotateWebhook(r.Context(), c, s.Now(), id, n)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, wireIssuedWebhook(issued, s.Now()))
}

// maxOverlap keeps a number of seconds from running over as a duration.
const maxOverlap = int64(cloud.MaxSecretOverlap/time.Second) + 1

func (s *server) deleteWebhook(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := bookID(r, cloud.KindWebhook)
	if err != nil {
		return err
	}
	if err := s.Webhooks.DeleteWebhook(r.Context(), c, s.Now(), id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func wireIssuedWebhook(n cloud.IssuedWebhook, now time.Time) wire.Webhook {
	out := wireWebhook(n.Webhook, now)
	out.Secret = notify.SecretText(n.Secret)
	return out
}

func (s *server) wireWebhook(h cloud.Webhook) wire.Webhook { return wireWebhook(h, s.Now()) }

// wireWebhook shows the secret before as long as it signs, and not afterwards.
func wireWebhook(h cloud.Webhook, now time.Time) wire.Webhook {
	if !now.Before(h.OldUntil) {
		h.OldUntil = time.Time{}
	}
	out := wire.Webhook{
		ID: h.ID, TenantID: h.TenantID, Name: h.Name, URL: h.URL, ByOperator: h.ByOperator,
		CreatedAt: wireTime(h.CreatedAt), UpdatedAt: wireTime(h.UpdatedAt), Revision: h.Revision, OldSecretUntil: wireTime(h.OldUntil),
	}
	for _, m := range h.Deliveries {
		out.Deliveries = append(out.Deliveries, wire.Delivery{
			ID: m.ID, Type: m.Type, CreatedAt: wireTime(m.CreatedAt), Attempts: m.Attempts, LastAt: wireTime(m.LastAt), LastStatus: m.LastStatus,
			LastError: m.LastError, NextAt: wireTime(m.NextAt), DeliveredAt: wireTime(m.DeliveredAt), GivenUpAt: wireTime(m.GivenUpAt),
		})
	}
	return out
}

package store_test

import (
	"fmt"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/store"
)

// A tenant with hundreds of messages leaves the places of others alone.
func TestDueDeliveriesAreFair(t *testing.T) {
	w := newWorld(t)
	acme, bee := w.newTenant("acme"), w.newTenant("bee")
	hooks := map[string][]string{}
	for _, tenant := range []cloud.Tenant{acme, bee} {
		for n := range 3 {
			h, err := w.CreateWebhook(ctx, operator, w.now, cloud.IssuedWebhook{
				Webhook: cloud.Webhook{ID: id("hook", tenant.Name, n), TenantID: tenant.ID, Name: fmt.Sprint("h", n), URL: "https://hooks.example/" + tenant.Name}, Secret: []byte("a secret of thirty-two bytes, yes"),
			})
			w.must(err)
			hooks[tenant.Name] = append(hooks[tenant.Name], h.ID)
		}
	}
	put := func(hook string, many int) {
		for n := range many {
			w.must(store.Exec(w.DB, `INSERT INTO webhook_delivery (id, webhook_id, type, body, created_at, next_at) VALUES (?, ?, 'x', '{}', ?, ?)`,
				id("message", hook, n), hook, w.now.UnixMilli(), w.now.UnixMilli()))
		}
	}
	put(hooks["acme"][0], 400)
	put(hooks["acme"][1], 10)
	put(hooks["acme"][2], 1)
	put(hooks["bee"][0], 1) // the last of all
	due, _, err := w.DueDeliveries(ctx, w.now.Add(time.Second), 64)
	w.must(err)
	of := map[string]int{}
	for n, m := range due {
		of[m.WebhookID]++
		if m.WebhookID == hooks["bee"][0] && n > 1 {
			t.Errorf("the message of the other tenant is number %d", n)
		}
	}
	if of[hooks["bee"][0]] != 1 || of[hooks["acme"][0]] > 2 || of[hooks["acme"][1]] > 2 || of[hooks["acme"][2]] != 1 || len(due) != 5 {
		t.Errorf("%d are due: %v", len(due), of)
	}
}

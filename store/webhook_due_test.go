package store_test

import (
	"fmt"
	"maps"
	"slices"
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
	due, _, err := w.DueDeliveries(ctx, w.now.Add(time.Second), nil, 64)
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

// post is one lodged's sender in a simulation: some webhooks hang until an attempt
// ends, and the others answer at once.
type post struct {
	*world
	hangs func(webhook string) bool
	busy  map[string]cloud.Delivery
	ends  map[string]time.Time
	sent  map[string]time.Time // when each message was begun for the first time
	most  int
}

const hangTime = 10 * time.Second

// pass goes on for a while in steps of a second, as the sender does.
func (p *post) pass(d time.Duration) {
	p.t.Helper()
	for until := p.now.Add(d); p.now.Before(until); p.now = p.now.Add(time.Second) {
		for id, at := range p.ends {
			if at.After(p.now) {
				continue
			}
			m := p.busy[id]
			delete(p.busy, id)
			delete(p.ends, id)
			status, failed, next := 200, "", time.Time{}
			if p.hangs(m.WebhookID) {
				status, failed, next = 0, "It hangs.", p.now.Add(5*time.Second<<min(m.Attempts, 4))
			}
			p.must(p.RecordDelivery(ctx, p.now, id, status, failed, next))
		}
		due, _, err := p.DueDeliveries(ctx, p.now, slices.Collect(maps.Values(p.busy)), 64-len(p.busy))
		p.must(err)
		for _, m := range due {
			if _, is := p.busy[m.ID]; is {
				p.t.Fatalf("%s is under way and is handed out again", m.ID)
			}
			p.busy[m.ID], p.ends[m.ID] = m, p.now
			if p.hangs(m.WebhookID) {
				p.ends[m.ID] = p.now.Add(hangTime)
			}
			if p.sent[m.ID].IsZero() {
				p.sent[m.ID] = p.now
			}
		}
		p.most = max(p.most, len(p.busy))
	}
}

// Webhooks that hang, each with many messages, leave a place for a healthy one of
// the same tenant, and there are never more under way than its places.
func TestWebhooksThatHangLeaveAPlaceForAHealthyOne(t *testing.T) {
	w := newWorld(t)
	acme := w.newTenant("acme")
	hook := func(name string) string {
		h, err := w.CreateWebhook(ctx, operator, w.now, cloud.IssuedWebhook{
			Webhook: cloud.Webhook{ID: id("hook", name), TenantID: acme.ID, Name: name, URL: "https://hooks.example/"}, Secret: []byte("a secret of thirty-two bytes, yes"),
		})
		w.must(err)
		return h.ID
	}
	put := func(hook string, n int) string {
		m := id("message", hook, n)
		w.must(store.Exec(w.DB, `INSERT INTO webhook_delivery (id, webhook_id, type, body, created_at, next_at) VALUES (?, ?, 'x', '{}', ?, ?)`,
			m, hook, w.now.UnixMilli(), w.now.UnixMilli()))
		return m
	}
	healthy := hook("healthy")
	p := &post{world: w, hangs: func(h string) bool { return h != healthy }, busy: map[string]cloud.Delivery{}, ends: map[string]time.Time{}, sent: map[string]time.Time{}}
	var hung [6]string
	for i := range hung {
		hung[i] = hook(fmt.Sprint("hangs", i))
		for n := range 10 {
			put(hung[i], n)
		}
	}
	p.pass(0)
	p.pass(time.Second)
	first := put(healthy, 0)
	p.pass(hangTime + 2*time.Second)
	if p.sent[first].IsZero() {
		t.Error("the healthy webhook waits although those that hang have ended an attempt")
	}
	p.pass(3 * hangTime) // each that hangs has failed
	for n := 1; n < 60; n++ {
		at := w.now
		m := put(healthy, n)
		p.pass(time.Duration(1+n%7) * time.Second)
		if p.sent[m] != at {
			t.Fatalf("message %d of the healthy webhook was put at %s and sent at %s", n, at, p.sent[m])
		}
	}
	if p.most != 4 {
		t.Errorf("%d were under way at once", p.most)
	}
	for _, h := range hung {
		if got := w.count(`SELECT COUNT(*) FROM webhook_delivery WHERE attempts > 0 AND webhook_id = '` + h + `'`); got < 2 {
			t.Errorf("%d messages of a webhook that hangs were tried", got)
		}
	}
	// One that went on while its webhook was deleted takes a place of the tenant still.
	w.must(w.DeleteWebhook(ctx, operator, w.now, hung[0]))
	put(healthy, 100)
	due, _, err := w.DueDeliveries(ctx, w.now, []cloud.Delivery{
		{ID: "gone1", WebhookID: hung[0], TenantID: acme.ID}, {ID: "gone2", WebhookID: hung[0], TenantID: acme.ID},
		{ID: "gone3", WebhookID: hung[0], TenantID: acme.ID}, {ID: "gone4", WebhookID: hung[0], TenantID: acme.ID},
	}, 60)
	w.must(err)
	if len(due) != 0 {
		t.Errorf("%d more are begun", len(due))
	}
}

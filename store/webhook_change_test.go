package store_test

import (
	"bytes"
	"testing"
	"time"

	"lodge/cloud"
)

func (w *world) webhook(name string) cloud.Webhook {
	w.t.Helper()
	h, err := w.CreateWebhook(ctx, operator, w.now, cloud.IssuedWebhook{Webhook: cloud.Webhook{ID: id("webhook", name), TenantID: w.tenant.ID, Name: name, URL: "https://hooks.example.com/" + name}, Secret: bytes.Repeat([]byte{1}, 32)})
	w.must(err)
	return h.Webhook
}

// delivery is the only one that is due, however late.
func (w *world) delivery() cloud.Delivery {
	w.t.Helper()
	due, _, err := w.DueDeliveries(ctx, w.now, nil, 10)
	w.must(err)
	if len(due) != 1 {
		w.t.Fatalf("%d are due", len(due))
	}
	return due[0]
}

func TestAWebhookIsChanged(t *testing.T) {
	w, _ := spending(t)
	h, other := w.webhook("chat"), w.webhook("pager")
	w.aBudget("dev", func(b *cloud.Budget) { b.WebhookID = h.ID })
	w.later(2 * time.Hour)
	w.keep(w.keeper())
	change := func(c cloud.Caller, ch cloud.WebhookChange) (cloud.Webhook, error) {
		return w.UpdateWebhook(ctx, c, w.now, h.ID, ch)
	}
	_, err := change(operator, cloud.WebhookChange{Name: &other.Name})
	w.refused(err, cloud.CodeNameTaken)
	_, err = change(operator, cloud.WebhookChange{Name: ptr("a\nb")})
	w.refused(err, cloud.CodeInvalid)
	admin := cloud.Caller{TenantID: w.tenant.ID, Role: cloud.RoleAdmin, Via: "test"}
	_, err = change(admin, cloud.WebhookChange{Name: ptr("mine")})
	w.refused(err, cloud.CodeForbidden)
	_, err = change(cloud.Caller{TenantID: id("another"), Role: cloud.RoleAdmin, Via: "test"}, cloud.WebhookChange{Name: ptr("mine")})
	w.refused(err, cloud.CodeNotFound)
	bound := operator
	bound.IfMatch = []string{"0-0"}
	_, err = change(bound, cloud.WebhookChange{Name: ptr("x")})
	w.refused(err, cloud.CodePrecondition)

	same, err := change(operator, cloud.WebhookChange{Name: &h.Name})
	w.must(err)
	if same.Tag() != h.Tag() || len(w.eventTypes(h.ID)) != 1 {
		t.Errorf("no change became one: %+v", same)
	}
	got, err := change(operator, cloud.WebhookChange{Name: ptr("talk"), URL: ptr("https://hooks.example.com/new")})
	w.must(err)
	if got.Name != "talk" || got.URL != "https://hooks.example.com/new" || got.Revision != 2 || got.Tag() == h.Tag() {
		t.Errorf("%+v", got)
	}
	if m := w.delivery(); m.URL != got.URL {
		t.Errorf("what waits is told at %s", m.URL)
	}
}

func TestTheSecretBeforeSignsForTheOverlap(t *testing.T) {
	w, _ := spending(t)
	h := w.webhook("chat")
	w.aBudget("dev", func(b *cloud.Budget) { b.WebhookID = h.ID })
	w.later(2 * time.Hour)
	w.keep(w.keeper())
	secret := func(n byte) []byte { return bytes.Repeat([]byte{n}, 32) }
	rotate := func(n byte, overlap time.Duration) cloud.IssuedWebhook {
		t.Helper()
		got, err := w.RotateWebhook(ctx, operator, w.now, h.ID, cloud.NewSecret{Secret: secret(n), Overlap: overlap})
		w.must(err)
		return got
	}
	check := func(now, old byte, until time.Time) {
		t.Helper()
		var before []byte
		if old > 0 {
			before = secret(old)
		}
		if m := w.delivery(); !bytes.Equal(m.Secret, secret(now)) || !bytes.Equal(m.OldSecret, before) || !m.OldUntil.Equal(until) {
			t.Errorf("signed by %v and %v until %v", m.Secret[:1], m.OldSecret, m.OldUntil)
		}
	}
	check(1, 0, time.Time{})
	got := rotate(2, time.Hour)
	if !bytes.Equal(got.Secret, secret(2)) || !got.OldUntil.Equal(w.now.Add(time.Hour)) || got.Revision != 2 {
		t.Errorf("%+v", got)
	}
	check(2, 1, w.now.Add(time.Hour))
	rotate(3, 2*time.Hour) // the first signs no more
	check(3, 2, w.now.Add(2*time.Hour))
	rotate(4, 0)
	check(4, 0, time.Time{})
	if kept := w.count(`SELECT COUNT(*) FROM webhook WHERE old_secret IS NOT NULL`); kept != 0 {
		t.Error("a secret that signs nothing is kept")
	}
	for _, overlap := range []time.Duration{-1, cloud.MaxSecretOverlap + time.Second} {
		_, err := w.RotateWebhook(ctx, operator, w.now, h.ID, cloud.NewSecret{Secret: secret(5), Overlap: overlap})
		w.refused(err, cloud.CodeInvalid)
	}
	dry := operator
	dry.DryRun = true
	_, _ = w.RotateWebhook(ctx, dry, w.now, h.ID, cloud.NewSecret{Secret: secret(5)})
	check(4, 0, time.Time{})
}

// A list of the book comes in parts that leave nothing out, in the order of the
// whole, and a cursor is good for its own list only.
func TestTheBookIsListedInParts(t *testing.T) {
	w := newWorldWith(t, roomy)
	hour := cloud.Hour(w.now)
	for n := range 12 {
		from := hour.Add(time.Duration(n) * time.Hour)
		for _, meter := range []string{"vcpu", "disk"} {
			w.price(meter, func(p *cloud.Price) {
				p.ID, p.Meter, p.From, p.To = id("price", meter, string(rune('a'+n))), cloud.Meter(meter), from, from.Add(time.Hour)
			})
		}
		_, err := w.CreateDiscount(ctx, operator, w.now, cloud.Discount{ID: id("discount", string(rune('a'+n))), TenantID: w.tenant.ID, Percent: "5", From: from, To: from.Add(time.Hour)})
		w.must(err)
	}
	whole, err := w.Prices(ctx, operator, cloud.PriceFilter{})
	w.must(err)
	var parts []cloud.Price
	page := cloud.Page{Limit: 5}
	for {
		items, next, err := w.PricePage(ctx, operator, cloud.PriceFilter{}, page)
		w.must(err)
		if parts = append(parts, items...); next == "" {
			break
		}
		page.Cursor = next
		if _, _, err := w.DiscountPage(ctx, operator, cloud.PriceFilter{}, page); cloud.CodeOf(err) != cloud.CodeInvalid {
			t.Errorf("the cursor of prices is one of discounts: %v", err)
		}
		if _, _, err := w.PricePage(ctx, operator, cloud.PriceFilter{Meter: "disk"}, page); cloud.CodeOf(err) != cloud.CodeInvalid {
			t.Errorf("the cursor of all is one of some: %v", err)
		}
	}
	if len(whole) != 24 || len(parts) != len(whole) {
		t.Fatalf("%d in parts of %d", len(parts), len(whole))
	}
	for n := range whole {
		if whole[n].ID != parts[n].ID {
			t.Errorf("place %d is another one in parts", n)
		}
	}
	var discounts []string
	for page = (cloud.Page{Limit: 5}); ; {
		items, next, err := w.DiscountPage(ctx, operator, cloud.PriceFilter{}, page)
		w.must(err)
		for _, d := range items {
			discounts = append(discounts, d.ID)
		}
		if page.Cursor = next; next == "" {
			break
		}
	}
	if len(discounts) != 12 || discounts[11] != id("discount", "l") {
		t.Errorf("%d discounts: %v", len(discounts), discounts)
	}
}

// The end of a price or a discount can be bound to what was read.
func TestTheEndOfAPriceIsBoundToItsTag(t *testing.T) {
	w := newWorldWith(t, roomy)
	p := w.price("vcpu", func(*cloud.Price) {})
	d, err := w.CreateDiscount(ctx, operator, w.now, cloud.Discount{ID: id("discount"), TenantID: w.tenant.ID, Percent: "5", From: cloud.Hour(w.now)})
	w.must(err)
	bound := operator
	bound.IfMatch = []string{"0-0"}
	at := cloud.Hour(w.now).Add(time.Hour)
	_, err = w.EndPrice(ctx, bound, w.now, p.ID, at)
	w.refused(err, cloud.CodePrecondition)
	_, err = w.EndDiscount(ctx, bound, w.now, d.ID, at)
	w.refused(err, cloud.CodePrecondition)
	bound.IfMatch = []string{p.Tag()}
	ended, err := w.EndPrice(ctx, bound, w.now, p.ID, at)
	w.must(err)
	bound.IfMatch = []string{d.Tag()}
	over, err := w.EndDiscount(ctx, bound, w.now, d.ID, at)
	w.must(err)
	if is, err := w.Price(ctx, operator, p.ID); err != nil || ended.Tag() == p.Tag() || is.Tag() != ended.Tag() || over.Tag() == d.Tag() {
		t.Errorf("tags %s, %s, %s: %v", p.Tag(), ended.Tag(), is.Tag(), err)
	}
}

package store_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lodge/cloud"
)

func (w *world) price(words string, change ...func(*cloud.Price)) cloud.Price {
	w.t.Helper()
	p := cloud.Price{ID: id("price", words), Meter: cloud.MeterVCPU, UnitPrice: "0.01", Currency: "EUR"}
	for _, c := range change {
		c(&p)
	}
	p, err := w.CreatePrice(ctx, operator, w.now, p, false)
	w.must(err)
	return p
}

func (w *world) discount(words, tenant string) cloud.Discount {
	w.t.Helper()
	d, err := w.CreateDiscount(ctx, operator, w.now, cloud.Discount{ID: id("discount", words), TenantID: tenant, Percent: "12.50"})
	w.must(err)
	return d
}

func viewerOf(t cloud.Tenant) cloud.Caller {
	return cloud.Caller{TenantID: t.ID, Role: cloud.RoleViewer, Via: "token", UserID: "u"}
}

func TestAPriceIsKeptAsItWasGiven(t *testing.T) {
	w := newWorld(t)
	p := w.price("a", func(p *cloud.Price) {
		p.UnitPrice, p.Selector, p.FlavorID, p.MinimumSeconds, p.CapHours = "00.0100", "tier in (b,a) , env", "c2-m4", 60, 672
		p.To = noon.Add(48 * time.Hour)
	})
	if p.UnitPrice != "0.01" || p.Selector != "env,tier in (a,b)" || !p.From.Equal(noon) || len(p.States) != 2 || !p.Created.Equal(noon) {
		t.Errorf("got %+v", p)
	}
	again, err := w.Price(ctx, operator, p.ID)
	w.must(err)
	if diff := cmp.Diff(p, again); diff != "" {
		t.Error(diff)
	}
	c, err := w.Currency(ctx)
	w.must(err)
	if c != (cloud.Currency{Code: "EUR", Minor: 2}) {
		t.Errorf("currency %+v", c)
	}
}

func TestATenantSeesTheGeneralPricesAndItsOwn(t *testing.T) {
	w := newWorld(t)
	other := w.newTenant("other")
	general := w.price("general")
	mine := w.price("mine", func(p *cloud.Price) { p.TenantID = w.tenant.ID })
	theirs := w.price("theirs", func(p *cloud.Price) { p.TenantID = other.ID })
	saving := w.discount("theirs", other.ID)
	ids := func(c cloud.Caller, f cloud.PriceFilter) (out []string) {
		all, err := w.Prices(ctx, c, f)
		w.must(err)
		for _, p := range all {
			out = append(out, p.ID)
		}
		return out
	}
	if diff := cmp.Diff([]string{general.ID, mine.ID}, ids(viewerOf(w.tenant), cloud.PriceFilter{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{general.ID, theirs.ID}, ids(operator, cloud.PriceFilter{TenantID: other.ID})); diff != "" {
		t.Error(diff)
	}
	if got := ids(operator, cloud.PriceFilter{}); len(got) != 3 {
		t.Errorf("an operator sees %v", got)
	}
	_, err := w.Price(ctx, viewerOf(w.tenant), theirs.ID)
	w.refused(err, cloud.CodeNotFound)
	_, err = w.Prices(ctx, viewerOf(w.tenant), cloud.PriceFilter{TenantID: other.ID})
	w.refused(err, cloud.CodeNotFound)
	_, err = w.Discount(ctx, viewerOf(w.tenant), saving.ID)
	w.refused(err, cloud.CodeNotFound)
	if all, err := w.Discounts(ctx, viewerOf(w.tenant), cloud.PriceFilter{}); err != nil || len(all) != 0 {
		t.Errorf("discounts of another: %v %v", all, err)
	}
	if all, err := w.Discounts(ctx, viewerOf(other), cloud.PriceFilter{}); err != nil || len(all) != 1 || all[0].Percent != "12.5" {
		t.Errorf("own discounts: %v %v", all, err)
	}
	for _, c := range []cloud.Caller{viewerOf(w.tenant), {TenantID: w.tenant.ID, Role: cloud.RoleAdmin}} {
		_, err = w.CreatePrice(ctx, c, w.now, cloud.Price{ID: id("x"), Meter: "vcpu", UnitPrice: "1"}, false)
		w.refused(err, cloud.CodeForbidden)
		_, err = w.EndPrice(ctx, c, w.now, mine.ID, noon.Add(time.Hour))
		w.refused(err, cloud.CodeForbidden)
		_, err = w.CreateDiscount(ctx, c, w.now, cloud.Discount{ID: id("y"), TenantID: w.tenant.ID, Percent: "99"})
		w.refused(err, cloud.CodeForbidden)
		_, err = w.EndDiscount(ctx, c, w.now, saving.ID, noon.Add(time.Hour))
		w.refused(err, cloud.CodeForbidden)
	}
}

func TestAPriceOnlyEnds(t *testing.T) {
	w := newWorld(t)
	w.later(20 * time.Minute)
	p := w.price("a")
	if !p.From.Equal(noon) {
		t.Fatalf("from %s", p.From)
	}
	for _, at := range []time.Time{noon, noon.Add(time.Minute), noon.Add(-time.Hour)} {
		_, err := w.EndPrice(ctx, operator, w.now, p.ID, at)
		w.refused(err, cloud.CodeInvalid)
	}
	got, err := w.EndPrice(ctx, operator, w.now, p.ID, noon.Add(2*time.Hour))
	w.must(err)
	if !got.To.Equal(noon.Add(2 * time.Hour)) {
		t.Errorf("ends %s", got.To)
	}
	_, err = w.EndPrice(ctx, operator, w.now, p.ID, noon.Add(time.Hour))
	w.refused(err, cloud.CodeConflict)
	for _, f := range []struct {
		at   time.Time
		want int
	}{{noon.Add(-1), 0}, {noon, 1}, {noon.Add(2*time.Hour - 1), 1}, {noon.Add(2 * time.Hour), 0}} {
		if all, err := w.Prices(ctx, operator, cloud.PriceFilter{At: f.at}); err != nil || len(all) != f.want {
			t.Errorf("at %s: %v %v", f.at, all, err)
		}
	}
	d := w.discount("d", w.tenant.ID)
	_, err = w.EndDiscount(ctx, operator, w.now, d.ID, noon)
	w.refused(err, cloud.CodeInvalid)
	_, err = w.EndDiscount(ctx, operator, w.now, d.ID, noon.Add(time.Hour))
	w.must(err)
	_, err = w.EndDiscount(ctx, operator, w.now, d.ID, noon.Add(time.Hour))
	w.refused(err, cloud.CodeInvalid)
	_, err = w.EndPrice(ctx, operator, w.now, id("nobody's"), noon.Add(time.Hour))
	w.refused(err, cloud.CodeNotFound)
}

func TestOnePriceOfTheSameAtATime(t *testing.T) {
	w := newWorld(t)
	old := w.price("old")
	next := cloud.Price{ID: id("next"), Meter: cloud.MeterVCPU, UnitPrice: "0.02", From: noon.Add(24 * time.Hour)}
	_, err := w.CreatePrice(ctx, operator, w.now, next, false)
	w.refused(err, cloud.CodeConflict)
	w.price("flavor", func(p *cloud.Price) { p.FlavorID = "c2-m4" })
	w.price("label", func(p *cloud.Price) { p.Selector = "env=prod" })
	w.price("tenant", func(p *cloud.Price) { p.TenantID = w.tenant.ID })
	w.price("memory", func(p *cloud.Price) { p.Meter = cloud.MeterMemory })
	_, err = w.CreatePrice(ctx, operator, w.now, next, true)
	w.must(err)
	if got, err := w.Price(ctx, operator, old.ID); err != nil || !got.To.Equal(next.From) {
		t.Errorf("the old price ends %s, %v", got.To, err)
	}
	// A price that has not begun can be withdrawn, and then makes room.
	_, err = w.EndPrice(ctx, operator, w.now, next.ID, next.From)
	w.must(err)
	next.ID = id("another")
	_, err = w.CreatePrice(ctx, operator, w.now, next, false)
	w.must(err)
	w.discount("d", w.tenant.ID)
	_, err = w.CreateDiscount(ctx, operator, w.now, cloud.Discount{ID: id("e"), TenantID: w.tenant.ID, Percent: "5"})
	w.refused(err, cloud.CodeConflict)
}

func TestABookHasOneCurrency(t *testing.T) {
	w := newWorld(t)
	_, err := w.CreatePrice(ctx, operator, w.now, cloud.Price{ID: id("a"), Meter: "vcpu", UnitPrice: "1"}, false)
	w.refused(err, cloud.CodeInvalid)
	later := w.price("later", func(p *cloud.Price) { p.From = noon.Add(time.Hour) })
	chf := cloud.Price{ID: id("chf"), Meter: "memory", UnitPrice: "1", Currency: "CHF"}
	_, err = w.CreatePrice(ctx, operator, w.now, chf, false)
	w.refused(err, cloud.CodeConflict)
	_, err = w.EndPrice(ctx, operator, w.now, later.ID, later.From)
	w.must(err)
	_, err = w.CreatePrice(ctx, operator, w.now, chf, false)
	w.must(err)
}

func TestBadPricesAreRefused(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(*cloud.Price){
		"meter": func(p *cloud.Price) { p.Meter = "air" }, "unit_price": func(p *cloud.Price) { p.UnitPrice = "-1" },
		"unit_price ": func(p *cloud.Price) { p.UnitPrice = "1e3" }, "unit_price  ": func(p *cloud.Price) { p.UnitPrice = "0.1234567890123" },
		"valid_from": func(p *cloud.Price) { p.From = noon.Add(-time.Hour) }, "valid_from ": func(p *cloud.Price) { p.From = noon.Add(time.Minute) },
		"valid_to": func(p *cloud.Price) { p.To = noon }, "cap_hours": func(p *cloud.Price) { p.CapHours = 745 },
		"minimum_seconds": func(p *cloud.Price) { p.MinimumSeconds = -1 }, "minimum_seconds ": func(p *cloud.Price) { p.Meter, p.MinimumSeconds = "egress", 1 },
		"states": func(p *cloud.Price) { p.States = []cloud.State{"gone"} }, "label": func(p *cloud.Price) { p.Selector = "=" },
		"flavor": func(p *cloud.Price) { p.FlavorID = "'" }, "currency": func(p *cloud.Price) { p.Currency = "euro" },
	} {
		p := cloud.Price{ID: id("p"), Meter: cloud.MeterVCPU, UnitPrice: "0.01", Currency: "EUR"}
		change(&p)
		_, err := w.CreatePrice(ctx, operator, w.now, p, false)
		w.refused(err, cloud.CodeInvalid)
		var ce *cloud.Error
		if !errors.As(err, &ce) || len(ce.Fields) != 1 || ce.Fields[0].Field != strings.TrimSpace(name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, percent := range []string{"0", "100.1", "101", "-1", "x", ""} {
		_, err := w.CreateDiscount(ctx, operator, w.now, cloud.Discount{ID: id("d"), TenantID: w.tenant.ID, Percent: percent})
		w.refused(err, cloud.CodeInvalid)
	}
}

// Each guard of the book, violated by hand.
func TestTheBookGuardsItself(t *testing.T) {
	w := newWorld(t)
	p, d := w.price("a"), w.discount("d", w.tenant.ID)
	db := raw(t, w.path)
	at := func(hours int) int64 { return noon.Add(time.Duration(hours) * time.Hour).UnixMilli() }
	insert := `INSERT INTO price (id, tenant_id, meter, flavor_id, selector, unit_price, currency, valid_from, valid_to, minimum_seconds, cap_hours, states, created_at) VALUES `
	discount := `INSERT INTO discount (id, tenant_id, meter, percent, valid_from, valid_to, created_at) VALUES `
	for _, g := range []struct {
		guard, sql string
		args       []any
	}{
		{"price: rows stay", `UPDATE price SET unit_price = '2'`, nil},
		{"price: rows stay", `UPDATE price SET valid_to = ?`, []any{at(5)}},
		{"price: rows stay", `DELETE FROM price WHERE id = ?`, []any{p.ID}},
		{"overlaps a price", insert + `('x', NULL, 'vcpu', '', '', '1', 'EUR', ?, NULL, 0, 0, '[]', ?)`, []any{at(5), at(0)}},
		{"currency of the book", insert + `('x', NULL, 'memory', '', '', '1', 'USD', ?, NULL, 0, 0, '[]', ?)`, []any{at(5), at(0)}},
		{"CHECK", insert + `('x', NULL, 'memory', '', '', '1', 'EUR', ?, NULL, 0, 0, '[]', ?)`, []any{at(-1), at(0)}},
		{"CHECK", insert + `('x', NULL, 'memory', '', '', '1', 'EUR', ?, NULL, 0, 0, '[]', ?)`, []any{at(5) + 1, at(0)}},
		{"CHECK", insert + `('x', NULL, 'memory', '', '', '1', 'EUR', ?, ?, 0, 0, '[]', ?)`, []any{at(5), at(5), at(0)}},
		{"CHECK", insert + `('x', NULL, 'memory', '', '', '-1', 'EUR', ?, NULL, 0, 0, '[]', ?)`, []any{at(5), at(0)}},
		{"CHECK", insert + `('x', NULL, 'memory', '', '', '1', 'EUR', ?, NULL, 86401, 0, '[]', ?)`, []any{at(5), at(0)}},
		{"CHECK", insert + `('x', NULL, 'memory', '', '', '1', 'EUR', ?, NULL, 0, 745, '[]', ?)`, []any{at(5), at(0)}},
		{"FOREIGN KEY", insert + `('x', 'nobody', 'memory', '', '', '1', 'EUR', ?, NULL, 0, 0, '[]', ?)`, []any{at(5), at(0)}},
		{"CHECK", `INSERT INTO price_end VALUES (1, ?, ?)`, []any{at(1), at(2)}},
		{"CHECK", `INSERT INTO price_end VALUES (1, ?, ?)`, []any{at(1) + 1, at(0)}},
		{"not within", `INSERT INTO price_end VALUES (1, ?, ?)`, []any{at(-1), at(-2)}},
		{"not within", `INSERT INTO price_end VALUES (99, ?, ?)`, []any{at(1), at(0)}},
		{"there are prices", `UPDATE price_currency SET currency = 'USD'`, nil},
		{"rows stay", `DELETE FROM price_currency`, nil},
		{"CHECK", `INSERT INTO price_currency VALUES (2, 'USD')`, nil},
		{"discount: rows stay", `UPDATE discount SET percent = '99'`, nil},
		{"discount: rows stay", `DELETE FROM discount WHERE id = ?`, []any{d.ID}},
		{"overlaps a discount", discount + `('x', ?, '', '5', ?, NULL, ?)`, []any{w.tenant.ID, at(5), at(0)}},
		{"CHECK", discount + `('x', ?, 'vcpu', '5', ?, NULL, ?)`, []any{w.tenant.ID, at(-1), at(0)}},
		{"not within", `INSERT INTO discount_end VALUES (1, ?, ?)`, []any{at(-1), at(-2)}},
		{"CHECK", `INSERT INTO discount_end VALUES (1, ?, ?)`, []any{at(1), at(2)}},
	} {
		if _, err := db.Exec(g.sql, g.args...); err == nil || !strings.Contains(err.Error(), g.guard) {
			t.Errorf("%s %v: %v, want %s", g.sql, g.args, err, g.guard)
		}
	}
	w.must(func() error { _, err := w.EndPrice(ctx, operator, w.now, p.ID, noon.Add(time.Hour)); return err }())
	w.must(func() error { _, err := w.EndDiscount(ctx, operator, w.now, d.ID, noon.Add(time.Hour)); return err }())
	for _, text := range []string{`UPDATE price_end SET ended_at = ended_at + 3600000`, `DELETE FROM price_end`, `UPDATE discount_end SET ended_at = ended_at + 3600000`, `DELETE FROM discount_end`} {
		if _, err := db.Exec(text); err == nil || !strings.Contains(err.Error(), "rows stay") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := db.Exec(`INSERT INTO price_end VALUES (1, ?, ?)`, at(3), at(0)); err == nil || !strings.Contains(err.Error(), "UNIQUE") {
		t.Errorf("a second end: %v", err)
	}
}

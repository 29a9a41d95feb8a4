package store_test

import (
	"strings"
	"testing"
	"time"

	"lodge/cloud"
)

// The order of the terms of a selector says nothing, so there is one price of the
// same, whatever it is written like.
func TestTheOrderOfLabelsMakesNoOtherPrice(t *testing.T) {
	w := newWorld(t)
	first := w.price("a", func(p *cloud.Price) { p.Selector = "tier in (b,a),env=prod,env=prod,!old" })
	if first.Selector != "!old,env=prod,tier in (a,b)" {
		t.Errorf("kept as %s", first.Selector)
	}
	same := cloud.Price{ID: id("price", "b"), Meter: cloud.MeterVCPU, UnitPrice: "5", Selector: "env=prod,!old,tier in (a,b)"}
	_, err := w.CreatePrice(ctx, operator, w.now, same, false)
	w.refused(err, cloud.CodeConflict)
	w.later(time.Hour)
	_, err = w.CreatePrice(ctx, operator, w.now, same, true)
	w.must(err)
	if old, err := w.Price(ctx, operator, first.ID); err != nil || !old.To.Equal(w.now) {
		t.Errorf("the first ends at %v, %v", old.To, err)
	}
	w.price("c", func(p *cloud.Price) { p.Selector = "env=prod,tier in (a,b)" }) // fewer terms are others
}

// A database from before the rule holds what it holds: it is read as it is, counts,
// and is the same as a sorted one.
func TestAnOlderPriceIsOfTheSameToo(t *testing.T) {
	for _, older := range []string{"b=1,a in (x,y),c", "c,b=1,a in (x,y)", "b=1,c,b=1,a in (x,y)"} {
		w := newWorld(t)
		w.price("currency", func(p *cloud.Price) { p.Meter = cloud.MeterMemory })
		db := raw(t, w.path)
		insert := `INSERT INTO price (id, tenant_id, meter, flavor_id, selector, unit_price, currency, valid_from, valid_to, minimum_seconds, cap_hours, states, created_at)
			VALUES (?, NULL, 'vcpu', '', ?, '1', 'EUR', ?, NULL, 0, 0, '[]', ?)`
		put := func(name, selector string) error {
			_, err := db.Exec(insert, id("price", name), selector, noon.UnixMilli(), noon.UnixMilli())
			return err
		}
		w.must(put("older", older))
		p, err := w.Price(ctx, operator, id("price", "older"))
		w.must(err)
		if p.Selector != older {
			t.Errorf("read as %s", p.Selector)
		}
		same := cloud.Price{ID: id("price", "same"), Meter: cloud.MeterVCPU, UnitPrice: "5", Selector: "a in (x,y),b=1,c"}
		_, err = w.CreatePrice(ctx, operator, w.now, same, false)
		w.refused(err, cloud.CodeConflict)
		// The guard of the rows themselves.
		if err := put("same", "a in (x,y),b=1,c"); len(older) == len("a in (x,y),b=1,c") && (err == nil || !strings.Contains(err.Error(), "overlaps")) {
			t.Errorf("beside %s: %v", older, err)
		}
		w.must(put("other", "a in (y,z),b=1,c"))
		w.must(put("general", ""))
		w.later(time.Hour)
		same.ID = id("price", "replaced")
		if !strings.Contains(older, "b=1,c,b") {
			_, err = w.CreatePrice(ctx, operator, w.now, same, true)
			w.must(err)
		}
	}
}

// While nothing in the book counts its currency can be another, unless amounts are
// in it already.
func TestTheCurrencyUnderAnAmountStays(t *testing.T) {
	w := newWorld(t)
	withdraw := func(name, currency string) {
		t.Helper()
		p, err := w.CreatePrice(ctx, operator, w.now, cloud.Price{ID: id("price", name), Meter: cloud.MeterVCPU, UnitPrice: "1", Currency: currency, From: noon.Add(48 * time.Hour)}, false)
		w.must(err)
		_, err = w.EndPrice(ctx, operator, w.now, p.ID, p.From)
		w.must(err)
	}
	withdraw("a", "EUR")
	withdraw("b", "USD") // nothing is in EUR
	b := w.aBudget("dev")
	asked := cloud.Price{ID: id("price", "c"), Meter: cloud.MeterVCPU, UnitPrice: "1", Currency: "EUR", From: noon.Add(48 * time.Hour)}
	_, err := w.CreatePrice(ctx, operator, w.now, asked, false)
	w.refused(err, cloud.CodeConflict)
	if !strings.Contains(cloud.MessageOf(err), "budgets with amounts in USD") {
		t.Error(err)
	}
	withdraw("d", "USD")
	_, left, err := w.DeleteBudget(ctx, operator, w.now, b.ID)
	w.must(err)
	if left {
		t.Error("of a budget that holds nothing something is left")
	}
	withdraw("e", "EUR")
}

func TestTheCurrencyOfAnInvoiceStays(t *testing.T) {
	w := newWorld(t)
	w.now = april.Add(-4 * time.Hour)
	p := w.price("vcpu", func(p *cloud.Price) { p.From = april.AddDate(0, 1, 0) })
	_, err := w.EndPrice(ctx, operator, w.now, p.ID, p.From) // nothing counts
	w.must(err)
	w.run("web1")
	w.now = april.Add(10 * time.Minute)
	w.closeHours()
	if i := w.invoice(march); i.Currency.Code != "EUR" || len(i.Lines) != 0 {
		t.Fatalf("got %+v", i)
	}
	_, err = w.CreatePrice(ctx, operator, w.now, cloud.Price{ID: id("price", "b"), Meter: cloud.MeterVCPU, UnitPrice: "1", Currency: "USD"}, false)
	w.refused(err, cloud.CodeConflict)
	if !strings.Contains(cloud.MessageOf(err), "invoices in EUR") {
		t.Error(err)
	}
}

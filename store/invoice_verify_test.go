package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/meter"
	"lodge/store"
)

// forge changes rows past every guard and makes the chain anew, so that it fits
// again: what somebody could do who has the file and knows lodge.
func (w *world) forge(statements ...string) {
	w.t.Helper()
	for _, trigger := range store.Query(w.t, w.DB, `SELECT name FROM sqlite_schema WHERE type = 'trigger' AND (name LIKE 'usage%' OR name LIKE 'invoice%' OR name LIKE 'price%')`) {
		w.must(store.Exec(w.DB, `DROP TRIGGER `+trigger))
	}
	for _, s := range statements {
		w.must(store.Exec(w.DB, s))
	}
	for range 1 + store.Count(w.t, w.DB, `SELECT COUNT(*) FROM invoice`) { // each invoice has the head before it
		var prev [32]byte
		links := map[int64][32]byte{}
		w.must(w.ReadLedger(ctx, func(l cloud.Ledger) error {
			return l.Seals(func(s cloud.UsageSeal, row []byte) error {
				prev = cloud.Seal(prev, s.Kind, row)
				links[s.N] = prev
				return nil
			})
		}))
		for n, hash := range links {
			w.must(store.Exec(w.DB, `UPDATE usage_seal SET hash = ? WHERE n = ?`, hash[:], n))
			w.must(store.Exec(w.DB, `UPDATE invoice SET head_hash = ? WHERE head_n = ?`, hash[:], n))
		}
	}
}

// corrected is a world with three invoices: what was found out of March is on that
// of April.
func corrected(t *testing.T) (*world, cloud.Instance) {
	w, i := billedWorld(t)
	w.now = april.Add(2*time.Hour + 10*time.Minute)
	w.closeHours()
	w.invoice(march)
	_, err := w.DeleteInstance(ctx, operator, w.now, i.ID)
	w.must(err)
	r := w.gone(w.instance(i.ID))
	r.EndAt, r.Evidence = april.Add(-90*time.Minute), cloud.EvidenceLog
	w.record(r)
	w.later(time.Minute)
	w.closeHours()
	second := w.run("web2")
	w.now = may.Add(5 * time.Minute)
	w.closeHours()
	w.invoice(april)
	w.record(w.stopped(second))
	w.now = may.AddDate(0, 1, 0).Add(5 * time.Minute)
	w.closeHours()
	w.invoice(may)
	w.sound()
	return w, second
}

func TestAnInvoiceIsMadeAgainFromWhatWasKnown(t *testing.T) {
	total := func(number string, by string) string { // an invoice and its total with it
		return `UPDATE invoice SET subtotal = '` + by + `', rounding = '0', total = '` + by + `' WHERE number = '` + number + `'`
	}
	for _, tc := range []struct {
		name, says string
		want       []meter.Check
		forge      []string
	}{
		{"a line and its sums", "Line 1 of INV-000001 says 80 of cpu", []meter.Check{meter.CheckInvoice}, []string{
			`UPDATE invoice_line SET quantity = '80', cost = '1' WHERE invoice = 1`, total("INV-000001", "1.00")}},
		{"a line of what was not used", "and the ledger as it was known then makes nothing of it.", []meter.Check{meter.CheckInvoice}, []string{
			`UPDATE invoice_line SET slot = 'gpu', quantity = '80', cost = '1' WHERE invoice = 1`, total("INV-000001", "1.00")}},
		{"a line taken out", "INV-000001 has no line of cpu", []meter.Check{meter.CheckInvoice}, []string{
			`DELETE FROM invoice_line WHERE invoice = 1`, `UPDATE invoice SET lines = 0 WHERE seq = 1`, total("INV-000001", "0.00")}},
		{"a correction made smaller", "of INV-000002 says -0.8 of cpu", []meter.Check{meter.CheckInvoice}, []string{
			`UPDATE invoice_line SET quantity = '-0.8', cost = '-0.01' WHERE invoice = 2 AND correction = 1`}},
		{"the ledger and the invoice", "was closed with", []meter.Check{meter.CheckHour, meter.CheckConservation, meter.CheckInvoice}, []string{
			`UPDATE usage_interval SET amount = amount * 10 WHERE slot = 'cpu' AND resource = 'web1'`,
			`UPDATE invoice_line SET quantity = '80', cost = '1' WHERE invoice = 1`, total("INV-000001", "1.00")}},
		{"the price", "at 0.0125", []meter.Check{meter.CheckInvoice}, []string{`UPDATE price SET unit_price = '0.1'`}},
		{"a fact", "", nil, []string{`UPDATE usage_fact SET labels = '{}'`}}, // no price asks for it
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, _ := corrected(t)
			w.forge(tc.forge...)
			r := w.verify()
			var got []meter.Check
			said := tc.says == ""
			for _, f := range r.Findings {
				if !slices.Contains(got, f.Check) {
					got = append(got, f.Check)
				}
				said = said || strings.Contains(f.Message, tc.says)
			}
			for _, c := range tc.want {
				if !slices.Contains(got, c) {
					t.Errorf("no finding of %s", c)
				}
			}
			if !said || slices.Contains(got, meter.CheckChain) || (len(tc.want) == 0 && len(got) > 0) {
				t.Errorf("got %+v", r.Findings)
			}
		})
	}
}

// Both the ledger and the invoices of it, hours included, can be forged so that
// they fit. What tells then is the head that is printed on any invoice.
func TestAForgedHistoryHasOtherHeads(t *testing.T) {
	w, _ := corrected(t)
	heads := `SELECT number || ' ' || hex(head_hash) FROM invoice ORDER BY seq`
	was := store.Query(t, w.DB, heads)
	w.forge()
	if got := store.Query(t, w.DB, heads); !slices.Equal(got, was) {
		t.Fatalf("nothing was changed, and the heads are others: %v", got)
	}
	w.sound()
	w.forge(`UPDATE usage_fact SET labels = '{"env":"x"}' WHERE seq = 1`)
	for n, head := range store.Query(t, w.DB, heads) {
		if head == was[n] {
			t.Errorf("%s is as it was", head)
		}
	}
}

// What is known of the ledger as of an invoice does not change with what is found
// out, priced, dropped and opened later.
func TestWhatWasKnownStaysWhatItWas(t *testing.T) {
	w, i := billedWorld(t)
	w.now = april.Add(10 * time.Minute)
	w.closeHours()
	w.invoice(march)
	w.price("memory", func(p *cloud.Price) { p.Meter = cloud.MeterMemory })
	w.discount("less", w.tenant.ID)
	_, err := w.EndPrice(ctx, operator, w.now, id("price", "vcpu"), april.Add(2*time.Hour))
	w.must(err)
	w.run("web2")
	r := w.stopped(w.instance(i.ID))
	r.EndAt, r.Evidence = april.Add(-4*time.Hour), cloud.EvidenceLog // it never ran
	w.record(r)
	w.sound() // not corrected yet
	w.later(time.Minute)
	w.closeHours()
	if n := store.Count(t, w.DB, `SELECT COUNT(*) FROM usage_drop`); n == 0 {
		t.Error("nothing was dropped")
	}
	w.sound()
	w.now = may.Add(10 * time.Minute)
	w.closeHours()
	var corrections []string
	for _, l := range w.invoice(april).Lines {
		if l.Correction {
			corrections = append(corrections, fmt.Sprint(l.Slot, " ", l.Quantity))
		}
	}
	if !slices.Equal(corrections, []string{"cpu -4"}) {
		t.Errorf("got %v", corrections)
	}
	w.sound()
}

// Invoices from before what was open was kept are right when they can be.
func TestOlderInvoicesAreMadeAgainToo(t *testing.T) {
	w, _ := corrected(t)
	w.forge(`UPDATE invoice SET next_interval = NULL`)
	w.sound()
	w.forge(`UPDATE invoice_line SET quantity = '80', cost = '1' WHERE invoice = 1`, `UPDATE invoice SET subtotal = '1', rounding = '0', total = '1.00' WHERE seq = 1`)
	r := w.verify()
	if len(r.Findings) == 0 || r.Findings[0].Check != meter.CheckInvoice || r.Findings[0].Row != 1 {
		t.Errorf("got %+v", r.Findings)
	}
}

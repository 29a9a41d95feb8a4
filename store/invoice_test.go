package store_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lodge/cloud"
	"lodge/meter"
	"lodge/store"
)

var (
	march = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	april = march.AddDate(0, 1, 0)
	may   = march.AddDate(0, 2, 0)
)

// billedWorld is four hours before the end of March, with a price of vCPUs and one
// guest of one vCPU that runs from then on.
func billedWorld(t *testing.T) (*world, cloud.Instance) {
	w := newWorld(t)
	w.now = april.Add(-4 * time.Hour)
	w.price("vcpu", func(p *cloud.Price) { p.UnitPrice = "0.0125" })
	return w, w.run("web1")
}

var terms = cloud.InvoiceTerms{Prefix: "INV-", Issuer: "Acme Hosting\n1 Main Street"}

func (w *world) wantedInvoice(month time.Time) cloud.NewInvoice {
	return cloud.NewInvoice{ID: id("invoice", w.tenant.ID, month), TenantID: w.tenant.ID, Month: month, InvoiceTerms: terms}
}

func (w *world) invoice(month time.Time) cloud.Invoice {
	w.t.Helper()
	i, err := w.CreateInvoice(ctx, operator, w.now, w.wantedInvoice(month), meter.Invoice)
	w.must(err)
	return i
}

func TestAMonthIsFrozenWhenItsHoursAreClosed(t *testing.T) {
	w, i := billedWorld(t)
	_, err := w.CreateInvoice(ctx, operator, w.now, w.wantedInvoice(march), meter.Invoice)
	w.refused(err, cloud.CodeConflict)
	w.now = april.Add(10 * time.Minute)
	w.must(w.Heartbeat(ctx, hostID, april.Add(-time.Minute)))
	c := meter.Closer{Books: w.DB, Now: func() time.Time { return w.now }, Log: quietLog()}
	w.must(c.Close(ctx))
	_, err = w.CreateInvoice(ctx, operator, w.now, w.wantedInvoice(march), meter.Invoice)
	w.refused(err, cloud.CodeConflict)
	if !strings.Contains(err.Error(), "hours are closed until 2026-03-31T23:00:00Z") {
		t.Errorf("it does not say until when: %v", err)
	}
	draft, err := w.DraftInvoice(ctx, viewerOf(w.tenant), w.now, w.wantedInvoice(march), meter.Invoice)
	w.must(err)
	w.closeHours()
	head := store.Count(t, w.DB, `SELECT MAX(n) FROM usage_seal`)
	got := w.invoice(march)
	want := []cloud.InvoiceLine{{
		Month: march, Kind: cloud.LineUsage, ResourceID: i.ID, Resource: "web1", Slot: "cpu", Meter: cloud.MeterVCPU, PriceID: id("price", "vcpu"),
		Quantity: "4", UnitPrice: "0.0125", Percent: "0", Cost: "0.05",
	}}
	if diff := cmp.Diff(want, got.Lines); diff != "" {
		t.Error(diff)
	}
	if got.Number != "INV-000001" || got.Subtotal != "0.05" || got.Total != "0.05" || got.Rounding != "0" || got.Tax != "0" || got.TaxPercent != "" ||
		got.Head.N != int64(head) || got.Tenant != "default" || !got.Unpriced || got.Issuer != terms.Issuer {
		t.Errorf("got %+v", got)
	}
	if diff := cmp.Diff(got.Lines, draft.Lines); diff != "" || draft.Total != got.Total || draft.Number != "" {
		t.Errorf("the draft was %+v", draft)
	}
	again, err := w.Invoice(ctx, viewerOf(w.tenant), got.ID)
	w.must(err)
	if diff := cmp.Diff(got, again); diff != "" {
		t.Error(diff)
	}
	_, err = w.CreateInvoice(ctx, operator, w.now, w.wantedInvoice(march), meter.Invoice)
	w.refused(err, cloud.CodeConflict)
	_, err = w.DraftInvoice(ctx, operator, w.now, w.wantedInvoice(march), meter.Invoice)
	w.refused(err, cloud.CodeConflict)
	if r := w.sound(); r.Invoices != 1 {
		t.Errorf("%d invoices were verified", r.Invoices)
	}
}

func TestInvoicesAreNumberedWithoutGapsAndSeenByTheirTenant(t *testing.T) {
	w, _ := billedWorld(t)
	acme := w.newTenant("acme")
	w.now = april.Add(10 * time.Minute)
	w.closeHours()
	first := w.invoice(march)
	n := w.wantedInvoice(march)
	n.ID, n.TenantID, n.Prefix = id("invoice", "acme"), acme.ID, "ACME/"
	bad := n
	bad.ID = first.ID // a failure draws no number
	if _, err := w.CreateInvoice(ctx, operator, w.now, bad, meter.Invoice); err == nil {
		t.Fatal("two invoices with one id")
	}
	second, err := w.CreateInvoice(ctx, operator, w.now, n, meter.Invoice)
	w.must(err)
	if second.Number != "ACME/000002" || second.Total != "0.00" || len(second.Lines) != 0 || second.Unpriced {
		t.Errorf("got %+v", second)
	}
	_, err = w.Invoice(ctx, viewerOf(acme), first.ID)
	w.refused(err, cloud.CodeNotFound)
	if all, err := w.Invoices(ctx, viewerOf(acme), cloud.InvoiceFilter{}); err != nil || len(all) != 1 || all[0].ID != second.ID {
		t.Errorf("acme sees %+v, %v", all, err)
	}
	if all, err := w.Invoices(ctx, operator, cloud.InvoiceFilter{Month: march}); err != nil || len(all) != 2 {
		t.Errorf("an operator sees %+v, %v", all, err)
	}
	if all, err := w.Invoices(ctx, operator, cloud.InvoiceFilter{Month: april}); err != nil || len(all) != 0 {
		t.Errorf("of April: %+v, %v", all, err)
	}
	_, err = w.Invoices(ctx, viewerOf(acme), cloud.InvoiceFilter{TenantID: w.tenant.ID})
	w.refused(err, cloud.CodeNotFound)
	_, err = w.DraftInvoice(ctx, viewerOf(acme), w.now, w.wantedInvoice(april), meter.Invoice)
	w.refused(err, cloud.CodeNotFound)
	_, err = w.CreateInvoice(ctx, viewerOf(acme), w.now, n, meter.Invoice)
	w.refused(err, cloud.CodeForbidden)
	for code, change := range map[cloud.Code]func(*cloud.NewInvoice){
		cloud.CodeNotFound: func(n *cloud.NewInvoice) { n.TenantID = id("nobody") },
		cloud.CodeInvalid:  func(n *cloud.NewInvoice) { n.Month = march.Add(time.Hour) },
	} {
		n := w.wantedInvoice(march)
		change(&n)
		_, err := w.CreateInvoice(ctx, operator, w.now, n, meter.Invoice)
		w.refused(err, code)
	}
	n = w.wantedInvoice(may)
	_, err = w.CreateInvoice(ctx, operator, w.now, n, meter.Invoice)
	w.refused(err, cloud.CodeInvalid)
	w.sound()
}

// What is found out after a month was frozen is a line of the next invoice; both
// together are what the ledger says.
func TestALateTruthIsOnTheNextInvoice(t *testing.T) {
	w, i := billedWorld(t)
	w.now = april.Add(2*time.Hour + 10*time.Minute)
	w.closeHours()
	first := w.invoice(march)
	sealed := store.Query(t, w.DB, `SELECT n || hex(hash) FROM usage_seal WHERE kind = 'invoice'`)
	// It ended at 22:30 in March, as its log says.
	_, err := w.DeleteInstance(ctx, operator, w.now, i.ID)
	w.must(err)
	r := w.gone(w.instance(i.ID))
	r.EndAt, r.Evidence = april.Add(-90*time.Minute), cloud.EvidenceLog
	w.record(r)
	draft, err := w.DraftInvoice(ctx, operator, w.now, w.wantedInvoice(april), meter.Invoice)
	w.must(err)
	if len(draft.Lines) != 0 {
		t.Errorf("before its hours are corrected nothing is known to be wrong: %+v", draft.Lines)
	}
	w.later(time.Minute)
	w.closeHours()
	w.now = may.Add(5 * time.Minute)
	w.closeHours()
	second := w.invoice(april)
	want := []cloud.InvoiceLine{{
		Month: march, Correction: true, Kind: cloud.LineUsage, ResourceID: i.ID, Resource: "web1", Slot: "cpu", Meter: cloud.MeterVCPU, PriceID: id("price", "vcpu"),
		Quantity: "-1.5", UnitPrice: "0.0125", Percent: "0", Cost: "-0.01875",
	}}
	if diff := cmp.Diff(want, second.Lines); diff != "" {
		t.Error(diff)
	}
	if second.Subtotal != "-0.01875" || second.Rounding != "-0.00125" || second.Total != "-0.02" {
		t.Errorf("got %+v", second)
	}
	again, err := w.Invoice(ctx, operator, first.ID)
	w.must(err)
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("the frozen one changed: %s", diff)
	}
	if got := store.Query(t, w.DB, `SELECT n || hex(hash) FROM usage_seal WHERE kind = 'invoice' LIMIT 1`); !slices.Equal(got, sealed) {
		t.Error("its link changed")
	}
	// Once corrected, it stays so.
	w.now = may.AddDate(0, 1, 0).Add(5 * time.Minute)
	w.closeHours()
	if third := w.invoice(may); len(third.Lines) != 0 {
		t.Errorf("corrected twice: %+v", third.Lines)
	}
	w.sound()
}

// Nothing of an invoice can be written otherwise, by whomever.
func TestAnInvoiceStaysAsItIs(t *testing.T) {
	w, _ := billedWorld(t)
	w.now = april.Add(10 * time.Minute)
	w.closeHours()
	w.invoice(march)
	w.newTenant("acme")
	const (
		header = `INSERT INTO invoice (seq, id, number, tenant_id, tenant, month, issuer, currency, minor, subtotal, tax_percent, tax, rounding, total, unpriced, lines, hours_seq, head_n, head_hash, created_at) `
		line   = `INSERT INTO invoice_line (invoice, n, tenant_id, month, correction, kind, resource_id, resource, slot, meter, price_id, discount_id, quantity, unit_price, percent, cost) `
		acme   = `(SELECT id FROM tenant WHERE name = 'acme')`
	)
	// copied is the invoice again, for another tenant, with some columns otherwise.
	copied := func(seq, id, tenant, month, currency, headN string) string {
		return header + `SELECT ` + seq + `, ` + id + `, ` + id + `, ` + tenant + `, tenant, ` + month + `, issuer, ` + currency +
			`, minor, subtotal, tax_percent, tax, rounding, total, unpriced, 2, hours_seq, ` + headN + `, (SELECT hash FROM usage_seal ORDER BY n DESC LIMIT 1), created_at FROM invoice WHERE seq = 1`
	}
	lineLike := func(invoice, n, tenant, month, correction, kind string) string {
		return line + `SELECT ` + invoice + `, ` + n + `, ` + tenant + `, ` + month + `, ` + correction + `, ` + kind + `, resource_id, resource, slot, meter, price_id, discount_id, quantity, unit_price, percent, cost FROM invoice_line WHERE invoice = 1 AND n = 1`
	}
	const head = `(SELECT MAX(n) FROM usage_seal)`
	april1 := `1775001600000`
	db := raw(t, w.path)
	for _, tc := range []struct{ stmt, says string }{
		{`UPDATE invoice SET total = '0'`, "rows stay"},
		{`DELETE FROM invoice`, "rows stay"},
		{`UPDATE invoice_line SET cost = '0'`, "rows stay"},
		{`DELETE FROM invoice_line`, "rows stay"},
		{`INSERT OR REPLACE INTO invoice SELECT * FROM invoice`, "invoice: not the head"},
		{copied(`3`, `'x'`, acme, `month`, `currency`, head), "no gaps"},
		{copied(`0`, `'x'`, acme, `month`, `currency`, head), "no gaps"},
		{copied(`2`, `'x'`, `tenant_id`, `month`, `currency`, head), "UNIQUE"},
		{copied(`2`, `id`, acme, `month`, `currency`, head), "UNIQUE"},
		{copied(`2`, `'x'`, `'nobody'`, `month`, `currency`, head), "FOREIGN KEY"},
		{copied(`2`, `'x'`, acme, `month + 1`, `currency`, head), "first instant"},
		{copied(`2`, `'x'`, acme, `month - 86400000`, `currency`, head), "first instant"},
		{copied(`2`, `'x'`, acme, april1, `currency`, head), "not closed"},
		{copied(`2`, `'x'`, acme, `month`, `'USD'`, head), "currency"},
		{copied(`2`, `'x'`, acme, `month`, `currency`, `1`), "head of the chain"},
		{lineLike(`1`, `2`, `tenant_id`, `month`, `0`, `kind`), "is sealed"},
	} {
		if _, err := db.Exec(tc.stmt); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: got %v, want an error that says %q", tc.stmt, err, tc.says)
		}
	}
	// Of an invoice that has room for two lines and no seal.
	if _, err := db.Exec(`INSERT INTO usage_recount SELECT month, ` + acme + ` FROM invoice`); err == nil {
		if _, err := db.Exec(copied(`2`, `'x'`, acme, `month`, `currency`, head)); err == nil || !strings.Contains(err.Error(), "wait for their correction") {
			t.Errorf("with hours to be corrected: %v", err)
		}
		_, err = db.Exec(`DELETE FROM usage_recount`)
		w.must(err)
	}
	_, err := db.Exec(copied(`2`, `'x'`, acme, `month`, `currency`, head))
	w.must(err)
	for _, tc := range []struct{ stmt, says string }{
		{lineLike(`2`, `1`, `tenant_id`, `month`, `0`, `kind`), "of another tenant"},
		{lineLike(`2`, `1`, acme, april1, `0`, `kind`), "another month"},
		{lineLike(`2`, `1`, acme, `month`, `1`, `kind`), "another month"},
		{lineLike(`2`, `2`, acme, `month`, `0`, `kind`), "not the next"},
		{lineLike(`2`, `1`, acme, `month`, `0`, `'gift'`), "CHECK"},
		{strings.Replace(lineLike(`2`, `1`, acme, `month`, `0`, `kind`), "price_id, discount_id, quantity, unit_price, percent, cost FROM", "'nosuch', discount_id, quantity, unit_price, percent, cost FROM", 1), "FOREIGN KEY"},
	} {
		if _, err := db.Exec(tc.stmt); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: got %v, want an error that says %q", tc.stmt, err, tc.says)
		}
	}
	_, err = db.Exec(`INSERT INTO usage_seal SELECT MAX(n) + 1, 'invoice', 2, zeroblob(32) FROM usage_seal`)
	w.must(err)
	if _, err := db.Exec(lineLike(`2`, `1`, acme, `month`, `0`, `kind`)); err == nil || !strings.Contains(err.Error(), "sealed") {
		t.Errorf("a line behind the seal: %v", err)
	}
}

// What was done to an invoice by hand, past the triggers, is found and named.
func TestVerifyFindsWhatWasDoneToAnInvoice(t *testing.T) {
	for _, tc := range []struct {
		stmt string
		want []meter.Check
	}{
		{`UPDATE invoice SET issuer = 'somebody'`, []meter.Check{meter.CheckChain}},
		{`UPDATE invoice SET total = '0.04'`, []meter.Check{meter.CheckChain, meter.CheckInvoice}},
		{`UPDATE invoice_line SET resource = 'x'`, []meter.Check{meter.CheckChain}},
		{`UPDATE invoice_line SET quantity = '3'`, []meter.Check{meter.CheckChain, meter.CheckInvoice}},
		{`UPDATE invoice_line SET cost = 'much'`, []meter.Check{meter.CheckChain, meter.CheckInvoice}},
		{`DELETE FROM invoice_line`, []meter.Check{meter.CheckChain, meter.CheckInvoice}},
		{`DELETE FROM invoice_line; DELETE FROM invoice`, []meter.Check{meter.CheckChain}},
		{`DELETE FROM usage_seal WHERE kind = 'invoice'`, []meter.Check{meter.CheckChain}},
		{`UPDATE invoice SET seq = 2; UPDATE invoice_line SET invoice = 2`, []meter.Check{meter.CheckChain, meter.CheckInvoice}},
	} {
		w, _ := billedWorld(t)
		w.now = april.Add(10 * time.Minute)
		w.closeHours()
		w.invoice(march)
		for _, trigger := range store.Query(t, w.DB, `SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'invoice%' OR name = 'usage_seal_no_delete'`) {
			w.must(store.Exec(w.DB, `DROP TRIGGER `+trigger))
		}
		w.must(store.Exec(w.DB, `PRAGMA foreign_keys = OFF`))
		w.must(store.Exec(w.DB, tc.stmt))
		var got []meter.Check
		for _, f := range w.verify().Findings {
			if !slices.Contains(got, f.Check) {
				got = append(got, f.Check)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: found %v, want %v", tc.stmt, got, tc.want)
		}
	}
}

// Bytes that were counted in a month and written down behind its invoice are on
// the next one.
func TestLateBytesAreOnTheNextInvoice(t *testing.T) {
	w, i := billedWorld(t)
	w.price("egress", func(p *cloud.Price) { p.Meter, p.UnitPrice = cloud.MeterEgress, "0.5" })
	run := w.instance(i.ID).StartedAt
	count := func(at time.Time, bytes int64) {
		w.must(w.RecordTraffic(ctx, w.now, []cloud.TrafficReading{{InstanceID: i.ID, Run: run, At: at, NICs: nics("vnet0", bytes, 0)}}))
	}
	w.now = april.Add(-time.Hour)
	count(w.now, 4_000_000_000)
	w.now = april.Add(10 * time.Minute)
	w.closeHours()
	egress := func(month time.Time) (out []string) {
		for _, l := range w.invoice(month).Lines {
			if l.Meter == cloud.MeterEgress {
				out = append(out, l.Month.Format("2006-01")+" "+l.Quantity+" "+l.Cost)
			}
		}
		return out
	}
	if got := egress(march); !slices.Equal(got, []string{"2026-03 4 2"}) {
		t.Errorf("March: %v", got)
	}
	count(april.Add(-time.Minute), 5_000_000_000)
	w.now = april.Add(time.Hour)
	count(w.now, 7_500_000_000)
	w.now = may.Add(10 * time.Minute)
	w.closeHours()
	// Of the 2.5 GB that were counted in 61 minutes one minute is of March.
	if got := egress(april); !slices.Equal(got, []string{"2026-04 2.459016394 1.229508197", "2026-03 1.040983606 0.520491803"}) {
		t.Errorf("April: %v", got)
	}
	w.now = may.AddDate(0, 1, 0).Add(10 * time.Minute)
	w.closeHours()
	if got := egress(may); len(got) != 0 {
		t.Errorf("May: %v", got)
	}
	w.sound()
}

// Behind a restore the numbers of the invoices that are lost with it are given
// again. It is said of each, until the operator has taken another prefix.
func TestANumberThatARestoreMayGiveTwiceIsSaidSo(t *testing.T) {
	w, _ := billedWorld(t)
	acme := w.newTenant("acme")
	w.now = april.Add(time.Hour)
	w.closeHours()
	message := func(tenant string, month time.Time, prefix string) string {
		t.Helper()
		n := w.wantedInvoice(month)
		n.ID, n.TenantID, n.Prefix = id("invoice", tenant, month), tenant, prefix
		i, err := w.CreateInvoice(ctx, operator, w.later(time.Second), n, meter.Invoice)
		w.must(err)
		return store.Query(t, w.DB, `SELECT message FROM event WHERE type = 'invoice.created' AND subject_id = '`+i.ID+`'`)[0]
	}
	twice := "lodge was restored from a backup of 2026-04-01 01:00 UTC: an invoice that was made after that, and is lost, may have had this number."
	if m := message(w.tenant.ID, march, "INV-"); strings.Contains(m, "restored") {
		t.Errorf("without a restore: %s", m)
	}
	w.must(w.MarkRestored(ctx, w.later(time.Hour), "b1", april.Add(time.Hour)))
	w.must(w.Adopt(ctx, hostID, w.later(time.Minute), nil, cloud.RestoreReport{}, w.sightOf()))
	if m := message(acme.ID, march, "INV-"); !strings.HasPrefix(m, "The invoice INV-000002 of 2026-03 is made: ") || !strings.Contains(m, twice) {
		t.Errorf("behind a restore: %s", m)
	}
	w.now = may.Add(time.Hour)
	w.closeHours()
	if m := message(acme.ID, april, "R1-"); strings.Contains(m, "restored") {
		t.Errorf("with a prefix of its own: %s", m)
	}
	if m := message(w.tenant.ID, april, "INV-"); !strings.Contains(m, twice) {
		t.Errorf("with the old prefix again: %s", m)
	}
}

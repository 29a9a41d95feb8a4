package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"lodge/cloud"
)

// CreateInvoice freezes a month of a tenant: what was used in it and what is to
// be corrected of earlier months, as makes has it, in one transaction
// with its number and its link of the chain. The month's late truths are on a
// later invoice.
//
// Returns CodeForbidden for anybody but an operator, CodeNotFound for the tenant,
// CodeInvalid for a month that was over before the tenant was made too, and
// CodeConflict for a month that is not closed yet or has its invoice, and before
// there is a price.
func (d *DB) CreateInvoice(ctx context.Context, c cloud.Caller, now time.Time, n cloud.NewInvoice, makes cloud.MakeInvoice) (i cloud.Invoice, err error) {
	if err := onlyOperator(c, "makes invoices"); err != nil {
		return i, err
	}
	err = d.write(ctx, now, c, "invoice.create", func(t *tx) error {
		in, err := invoiceInput(t, n.TenantID, n.Month, t.now, n.InvoiceTerms)
		if err != nil {
			return err
		}
		if err := frozen(t, n.TenantID, n.Month, t.now); err != nil {
			return err
		}
		if i, err = makes(in); err != nil {
			return err
		}
		i.ID, i.Created = n.ID, t.now
		if err := t.number(&i, n.InvoiceTerms); err != nil {
			return err
		}
		twice, err := t.givenBefore(n.Prefix)
		if err != nil {
			return err
		}
		if err := t.insertInvoice(i); err != nil {
			return err
		}
		t.answer = i
		return t.event(i.TenantID, cloud.Ref{Kind: cloud.KindInvoice, ID: i.ID}, i.Number, "invoice.created",
			fmt.Sprintf("The invoice %s of %s is made: %s %s.", i.Number, i.Month.Format("2006-01"), i.Total, i.Currency.Code)+twice, nil)
	})
	return i, err
}

// number gives the invoice its place: the next number, the newest hour, the end of
// the chain and of the intervals.
func (t *tx) number(i *cloud.Invoice, terms cloud.InvoiceTerms) (err error) {
	if err = t.row(`SELECT 1 + COALESCE(MAX(seq), 0) FROM invoice`).Scan(&i.Seq); err != nil {
		return err
	}
	if err = t.row(`SELECT COALESCE(MAX(seq), 0) FROM usage_hour WHERE tenant_id = ?`, i.TenantID).Scan(&i.HoursSeq); err != nil {
		return err
	}
	if err = t.row(`SELECT name FROM tenant WHERE id = ?`, i.TenantID).Scan(&i.Tenant); err != nil {
		return err
	}
	if i.NextInterval, err = nextInterval(t); err != nil {
		return err
	}
	i.Number = terms.NumberOf(i.Seq)
	i.Head, err = chainHead(t)
	return err
}

// chainHead is the number and the hash of the last link.
func chainHead(s source) (cloud.UsageSeal, error) {
	last, err := lastSeal(s)
	return cloud.UsageSeal{N: last.N, Hash: last.Hash}, err
}

// frozen returns CodeConflict unless all hours of the month are closed, none of
// them waits for its correction, and there is no invoice of it.
func frozen(s source, tenantID string, month, now time.Time) error {
	there, found, err := one(s, scanInvoice, invoiceQuery+` WHERE tenant_id = ? AND month = ?`, tenantID, stamp(month))
	if err != nil {
		return err
	}
	if found {
		return cloud.Errorf(cloud.CodeConflict, "The month %s has its invoice already, %s; what was found out since is corrected on the next one.", month.Format("2006-01"), there.Number)
	}
	last, err := lastClosed(s)
	if err != nil {
		return err
	}
	end := month.AddDate(0, 1, 0)
	if last.IsZero() || last.Add(time.Hour).Before(end) {
		until := "no hour is closed yet"
		if !last.IsZero() {
			until = "hours are closed until " + last.Add(time.Hour).Format(time.RFC3339)
		}
		if !now.Before(end) {
			return again("The month %s is over, and its last hours are being closed: %s. Try again in a minute.", month.Format("2006-01"), until)
		}
		return cloud.Errorf(cloud.CodeConflict, "The month %s is not over: it ends at %s, and %s. Ask for the draft meanwhile.", month.Format("2006-01"), end.Format(time.RFC3339), until)
	}
	waits, err := exists(s, `SELECT 1 FROM usage_recount WHERE tenant_id = ? AND hour >= ? AND hour < ?`, tenantID, stamp(month), stamp(end))
	if err == nil && waits {
		err = again("Hours of %s are being corrected right now; try again in a minute.", month.Format("2006-01"))
	}
	return err
}

// again is CodeConflict about what lodge itself puts right within a minute.
func again(format string, args ...any) error {
	e := cloud.Errorf(cloud.CodeConflict, format, args...)
	e.RetryAfter = time.Minute
	return e
}

// refuseBefore returns CodeInvalid for a month that was over before the tenant was
// made: it is mistyped, and an invoice is never taken back.
func refuseBefore(s source, tenantID string, month time.Time) error {
	var name string
	var made sql.NullInt64
	if err := s.row(`SELECT name, created_at FROM tenant WHERE id = ?`, tenantID).Scan(&name, &made); err != nil {
		return err
	}
	if since := moment(made); !month.AddDate(0, 1, 0).After(since) {
		return invalid("month", "The tenant %s was made at %s, when the month %s was over; there is nothing to invoice.", name, since.Format(time.RFC3339), month.Format("2006-01"))
	}
	return nil
}

// DraftInvoice is what the invoice of a month would be, as known now. It has no
// number and nothing is written. Returns CodeNotFound for a tenant that the caller
// may not see, CodeInvalid for a month that has not begun or was over before the tenant was made, CodeConflict for
// one that has its invoice and before there is a price.
func (d *DB) DraftInvoice(ctx context.Context, c cloud.Caller, now time.Time, n cloud.NewInvoice, makes cloud.MakeInvoice) (i cloud.Invoice, err error) {
	tenantID, err := scope(c, n.TenantID)
	if err != nil {
		return i, err
	}
	st, err := d.reader.BeginTx(ctx, nil)
	if err != nil {
		return i, fail("draft invoice", err)
	}
	defer st.Rollback() // it has changed nothing
	s := ledger{sql: st, ctx: ctx}
	if there, found, err := one(s, scanInvoice, invoiceQuery+` WHERE tenant_id = ? AND month = ?`, tenantID, stamp(n.Month)); err != nil {
		return i, fail("draft invoice", err)
	} else if found {
		return i, cloud.Errorf(cloud.CodeConflict, "The month %s has its invoice, %s; show that one.", n.Month.Format("2006-01"), there.Number)
	}
	in, err := invoiceInput(s, tenantID, n.Month, now, n.InvoiceTerms)
	if err != nil {
		return i, fail("draft invoice", err)
	}
	if i, err = makes(in); err != nil {
		return i, fail("draft invoice", err)
	}
	if i.Head, err = chainHead(s); err != nil {
		return i, fail("draft invoice", err)
	}
	i.Created = now.UTC().Truncate(time.Millisecond)
	err = s.row(`SELECT name FROM tenant WHERE id = ?`, tenantID).Scan(&i.Tenant)
	return i, fail("draft invoice", err)
}

// invoiceInput reads what an invoice is made from.
func invoiceInput(s source, tenantID string, month, now time.Time, terms cloud.InvoiceTerms) (in cloud.InvoiceInput, err error) {
	if !month.Equal(cloud.Month(month)) {
		return in, invalid("month", "An invoice is of a month such as 2026-11.")
	}
	if month.After(now) {
		return in, invalid("month", "The month %s has not begun.", month.Format("2006-01"))
	}
	if err := cloud.ValidateTerms(terms); err != nil {
		return in, err
	}
	if err := refuseUnknown(s, cloud.Caller{}, tenantID, ""); err != nil {
		return in, err
	}
	if tenantID == "" {
		return in, invalid("tenant", "An invoice is of one tenant; name it.")
	}
	if err := refuseBefore(s, tenantID, month); err != nil {
		return in, err
	}
	code, err := currency(s)
	if err != nil {
		return in, err
	}
	if code == "" {
		return in, cloud.Errorf(cloud.CodeConflict, "There is no price yet, and so no currency to invoice in; set one first.")
	}
	in = cloud.InvoiceInput{TenantID: tenantID, Month: month, Now: now, Terms: terms, Currency: cloud.CurrencyOf(code)}
	if end := month.AddDate(0, 1, 0); now.After(end) {
		in.Now = end
	}
	if in.Ledger, err = ledgerPart(s, tenantID, month, month.AddDate(0, 1, 0)); err != nil {
		return in, err
	}
	in.Late, err = lateMonths(s, tenantID, month)
	return in, err
}

// ledgerPart is what the charges of a period of a tenant are made from.
func ledgerPart(s source, tenantID string, from, to time.Time) (p cloud.LedgerPart, err error) {
	if p.Traffic, err = collect(s, scanTraffic, trafficQuery+`
		WHERE tenant_id = ?
		  AND ended_at > ?
		  AND ended_at <= ?
		ORDER BY seq`, tenantID, stamp(from), stamp(to)); err != nil {
		return p, err
	}
	from, to = cloud.ChargeWindow(from, to)
	if p.Intervals, err = intervalsDuring(s, tenantID, from, to); err != nil {
		return p, err
	}
	if p.Facts, err = collect(s, scanFact, factQuery+`
		WHERE tenant_id = ?
		  AND since < ?
		ORDER BY resource_id, seq`, tenantID, stamp(to)); err != nil {
		return p, err
	}
	prices, err := collect(s, scanPrice, priceQuery+`
		WHERE tenant_id IS NULL OR tenant_id = ?
		ORDER BY meter, seq`, tenantID)
	if err != nil {
		return p, err
	}
	for _, k := range prices {
		p.Prices = append(p.Prices, k.Price)
	}
	discounts, err := collect(s, scanDiscount, discountQuery+` WHERE tenant_id = ? ORDER BY seq`, tenantID)
	for _, k := range discounts {
		p.Discounts = append(p.Discounts, k.Discount)
	}
	return p, err
}

// lateMonths are the invoiced months of which something was found out after the
// newest invoice: it is what all late truths so far are on. A minimum may be owed
// in the month behind the one that has changed.
func lateMonths(s source, tenantID string, month time.Time) (late []cloud.InvoicedMonth, err error) {
	var known int64
	if err := s.row(`SELECT COALESCE(MAX(hours_seq), 0) FROM invoice WHERE tenant_id = ?`, tenantID).Scan(&known); err != nil {
		return nil, err
	}
	counted, err := lateTraffic(s, tenantID)
	if err != nil {
		return nil, err
	}
	invoiced, err := collect(s, scanInvoice, invoiceQuery+`
		WHERE tenant_id = ?
		  AND month <> ?
		  AND (unixepoch(month / 1000, 'unixepoch', '+1 month') * 1000 >= ? OR EXISTS (
		    SELECT 1
		    FROM usage_hour h
		    WHERE h.tenant_id = invoice.tenant_id
		      AND h.seq > ?
		      AND h.hour >= invoice.month - ?
		      AND h.hour < unixepoch(invoice.month / 1000, 'unixepoch', '+1 month') * 1000
		  ))
		ORDER BY month`, tenantID, stamp(month), counted, known, int64(cloud.MaxMinimumSeconds)*1000)
	if err != nil {
		return nil, err
	}
	for _, i := range invoiced {
		m := cloud.InvoicedMonth{Month: i.Month}
		if m.Ledger, err = ledgerPart(s, tenantID, i.Month, i.Month.AddDate(0, 1, 0)); err != nil {
			return nil, err
		}
		if m.Lines, err = collect(s, scanInvoiceLine, invoiceLineQuery+` WHERE tenant_id = ? AND month = ? ORDER BY invoice, n`, tenantID, stamp(i.Month)); err != nil {
			return nil, err
		}
		late = append(late, m)
	}
	return late, nil
}

// lateTraffic is when the oldest bytes were counted that were written down since
// the newest invoice: what is in invoiced months of it is late. NULL for none.
func lateTraffic(s source, tenantID string) (oldest sql.NullInt64, err error) {
	err = s.row(`
		SELECT MIN(ended_at)
		FROM usage_traffic
		WHERE tenant_id = ?
		  AND seq > COALESCE((
		    SELECT l.ref
		    FROM usage_seal l
		    WHERE l.n <= (SELECT MAX(i.head_n) FROM invoice i WHERE i.tenant_id = ?)
		      AND l.kind = 'traffic'
		    ORDER BY l.n DESC
		    LIMIT 1
		  ), 0)`, tenantID, tenantID).Scan(&oldest)
	return oldest, err
}

// Invoices lists the invoices that the caller may see, without their lines, the
// newest first. Returns CodeNotFound for a tenant that the caller may not see.
func (d *DB) Invoices(ctx context.Context, c cloud.Caller, f cloud.InvoiceFilter) ([]cloud.Invoice, error) {
	tenantID, err := scope(c, f.TenantID)
	if err != nil {
		return nil, err
	}
	var w where
	if tenantID != "" {
		w.and("tenant_id = ?", tenantID)
	}
	if !f.Month.IsZero() {
		w.and("month = ?", stamp(f.Month))
	}
	out, err := collect(d.read(ctx), scanInvoice, invoiceQuery+w.String()+` ORDER BY seq DESC`, w.args...)
	return out, fail("list invoices", err)
}

// Invoice returns an invoice with its lines. Returns CodeNotFound when there is
// none, or it is another tenant's.
func (d *DB) Invoice(ctx context.Context, c cloud.Caller, id string) (cloud.Invoice, error) {
	s := d.read(ctx)
	i, found, err := one(s, scanInvoice, invoiceQuery+` WHERE id = ?`, id)
	if err == nil && (!found || !c.Sees(i.TenantID)) {
		return cloud.Invoice{}, cloud.Errorf(cloud.CodeNotFound, "There is no invoice %q; list the invoices to see them.", id)
	}
	if err == nil {
		i.Lines, err = invoiceLines(s, i.Seq)
	}
	return i, fail("read invoice", err)
}

// BillingAccounts are the tenants that used anything, deleted ones included, by
// id. Returns CodeNotFound for a tenant that the caller may not see.
func (d *DB) BillingAccounts(ctx context.Context, c cloud.Caller, tenantID string) ([]cloud.BillingAccount, error) {
	tenantID, err := scope(c, tenantID)
	if err != nil {
		return nil, err
	}
	var w where
	w.and("EXISTS (SELECT 1 FROM usage_interval u WHERE u.tenant_id = tenant.id)")
	if tenantID != "" {
		w.and("id = ?", tenantID)
	}
	scan := func(rows *sql.Rows) (a cloud.BillingAccount, err error) { return a, rows.Scan(&a.ID, &a.Name) }
	out, err := collect(d.read(ctx), scan, `SELECT id, name FROM tenant`+w.String()+` ORDER BY id`, w.args...)
	return out, fail("list billing accounts", err)
}

// ClosedUntil is until when hours are closed, zero for none.
func (d *DB) ClosedUntil(ctx context.Context) (time.Time, error) {
	last, err := lastClosed(d.read(ctx))
	if err == nil && !last.IsZero() {
		last = last.Add(time.Hour)
	}
	return last, fail("read closed hours", err)
}

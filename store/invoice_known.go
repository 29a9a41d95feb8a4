package store

import (
	"database/sql"
	"time"

	"lodge/cloud"
)

// The rows of the ledger as they were known when an invoice was made: what the
// chain had covered before its head is as it is; an interval that was covered
// later and had been opened before was still running, and one that was dropped
// later too; of the book what was made and ended before counts.

// InvoicesByTenant calls f with each invoice and its lines, by tenant and number.
func (l ledger) InvoicesByTenant(f func(cloud.Invoice) error) error {
	return l.invoices(f, invoiceQuery+` ORDER BY tenant_id, seq`)
}

func (l ledger) invoices(f func(cloud.Invoice) error, query string) error {
	return each(l, scanInvoice, func(i cloud.Invoice) (err error) {
		if i.Lines, err = invoiceLines(l, i.Seq); err != nil {
			return err
		}
		return f(i)
	}, query)
}

const knownIntervals = `
		SELECT` + openingColumns + `,
		  CASE WHEN s.n <= ? THEN ended_at END,
		  CASE WHEN s.n <= ? THEN evidence ELSE '' END
		FROM usage_interval u
		LEFT JOIN usage_seal s ON s.kind = 'interval' AND s.ref = u.seq
		WHERE u.tenant_id = ?
		  AND u.seq < ?
		  AND u.started_at < ?
		  AND (s.n IS NULL OR s.n > ? OR u.ended_at > ?)
		ORDER BY u.seq`

// knownDrops are rows that were dropped since as ended before they began: of what
// ran, for only that ends by what is found out.
const knownDrops = `
		SELECT
		  seq,
		  tenant_id,
		  resource_id,
		  '',
		  slot,
		  meter,
		  amount,
		  'running',
		  started_at,
		  NULL,
		  ''
		FROM usage_drop d
		JOIN usage_seal s ON s.kind = 'drop' AND s.ref = d.seq
		WHERE d.tenant_id = ?
		  AND d.seq < ?
		  AND d.started_at < ?
		  AND s.n > ?
		ORDER BY d.seq`

// Known is what the invoice i had to be made from, of the month: the ledger and the
// book as of i's head. Intervals from the number next on were not there; 0 leaves
// out all that the chain does not show to have been there.
func (l ledger) Known(i cloud.Invoice, month time.Time, next int64) (p cloud.LedgerPart, err error) {
	head, end := i.Head.N, month.AddDate(0, 1, 0)
	if next == 0 {
		if err = l.row(`SELECT 1 + COALESCE(MAX(ref), 0) FROM usage_seal WHERE kind IN ('interval', 'drop') AND n <= ?`, head).Scan(&next); err != nil {
			return p, err
		}
	}
	if p.Traffic, err = collect(l, scanTraffic, trafficQuery+`
		WHERE tenant_id = ?
		  AND ended_at > ?
		  AND ended_at <= ?
		  AND seq IN (SELECT ref FROM usage_seal WHERE kind = 'traffic' AND ref = usage_traffic.seq AND n <= ?)
		ORDER BY seq`, i.TenantID, stamp(month), stamp(end), head); err != nil {
		return p, err
	}
	from, to := cloud.ChargeWindow(month, end)
	if p.Intervals, err = collect(l, scanInterval, knownIntervals, head, head, i.TenantID, next, stamp(to), head, stamp(from)); err != nil {
		return p, err
	}
	dropped, err := collect(l, scanInterval, knownDrops, i.TenantID, next, stamp(to), head)
	if err != nil {
		return p, err
	}
	p.Intervals = append(p.Intervals, dropped...)
	if p.Facts, err = collect(l, scanFact, factQuery+`
		WHERE tenant_id = ?
		  AND since < ?
		  AND seq IN (SELECT ref FROM usage_seal WHERE kind = 'fact' AND ref = usage_fact.seq AND n <= ?)
		ORDER BY resource_id, seq`, i.TenantID, stamp(to), head); err != nil {
		return p, err
	}
	prices, err := collect(l, scanPrice, priceColumns+knownBook("price")+`
		WHERE tenant_id IS NULL OR tenant_id = ?
		ORDER BY meter, seq`, head, head, i.TenantID)
	if err != nil {
		return p, err
	}
	for _, k := range prices {
		p.Prices = append(p.Prices, k.Price)
	}
	discounts, err := collect(l, scanDiscount, discountColumns+knownBook("discount")+`
		WHERE tenant_id = ?
		ORDER BY seq`, head, head, i.TenantID)
	for _, k := range discounts {
		p.Discounts = append(p.Discounts, k.Discount)
	}
	return p, err
}

// knownBook is the rows of a table of the book up to a link of the chain, with the
// ends that they had been given up to it.
func knownBook(table string) string {
	return `FROM (
		  SELECT b.*, COALESCE(e.ended_at, b.valid_to) AS until
		  FROM ` + table + ` b
		  JOIN usage_seal s ON s.kind = '` + table + `' AND s.ref = b.seq AND s.n <= ?
		  LEFT JOIN usage_seal x ON x.kind = '` + table + `_end' AND x.ref = b.seq AND x.n <= ?
		  LEFT JOIN ` + table + `_end e ON e.seq = x.ref
		)`
}

// Revised reports whether something of the month was found out between two
// invoices of a tenant: an hour of it, or one before that a minimum reaches from,
// was revised, or bytes of it were written down.
func (l ledger) Revised(prev, i cloud.Invoice, month time.Time) (bool, error) {
	end := stamp(month.AddDate(0, 1, 0))
	revised, err := exists(l, `
		SELECT 1
		FROM usage_hour
		WHERE tenant_id = ?
		  AND hour >= ?
		  AND hour < ?
		  AND seq > ?
		  AND seq <= ?`, i.TenantID, month.UnixMilli()-int64(cloud.MaxMinimumSeconds)*1000, end, prev.HoursSeq, i.HoursSeq)
	if err != nil || revised {
		return revised, err
	}
	return exists(l, `
		SELECT 1
		FROM usage_traffic u
		JOIN usage_seal s ON s.kind = 'traffic' AND s.ref = u.seq
		WHERE u.tenant_id = ?
		  AND u.ended_at > ?
		  AND u.ended_at <= ?
		  AND s.n > ?
		  AND s.n <= ?`, i.TenantID, stamp(month), end, prev.Head.N, i.Head.N)
}

// nextInterval is the number that the next interval gets.
func nextInterval(s source) (next int64, err error) {
	var last sql.NullInt64
	err = s.row(`SELECT MAX(seq) FROM sqlite_sequence WHERE name = 'usage_interval'`).Scan(&last)
	return last.Int64 + 1, err
}

package store

import (
	"database/sql"
	"fmt"

	"lodge/cloud"
)

// misfits are what no chain covers and other rows tell of. Each query gives a number
// and a text for its sentence.
var misfits = []struct{ table, query, says string }{
	{"usage_close", `
		SELECT rowid, quote(hour)
		FROM usage_close
		WHERE typeof(hour) <> 'integer'
		ORDER BY rowid`, "The hour %s is none."},
	{"usage_close", `
		SELECT c.hour, strftime('%Y-%m-%dT%H:%M:%SZ', c.hour / 1000, 'unixepoch')
		FROM usage_close c
		WHERE c.hour <> (SELECT MIN(hour) FROM usage_close)
		  AND typeof(c.hour) = 'integer'
		  AND NOT EXISTS (SELECT 1 FROM usage_close b WHERE b.hour = c.hour - 3600000)
		ORDER BY c.hour`, "The hour before %s is not closed."},
	{"usage_close", `
		SELECT h.hour, strftime('%Y-%m-%dT%H:%M:%SZ', h.hour / 1000, 'unixepoch')
		FROM usage_hour h
		LEFT JOIN usage_close c ON c.hour = h.hour
		WHERE h.revision = 1
		  AND h.closed_at IS NOT c.closed_at
		GROUP BY h.hour
		ORDER BY h.hour`, "The hour %s was closed at another moment than its rows of tenants say."},
	{"invoice_line", `
		SELECT l.invoice, MAX(l.n)
		FROM invoice_line l
		WHERE NOT EXISTS (SELECT 1 FROM invoice i WHERE i.seq = l.invoice)
		GROUP BY l.invoice
		ORDER BY l.invoice`, "Up to line %s there are lines of an invoice with this number, and there is no such invoice."},
	{"invoice", `
		SELECT i.seq, i.currency || ', and the book is in ' || c.currency
		FROM invoice i
		JOIN price_currency c ON c.currency <> i.currency
		ORDER BY i.seq`, "The invoice is in %s."},
	{"price", `
		SELECT p.seq, p.currency || ', and the book is in ' || c.currency
		FROM price p
		JOIN price_currency c ON c.currency <> p.currency
		ORDER BY p.seq`, "The price is in %s."},
	{"price_currency", `
		SELECT 0, MIN(currency)
		FROM price
		WHERE NOT EXISTS (SELECT 1 FROM price_currency)
		HAVING COUNT(*) > 0`, "The prices are in %s, and the book has no currency."},
	{"usage_seal", `
		SELECT n, n
		FROM usage_seal
		WHERE n < 1
		ORDER BY n`, "The chain begins with 1, and there is a link %s."},
}

func (l ledger) Misfits(f func(cloud.Misfit) error) error {
	for _, m := range misfits {
		scan := func(rows *sql.Rows) (out cloud.Misfit, err error) {
			var text string
			err = rows.Scan(&out.Row, &text)
			out.Table, out.Why = m.table, fmt.Sprintf(m.says, text)
			return out, err
		}
		if err := each(l, scan, f, m.query); err != nil {
			return err
		}
	}
	return nil
}

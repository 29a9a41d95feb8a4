package store

import (
	"context"
	"database/sql"
	"time"

	"lodge/cloud"
)

// ReadLedger calls f with the whole ledger as of one moment.
func (d *DB) ReadLedger(ctx context.Context, f func(cloud.Ledger) error) error {
	st, err := d.reader.BeginTx(ctx, nil)
	if err != nil {
		return fail("read ledger", err)
	}
	defer st.Rollback() // it has changed nothing
	err = f(ledger{st, ctx, &strange{told: map[string]bool{}}})
	d.damage.note(err)
	return fail("read ledger", err)
}

// ledger is a cloud.Ledger on one read transaction.
type ledger struct {
	sql   *sql.Tx
	ctx   context.Context
	wrong *strange // rows that are no rows of lodge; nil: the first one is an error
}

func (l ledger) rows(query string, args ...any) (lines, error) {
	rows, err := l.sql.QueryContext(l.ctx, query, args...)
	return lines{rows, nil}, err
}

func (l ledger) row(query string, args ...any) line {
	return line{l.sql.QueryRowContext(l.ctx, query, args...), nil}
}

func (l ledger) Intervals(f func(cloud.Interval) error) error {
	return each(l, scanInterval, f, intervalQuery+` ORDER BY started_at, seq`)
}

func (l ledger) Traffic(hour time.Time, f func(cloud.Traffic) error) error {
	rows, err := trafficOfHour(l, "", hour)
	for _, u := range rows {
		if err == nil {
			err = f(u)
		}
	}
	return err
}

func (l ledger) Drops(f func(cloud.UsageDrop) error) error {
	return each(l, scanDrop, f, dropQuery+` ORDER BY seq`)
}

func (l ledger) Facts(f func(cloud.UsageFact) error) error {
	return each(l, scanFact, f, factQuery+` ORDER BY seq`)
}

func (l ledger) Hours(f func(cloud.UsageHour) error) error {
	return each(l, scanWholeHour, f, hourQuery+` ORDER BY hour, tenant_id, revision`)
}

// sealedAtOnce is how many links are read before their rows.
const sealedAtOnce = 1000

func (l ledger) Seals(f func(cloud.UsageSeal, []byte) error) error {
	for n := int64(0); ; {
		links, err := collect(l, scanSeal, sealQuery+` WHERE n > ? ORDER BY n LIMIT ?`, n, sealedAtOnce)
		if err != nil || len(links) == 0 {
			return err
		}
		for _, link := range links {
			row, err := l.sealed(link.Kind, link.Ref)
			if err != nil {
				return err
			}
			if err := f(link, row); err != nil {
				return err
			}
			n = link.N
		}
	}
}

// sealed is what the chain covers: each kind of row, which of them have become
// final, and how one is read.
var sealed = []struct {
	kind  cloud.SealKind
	final string // a query of their numbers, as ref
	row   func(s source, ref int64) ([]byte, error)
}{
	{cloud.SealOpened, `SELECT seq AS ref FROM usage_interval WHERE ended_at IS NULL OR seq >= (SELECT from_seq FROM usage_opening)`, openedRow},
	{cloud.SealInterval, `SELECT seq AS ref FROM usage_interval WHERE ended_at IS NOT NULL`, sealedRow(scanInterval, intervalQuery+` WHERE seq = ? AND ended_at IS NOT NULL`)},
	{cloud.SealDrop, `SELECT seq AS ref FROM usage_drop`, sealedRow(scanDrop, dropQuery+` WHERE seq = ?`)},
	{cloud.SealFact, `SELECT seq AS ref FROM usage_fact`, sealedRow(scanFact, factQuery+` WHERE seq = ?`)},
	{cloud.SealStep, `SELECT seq AS ref FROM usage_clock_step`, sealedRow(scanStep, stepQuery+` WHERE seq = ?`)},
	{cloud.SealHour, `SELECT seq AS ref FROM usage_hour`, sealedRow(scanHour, hourQuery+` WHERE seq = ?`)},
	{cloud.SealTraffic, `SELECT seq AS ref FROM usage_traffic`, sealedRow(scanTraffic, trafficQuery+` WHERE seq = ?`)},
	{cloud.SealPrice, `SELECT seq AS ref FROM price`, sealedRow(scanPrice, pricesMade+` WHERE seq = ?`)},
	{cloud.SealPriceEnd, `SELECT seq AS ref FROM price_end`, sealedRow(scanBookEnd, bookEndQuery("price"))},
	{cloud.SealDiscount, `SELECT seq AS ref FROM discount`, sealedRow(scanDiscount, discountsMade+` WHERE seq = ?`)},
	{cloud.SealDiscountEnd, `SELECT seq AS ref FROM discount_end`, sealedRow(scanBookEnd, bookEndQuery("discount"))},
	{cloud.SealInvoice, `SELECT seq AS ref FROM invoice`, sealedInvoice},
}

// sealed is a row as the chain covers it, nil when there is none.
func (l ledger) sealed(kind cloud.SealKind, ref int64) ([]byte, error) {
	for _, k := range sealed {
		if k.kind == kind {
			return k.row(l, ref)
		}
	}
	return nil, nil
}

func sealedRow[T interface{ Sealed() []byte }](scan func(*sql.Rows) (T, error), query string) func(source, int64) ([]byte, error) {
	return func(s source, ref int64) ([]byte, error) {
		v, found, err := one(s, scan, query, ref)
		if err != nil || !found {
			return nil, err
		}
		return v.Sealed(), nil
	}
}

// openedQuery is an interval as it was opened, also when it was dropped since.
const openedQuery = intervalQuery + `
		WHERE seq = ?
		UNION ALL
		SELECT` + openingColumns + `,
		  NULL,
		  ''
		FROM usage_drop
		WHERE seq = ?`

func openedRow(s source, seq int64) ([]byte, error) {
	iv, found, err := one(s, scanInterval, openedQuery, seq, seq)
	if err != nil || !found {
		return nil, err
	}
	return iv.Opened(), nil
}

func bookEndQuery(table string) string {
	return `
		SELECT
		  b.id,
		  e.ended_at,
		  e.said_at
		FROM ` + table + `_end e
		JOIN ` + table + ` b ON b.seq = e.seq
		WHERE e.seq = ?`
}

func scanBookEnd(rows *sql.Rows) (e cloud.BookEnd, err error) {
	var at, said sql.NullInt64
	err = rows.Scan(&e.ID, &at, &said)
	e.At, e.Said = moment(at), moment(said)
	return e, err
}

func (l ledger) Unsealed(f func(cloud.SealKind, int64) error) error {
	scan := func(rows *sql.Rows) (ref int64, err error) { return ref, rows.Scan(&ref) }
	for _, k := range sealed {
		err := each(l, scan, func(ref int64) error { return f(k.kind, ref) }, `
			SELECT r.ref
			FROM (`+k.final+`) r
			WHERE NOT EXISTS (SELECT 1 FROM usage_seal s WHERE s.kind = ? AND s.ref = r.ref)
			ORDER BY r.ref`, string(k.kind))
		if err != nil {
			return err
		}
	}
	return nil
}

func (l ledger) Orphans(f func(cloud.Interval) error) error {
	return each(l, scanInterval, f, intervalQuery+`
		WHERE ended_at IS NULL
		  AND NOT EXISTS (SELECT 1 FROM instance i WHERE i.id = resource_id AND i.tenant_id = usage_interval.tenant_id AND i.gone_at IS NULL)
		  AND NOT EXISTS (SELECT 1 FROM image i WHERE i.id = resource_id AND i.tenant_id = usage_interval.tenant_id AND i.gone_at IS NULL)
		ORDER BY seq`)
}

func (l ledger) LastSeq() (int64, error) {
	var seq sql.NullInt64
	err := l.row(`SELECT MAX(seq) FROM sqlite_sequence WHERE name = 'usage_interval'`).Scan(&seq)
	return seq.Int64, err
}

const stepQuery = `
		SELECT
		  seq,
		  host_id,
		  at,
		  wall,
		  adopted
		FROM usage_clock_step`

func (l ledger) Steps(f func(cloud.ClockStep) error) error {
	return each(l, scanStep, f, stepQuery+` ORDER BY seq`)
}

func scanStep(rows *sql.Rows) (s cloud.ClockStep, err error) {
	var at, wall sql.NullInt64
	err = rows.Scan(&s.Seq, &s.HostID, &at, &wall, &s.Adopted)
	s.At, s.Wall = moment(at), moment(wall)
	return s, err
}

func (l ledger) Clocks(f func(cloud.KeptClock) error) error {
	all, err := keptClocks(l, "")
	for _, c := range all {
		if err == nil {
			err = f(c)
		}
	}
	return err
}

// recountKey is an hour that is to be corrected.
type recountKey cloud.UsageHour

func (l ledger) Recounts(f func(cloud.UsageHour) error) error {
	scan := func(rows *sql.Rows) (recountKey, error) {
		h, err := scanHourKey(rows)
		return recountKey(h), err
	}
	return each(l, scan, func(h recountKey) error { return f(cloud.UsageHour(h)) }, `SELECT hour, tenant_id FROM usage_recount`)
}

func (l ledger) Invoices(f func(cloud.Invoice) error) error {
	return l.invoices(f, invoiceQuery+` ORDER BY seq`)
}

func (l ledger) Closed() (from, to time.Time, err error) {
	var first, last sql.NullInt64
	if err := l.row(`SELECT MIN(hour), MAX(hour) FROM usage_close WHERE typeof(hour) = 'integer'`).Scan(&first, &last); err != nil || !first.Valid {
		return from, to, err
	}
	return moment(first), moment(last).Add(time.Hour), nil
}

// each calls f with each row and ends with the first error.
func each[T any](s source, scan func(*sql.Rows) (T, error), f func(T) error, query string, args ...any) error {
	rows, err := s.rows(query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		v, err := scan(rows.Rows)
		if err != nil {
			if l, ok := s.(ledger); ok && l.wrong.note(rows.Rows, v, err) {
				continue
			}
			return err
		}
		if err := f(v); err != nil {
			return err
		}
	}
	return rows.Err()
}

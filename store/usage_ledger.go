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
	return fail("read ledger", f(ledger{st, ctx}))
}

// ledger is a cloud.Ledger on one read transaction.
type ledger struct {
	sql *sql.Tx
	ctx context.Context
}

func (l ledger) rows(query string, args ...any) (*sql.Rows, error) {
	return l.sql.QueryContext(l.ctx, query, args...)
}

func (l ledger) row(query string, args ...any) *sql.Row {
	return l.sql.QueryRowContext(l.ctx, query, args...)
}

func (l ledger) Intervals(f func(cloud.Interval) error) error {
	return each(l, scanInterval, f, intervalQuery+` ORDER BY started_at, seq`)
}

func (l ledger) Drops(f func(cloud.UsageDrop) error) error {
	return each(l, scanDrop, f, dropQuery+` ORDER BY seq`)
}

func (l ledger) Facts(f func(cloud.UsageFact) error) error {
	return each(l, scanFact, f, factQuery+` ORDER BY seq`)
}

func (l ledger) Hours(f func(cloud.UsageHour) error) error {
	return each(l, scanHour, f, hourQuery+` ORDER BY hour, tenant_id, revision`)
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

// sealed is a row as the chain covers it, nil when there is none.
func (l ledger) sealed(kind cloud.SealKind, ref int64) ([]byte, error) {
	switch kind {
	case cloud.SealInterval:
		return sealedRow(l, scanInterval, intervalQuery+` WHERE seq = ? AND ended_at IS NOT NULL`, ref)
	case cloud.SealDrop:
		return sealedRow(l, scanDrop, dropQuery+` WHERE seq = ?`, ref)
	case cloud.SealFact:
		return sealedRow(l, scanFact, factQuery+` WHERE seq = ?`, ref)
	case cloud.SealStep:
		return sealedRow(l, scanStep, stepQuery+` WHERE seq = ?`, ref)
	case cloud.SealHour:
		return sealedRow(l, scanHour, hourQuery+` WHERE seq = ?`, ref)
	}
	return nil, nil
}

func sealedRow[T interface{ Sealed() []byte }](s source, scan func(*sql.Rows) (T, error), query string, ref int64) ([]byte, error) {
	found, err := collect(s, scan, query, ref)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return found[0].Sealed(), nil
}

func (l ledger) Unsealed(f func(cloud.SealKind, int64) error) error {
	type link struct {
		kind cloud.SealKind
		ref  int64
	}
	scan := func(rows *sql.Rows) (k link, err error) { return k, rows.Scan(&k.kind, &k.ref) }
	return each(l, scan, func(k link) error { return f(k.kind, k.ref) }, `
		SELECT r.kind, r.ref
		FROM (
		  SELECT 'interval' AS kind, seq AS ref FROM usage_interval WHERE ended_at IS NOT NULL
		  UNION ALL SELECT 'drop', seq FROM usage_drop
		  UNION ALL SELECT 'fact', seq FROM usage_fact
		  UNION ALL SELECT 'step', seq FROM usage_clock_step
		  UNION ALL SELECT 'hour', seq FROM usage_hour
		) r
		WHERE NOT EXISTS (SELECT 1 FROM usage_seal s WHERE s.kind = r.kind AND s.ref = r.ref)
		ORDER BY r.kind, r.ref`)
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

func (l ledger) Recounts(f func(cloud.UsageHour) error) error {
	return each(l, scanHourKey, f, `SELECT hour, tenant_id FROM usage_recount`)
}

func (l ledger) Closed() (from, to time.Time, err error) {
	var first, last sql.NullInt64
	if err := l.row(`SELECT MIN(hour), MAX(hour) FROM usage_close`).Scan(&first, &last); err != nil || !first.Valid {
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
		v, err := scan(rows)
		if err != nil {
			return err
		}
		if err := f(v); err != nil {
			return err
		}
	}
	return rows.Err()
}

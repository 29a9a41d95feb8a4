package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"lodge/cloud"
)

// sinkPlace is where the receiver at an address is.
func sinkPlace(s source, url string) (seq int64, taken int, lag cloud.SinkLag, err error) {
	var at sql.NullInt64
	err = s.row(`
		SELECT
		  hour_seq,
		  taken,
		  sent,
		  sent_at
		FROM usage_sink
		WHERE url = ?`, url).Scan(&seq, &taken, &lag.Sent, &at)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	lag.SentAt = moment(at)
	return seq, taken, lag, err
}

// NextSinkHour is the closed hour that the receiver at an address gets next: the
// one of which it has taken a part, or the one behind it. found is false when it
// has all, and while the hour waits for its correction. What a later revision has
// replaced is passed over.
func (d *DB) NextSinkHour(ctx context.Context, url string) (h cloud.SinkHour, found bool, err error) {
	st, err := d.reader.BeginTx(ctx, nil) // the hour and what it is made from as of one moment
	if err != nil {
		return h, false, fail("next hour to send", err)
	}
	defer st.Rollback() // it has changed nothing
	s := ledger{sql: st, ctx: ctx}
	seq, taken, _, err := sinkPlace(s, url)
	if err != nil {
		return h, false, fail("next hour to send", err)
	}
	h.UsageHour, found, err = one(s, scanHour, hourQuery+`
		WHERE (seq > ? OR (seq = ? AND ? > 0))
		  AND NOT EXISTS (
		    SELECT 1
		    FROM usage_hour newer
		    WHERE newer.tenant_id = usage_hour.tenant_id
		      AND newer.hour = usage_hour.hour
		      AND newer.revision > usage_hour.revision
		  )
		ORDER BY seq
		LIMIT 1`, seq, seq, taken)
	if err != nil || !found {
		return h, false, fail("next hour to send", err)
	}
	if h.Seq == seq {
		h.Taken = taken
	}
	// What is to be corrected waits for that: it would be sent as it is not.
	waits, err := exists(s, `SELECT 1 FROM usage_recount WHERE hour = ? AND tenant_id = ?`, stamp(h.Hour), h.TenantID)
	if err != nil || waits {
		return h, false, fail("next hour to send", err)
	}
	h.HourContent, err = hourOf(s, h.TenantID, h.Hour)
	return h, err == nil, fail("next hour to send", err)
}

// SinkTook writes down that the receiver at an address has taken the first taken
// events of an hour, sent of them just now; all says that it has no more.
func (d *DB) SinkTook(ctx context.Context, now time.Time, url string, seq int64, taken, sent int, all bool) error {
	if all {
		taken = 0
	}
	return d.write(ctx, now, reconciler, "usage sent", func(t *tx) error {
		// An hour that is whole is passed: the place is behind it, with nothing taken.
		_, err := t.exec(`
			INSERT INTO usage_sink (
			  url,
			  hour_seq,
			  taken,
			  sent,
			  sent_at
			) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (url) DO UPDATE SET
			  hour_seq = excluded.hour_seq,
			  taken    = excluded.taken,
			  sent     = usage_sink.sent + excluded.sent,
			  sent_at  = CASE WHEN excluded.sent > 0 THEN excluded.sent_at ELSE usage_sink.sent_at END`,
			url, seq, taken, sent, sql.NullInt64{Int64: t.now.UnixMilli(), Valid: sent > 0})
		return err
	})
}

// SinkLag says how far behind the receiver at an address is.
func (d *DB) SinkLag(ctx context.Context, url string) (cloud.SinkLag, error) {
	s := d.read(ctx)
	seq, taken, lag, err := sinkPlace(s, url)
	if err != nil {
		return lag, fail("read sink", err)
	}
	var hour, closed sql.NullInt64
	err = s.row(`
		SELECT
		  COUNT(*),
		  MIN(hour),
		  MIN(closed_at)
		FROM usage_hour
		WHERE seq > ?
		   OR (seq = ? AND ? > 0)`, seq, seq, taken).Scan(&lag.Pending, &hour, &closed)
	lag.OldestHour, lag.Since = moment(hour), moment(closed)
	return lag, fail("read sink", err)
}

// LedgerStats is the state of the usage ledger.
func (d *DB) LedgerStats(ctx context.Context) (l cloud.LedgerStats, err error) {
	s := d.read(ctx)
	if l.ClosedUntil, err = d.ClosedUntil(ctx); err != nil {
		return l, err
	}
	if err = s.row(`SELECT COALESCE(MAX(n), 0) FROM usage_seal`).Scan(&l.Links); err != nil {
		return l, fail("ledger stats", err)
	}
	if err = s.row(`SELECT COUNT(*) FROM usage_recount`).Scan(&l.Pending); err != nil {
		return l, fail("ledger stats", err)
	}
	err = s.row(`SELECT COALESCE(MAX(seq), 0) FROM invoice`).Scan(&l.Invoices)
	return l, fail("ledger stats", err)
}

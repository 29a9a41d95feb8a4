package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"lodge/cloud"
)

// recountFrom notes that a late truth touches the closed hours of a tenant from
// from on, so that they are computed again.
func (t *tx) recountFrom(tenantID string, from time.Time) error {
	return t.recount(tenantID, from, time.Time{})
}

// recount is recountFrom for the hours of [from, to], both included; a zero to is
// the last closed one.
func (t *tx) recount(tenantID string, from, to time.Time) error {
	end, err := t.ledgerEnds()
	if err != nil || end.closed.IsZero() {
		return err
	}
	last := end.closed
	if !to.IsZero() && to.Before(last) {
		last = to
	}
	for hour := from.UTC().Truncate(time.Hour); !hour.After(last); hour = hour.Add(time.Hour) {
		_, err := t.exec(`
			INSERT INTO usage_recount (hour, tenant_id)
			SELECT ?, ?
			WHERE EXISTS (SELECT 1 FROM usage_close WHERE hour = ?)
			ON CONFLICT DO NOTHING`, stamp(hour), tenantID, stamp(hour))
		if err != nil {
			return err
		}
	}
	return nil
}

// lastClosed is the beginning of the last closed hour; zero when none is.
func lastClosed(s source) (time.Time, error) {
	var ms sql.NullInt64
	err := s.row(`SELECT MAX(hour) FROM usage_close`).Scan(&ms)
	return moment(ms), err
}

// NextHour is the beginning of the hour that is to be closed next, and until
// when all guests were looked at: the hour may be closed when that is behind its
// end. next is zero when nothing was ever metered, seen when a host was never
// looked at.
func (d *DB) NextHour(ctx context.Context) (next, seen time.Time, err error) {
	s := d.read(ctx)
	if next, err = lastClosed(s); err != nil {
		return next, seen, fail("next hour", err)
	}
	if !next.IsZero() {
		next = next.Add(time.Hour)
	} else {
		var ms sql.NullInt64
		if err := s.row(`SELECT MIN(started_at) FROM usage_interval`).Scan(&ms); err != nil {
			return next, seen, fail("next hour", err)
		}
		if !ms.Valid {
			return next, seen, nil
		}
		next = moment(ms).Truncate(time.Hour)
	}
	var ms sql.NullInt64
	err = s.row(`SELECT MIN(COALESCE(heartbeat_at, 0)) FROM host`).Scan(&ms)
	if ms.Int64 > 0 {
		seen = moment(ms)
	}
	return next, seen, fail("next hour", err)
}

// CloseHour closes the hour that begins at hour: what count makes of each
// tenant's intervals and bytes is written down and sealed, in one transaction. count is
// called inside of it and must do nothing but compute. An hour that is closed
// already stays as it is.
//
// Returns CodeConflict for an hour that is not the next one.
func (d *DB) CloseHour(ctx context.Context, now, hour time.Time, count cloud.CountHour) error {
	return d.write(ctx, now, reconciler, "close hour", func(t *tx) error {
		last, err := lastClosed(t)
		if err != nil {
			return err
		}
		if !last.IsZero() && !hour.After(last) {
			return nil
		}
		_, err = t.exec(`
			INSERT INTO usage_close (
			  hour,
			  closed_at
			) VALUES (?, ?)`, stamp(hour), stamp(t.now))
		if err != nil {
			return err
		}
		tenants, err := collect(t, scanText, `SELECT id FROM tenant ORDER BY id`)
		if err != nil {
			return err
		}
		traffic, err := trafficOfHour(t, "", hour)
		if err != nil {
			return err
		}
		for _, tenantID := range tenants {
			ivs, err := intervalsDuring(t, tenantID, hour, hour.Add(time.Hour))
			if err != nil {
				return err
			}
			n := 0
			for n < len(traffic) && traffic[n].TenantID == tenantID {
				n++
			}
			h := count(tenantID, hour, cloud.HourContent{Intervals: ivs, Traffic: traffic[:n]})
			traffic = traffic[n:]
			if h.Lines == 0 {
				continue
			}
			h.Revision = 1
			if err := t.insertHour(h); err != nil {
				return err
			}
		}
		return nil
	})
}

// hourOf is what an hour of a tenant is counted from.
func hourOf(s source, tenantID string, hour time.Time) (c cloud.HourContent, err error) {
	if c.Intervals, err = intervalsDuring(s, tenantID, hour, hour.Add(time.Hour)); err == nil {
		c.Traffic, err = trafficOfHour(s, tenantID, hour)
	}
	return c, err
}

func (t *tx) insertHour(h cloud.UsageHour) error {
	h.ClosedAt = t.now
	totals, err := json.Marshal(h.Totals)
	if err != nil {
		return err
	}
	h.Seq, err = t.insert(`
		INSERT INTO usage_hour (
		  hour,
		  tenant_id,
		  revision,
		  lines,
		  digest,
		  totals,
		  closed_at
		) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		stamp(h.Hour),
		h.TenantID,
		h.Revision,
		h.Lines,
		h.Digest[:],
		string(totals),
		stamp(h.ClosedAt),
	)
	if err != nil {
		return err
	}
	return t.seal(cloud.SealHour, h.Seq, h.Sealed())
}

// CorrectHours computes again what late truths have touched since it was closed,
// at most limit hours of tenants; what comes out otherwise becomes a new
// revision. What comes out otherwise and is not explained by what the chain covers
// since is left as it is, with an event: it was changed beside lodge.
func (d *DB) CorrectHours(ctx context.Context, now time.Time, limit int, count cloud.CountHour) (c cloud.Corrections, err error) {
	if any, err := exists(d.read(ctx), `SELECT 1 FROM usage_recount`); err != nil || !any {
		return c, fail("correct hours", err)
	}
	err = d.write(ctx, now, reconciler, "correct hours", func(t *tx) error {
		c = cloud.Corrections{}
		due, err := collect(t, scanHourKey, `SELECT hour, tenant_id FROM usage_recount ORDER BY hour, tenant_id LIMIT ?`, limit)
		if err != nil {
			return err
		}
		for _, k := range due {
			what, err := t.correctHour(k, count)
			if err != nil {
				return fmt.Errorf("hour %s of tenant %s: %w", k.Hour.Format(time.RFC3339), k.TenantID, err)
			}
			c.Done++
			switch what {
			case hourCorrected:
				c.Corrected++
			case hourRefused:
				c.Refused = append(c.Refused, k)
			}
		}
		return nil
	})
	return c, err
}

// corrected is what became of an hour that was computed again.
type corrected int

const (
	hourSame corrected = iota
	hourCorrected
	hourRefused
)

func scanHourKey(rows *sql.Rows) (h cloud.UsageHour, err error) {
	var ms sql.NullInt64
	err = rows.Scan(&ms, &h.TenantID)
	h.Hour = moment(ms)
	return h, err
}

func (t *tx) correctHour(k cloud.UsageHour, count cloud.CountHour) (corrected, error) {
	_, err := t.exec(`DELETE FROM usage_recount WHERE hour = ? AND tenant_id = ?`, stamp(k.Hour), k.TenantID)
	if err != nil {
		return hourSame, err
	}
	last, found, err := one(t, scanHour, hourQuery+`
		WHERE tenant_id = ?
		  AND hour = ?
		ORDER BY revision DESC
		LIMIT 1`, k.TenantID, stamp(k.Hour))
	if err != nil {
		return hourSame, err
	}
	if !found {
		last = k
	}
	of, err := hourOf(t, k.TenantID, k.Hour)
	if err != nil {
		return hourSame, err
	}
	h := count(k.TenantID, k.Hour, of)
	if last.Revision == 0 && h.Lines == 0 || last.Revision > 0 && h.Digest == last.Digest {
		return hourSame, nil
	}
	explained, err := t.explained(last, count)
	if err != nil {
		return hourSame, err
	}
	if !explained {
		return hourRefused, t.event("", cloud.Ref{Kind: cloud.KindTenant, ID: k.TenantID}, k.TenantID, "usage.correction_refused",
			"The hour "+k.Hour.UTC().Format(time.RFC3339)+" comes out otherwise than it was closed, and nothing that was found out since explains it; it stays as it is. Run lodge usage verify.", nil)
	}
	h.Revision = last.Revision + 1
	return hourCorrected, t.insertHour(h)
}

const hourQuery = `
		SELECT
		  seq,
		  hour,
		  tenant_id,
		  revision,
		  lines,
		  digest,
		  totals,
		  closed_at
		FROM usage_hour`

func scanHour(rows *sql.Rows) (h cloud.UsageHour, err error) {
	var hour, closed sql.NullInt64
	var digest []byte
	var totals string
	err = rows.Scan(
		&h.Seq,
		&hour,
		&h.TenantID,
		&h.Revision,
		&h.Lines,
		&digest,
		&totals,
		&closed,
	)
	if err != nil {
		return h, err
	}
	h.Hour, h.ClosedAt = moment(hour), moment(closed)
	if err := whole(h.Digest[:], digest); err != nil {
		return h, err
	}
	return h, json.Unmarshal([]byte(totals), &h.Totals)
}

// scanWholeHour is scanHour for who verifies: totals are as lodge writes them, to
// the byte.
func scanWholeHour(rows *sql.Rows) (cloud.UsageHour, error) {
	h, err := scanHour(rows)
	if err != nil {
		return h, err
	}
	var text string
	columns := []any{new(any), new(any), new(any), new(any), new(any), new(any), &text, new(any)}
	if err := rows.Scan(columns...); err != nil {
		return h, err
	}
	if again, err := json.Marshal(h.Totals); err != nil || string(again) != text {
		return h, errors.New("totals that are not as they were written")
	}
	return h, nil
}

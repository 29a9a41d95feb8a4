package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"lodge/cloud"
)

const trafficQuery = `
		SELECT
		  seq,
		  tenant_id,
		  resource_id,
		  slot,
		  meter,
		  bytes,
		  started_at,
		  ended_at,
		  run,
		  device,
		  counter_start,
		  counter_end
		FROM usage_traffic`

func scanTraffic(rows *sql.Rows) (u cloud.Traffic, err error) {
	var started, ended, run sql.NullInt64
	err = rows.Scan(
		&u.Seq,
		&u.TenantID,
		&u.ResourceID,
		&u.Slot,
		&u.Meter,
		&u.Bytes,
		&started,
		&ended,
		&run,
		&u.Device,
		&u.CounterStart,
		&u.CounterEnd,
	)
	u.StartedAt, u.EndedAt, u.Run = moment(started), moment(ended), moment(run)
	return u, err
}

// RecordTraffic writes what the counters of running guests grew by, in one
// transaction. A reading of a run that is not the instance's present one is left
// out: what is known of that run was written when its end was recorded.
func (d *DB) RecordTraffic(ctx context.Context, now time.Time, readings []cloud.TrafficReading) error {
	return d.write(ctx, now, reconciler, "record traffic", func(t *tx) error {
		for _, r := range readings {
			var tenantID string
			var started sql.NullInt64
			err := t.row(`
				SELECT tenant_id, started_at
				FROM instance
				WHERE id = ?
				  AND gone_at IS NULL`, r.InstanceID).Scan(&tenantID, &started)
			if errors.Is(err, sql.ErrNoRows) {
				continue
			}
			if err != nil {
				return err
			}
			if err := t.writeTraffic(tenantID, moment(started), r); err != nil {
				return err
			}
		}
		return nil
	})
}

// writeTraffic writes the rows of one reading of the run that began at run.
func (t *tx) writeTraffic(tenantID string, run time.Time, r cloud.TrafficReading) error {
	r.Run, r.At, r.Since = moment(stamp(r.Run)), moment(stamp(r.At)), moment(stamp(r.Since))
	if run.IsZero() || !run.Equal(r.Run) {
		return nil
	}
	for n, nic := range r.NICs {
		slot := fmt.Sprintf("nic:%d", n)
		for _, c := range []struct {
			meter cloud.Meter
			bytes int64
		}{{cloud.MeterEgress, nic.Egress}, {cloud.MeterIngress, nic.Ingress}} {
			last, err := t.lastTraffic(r.InstanceID, slot, c.meter)
			if err != nil {
				return err
			}
			row := cloud.CountTraffic(last, run, nic.Device, c.bytes, r.At)
			if row.Bytes == 0 {
				continue
			}
			if r.Since.After(row.StartedAt) && r.Since.Before(row.EndedAt) {
				row.StartedAt = r.Since
			}
			row.TenantID, row.ResourceID, row.Slot, row.Meter = tenantID, r.InstanceID, slot, c.meter
			for _, part := range row.ByHour() {
				if err := t.insertTraffic(part); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (t *tx) lastTraffic(resourceID, slot string, m cloud.Meter) (*cloud.Traffic, error) {
	rows, err := collect(t, scanTraffic, trafficQuery+`
		WHERE resource_id = ?
		  AND slot = ?
		  AND meter = ?
		ORDER BY ended_at DESC
		LIMIT 1`, resourceID, slot, string(m))
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

// insertTraffic writes a row and covers it.
func (t *tx) insertTraffic(u cloud.Traffic) error {
	seq, err := t.insert(`
		INSERT INTO usage_traffic (
		  tenant_id,
		  resource_id,
		  slot,
		  meter,
		  bytes,
		  started_at,
		  ended_at,
		  run,
		  device,
		  counter_start,
		  counter_end
		) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		u.TenantID,
		u.ResourceID,
		u.Slot,
		string(u.Meter),
		u.Bytes,
		stamp(u.StartedAt),
		stamp(u.EndedAt),
		stamp(u.Run),
		u.Device,
		u.CounterStart,
		u.CounterEnd,
	)
	if err != nil {
		return err
	}
	u.Seq, t.carried = seq, true
	if err := t.recount(u.TenantID, u.Hour(), u.Hour()); err != nil {
		return err
	}
	return t.seal(cloud.SealTraffic, u.Seq, u.Sealed())
}

// trafficOfHour is the rows that belong to an hour, of one tenant or of all, by
// tenant; none for an hour that was closed when bytes were in none.
func trafficOfHour(s source, tenantID string, hour time.Time) ([]cloud.Traffic, error) {
	where, args := `
		WHERE ended_at > ?
		  AND ended_at <= ?
		  AND ended_at > (SELECT from_hour FROM usage_bytes)`, []any{stamp(hour), stamp(hour.Add(time.Hour))}
	if tenantID != "" {
		where += ` AND tenant_id = ?`
		args = append(args, tenantID)
	}
	return collect(s, scanTraffic, trafficQuery+where+` ORDER BY tenant_id, seq`, args...)
}

// UsageTraffic returns the rows of traffic that belong to [f.From, f.To), in the
// order they were written: those whose counter was read after the period began
// and not after it ended. A zero time does not narrow.
//
// Returns CodeNotFound as UsageIntervals does.
func (d *DB) UsageTraffic(ctx context.Context, c cloud.Caller, f cloud.UsageFilter) ([]cloud.Traffic, error) {
	w, err := d.trafficWhere(ctx, c, f)
	if err != nil {
		return nil, fail("read traffic", err)
	}
	rows, err := collect(d.read(ctx), scanTraffic, trafficQuery+w.String()+` ORDER BY seq`, w.args...)
	return rows, fail("read traffic", err)
}

// TrafficSums adds up what UsageTraffic returns, ordered by tenant and resource.
func (d *DB) TrafficSums(ctx context.Context, c cloud.Caller, f cloud.UsageFilter) ([]cloud.TrafficSum, error) {
	w, err := d.trafficWhere(ctx, c, f)
	if err != nil {
		return nil, fail("sum traffic", err)
	}
	sums, err := collect(d.read(ctx), scanTrafficSum, `
		SELECT
		  tenant_id,
		  resource_id,
		  SUM(CASE WHEN meter = 'egress' THEN bytes ELSE 0 END),
		  SUM(CASE WHEN meter = 'ingress' THEN bytes ELSE 0 END)
		FROM usage_traffic`+w.String()+`
		GROUP BY tenant_id, resource_id
		ORDER BY tenant_id, resource_id`, w.args...)
	return sums, fail("sum traffic", err)
}

func scanTrafficSum(rows *sql.Rows) (s cloud.TrafficSum, err error) {
	err = rows.Scan(&s.TenantID, &s.ResourceID, &s.Egress, &s.Ingress)
	return s, err
}

func (d *DB) trafficWhere(ctx context.Context, c cloud.Caller, f cloud.UsageFilter) (w where, err error) {
	if w, err = metered(d.read(ctx), c, f); err != nil {
		return w, err
	}
	if !f.From.IsZero() {
		w.and("ended_at > ?", stamp(f.From))
	}
	if !f.To.IsZero() {
		w.and("ended_at <= ?", stamp(f.To))
	}
	return w, nil
}

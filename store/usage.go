package store

import (
	"context"
	"database/sql"
	"time"

	"lodge/cloud"
)

const intervalQuery = `
		SELECT
		  seq,
		  tenant_id,
		  resource_id,
		  resource,
		  slot,
		  meter,
		  amount,
		  state,
		  started_at,
		  ended_at,
		  evidence
		FROM usage_interval`

func scanInterval(rows *sql.Rows) (iv cloud.Interval, err error) {
	var started, ended sql.NullInt64
	err = rows.Scan(
		&iv.Seq,
		&iv.TenantID,
		&iv.ResourceID,
		&iv.Resource,
		&iv.Slot,
		&iv.Meter,
		&iv.Amount,
		&iv.State,
		&started,
		&ended,
		&iv.Evidence,
	)
	iv.StartedAt, iv.EndedAt = moment(started), moment(ended)
	return iv, err
}

func openIntervals(s source, resourceID string) ([]cloud.Interval, error) {
	return collect(s, scanInterval, intervalQuery+`
		WHERE resource_id = ?
		  AND ended_at IS NULL
		ORDER BY seq`, resourceID)
}

// writeMeters writes a change of the open intervals of one resource.
func (t *tx) writeMeters(tenantID, resourceID, resource string, ch cloud.MeterChange) error {
	for _, iv := range ch.Drop {
		if err := t.dropInterval(iv); err != nil {
			return err
		}
	}
	for _, iv := range ch.Close {
		if err := t.closeInterval(iv); err != nil {
			return err
		}
	}
	for _, o := range ch.Open {
		if err := t.openInterval(tenantID, resourceID, resource, o); err != nil {
			return err
		}
	}
	return nil
}

// closeInterval closes a row once and covers it.
func (t *tx) closeInterval(iv cloud.Interval) error {
	_, err := t.exec(`
		UPDATE usage_interval
		SET ended_at = ?,
		    evidence = ?
		WHERE seq = ?`, stamp(iv.EndedAt), string(iv.Evidence), iv.Seq)
	if err != nil {
		return err
	}
	if err := t.recountFrom(iv.TenantID, iv.EndedAt); err != nil {
		return err
	}
	return t.seal(cloud.SealInterval, iv.Seq, iv.Sealed())
}

// dropInterval removes an open interval that would have no length, after it was
// written down that and when. Its EndedAt is not after its StartedAt.
func (t *tx) dropInterval(iv cloud.Interval) error {
	_, err := t.exec(`
		INSERT INTO usage_drop (
		  seq,
		  tenant_id,
		  resource_id,
		  slot,
		  meter,
		  amount,
		  started_at,
		  dropped_at
		) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		iv.Seq,
		iv.TenantID,
		iv.ResourceID,
		iv.Slot,
		string(iv.Meter),
		iv.Amount,
		stamp(iv.StartedAt),
		stamp(iv.EndedAt),
	)
	if err != nil {
		return err
	}
	if _, err = t.exec(`DELETE FROM usage_interval WHERE seq = ?`, iv.Seq); err != nil {
		return err
	}
	if err := t.recountFrom(iv.TenantID, iv.StartedAt); err != nil {
		return err
	}
	return t.seal(cloud.SealDrop, iv.Seq, dropOf(iv).Sealed())
}

func dropOf(iv cloud.Interval) cloud.UsageDrop {
	return cloud.UsageDrop{
		Seq: iv.Seq, TenantID: iv.TenantID, ResourceID: iv.ResourceID, Slot: iv.Slot, Meter: iv.Meter,
		Amount: iv.Amount, StartedAt: iv.StartedAt, DroppedAt: iv.EndedAt,
	}
}

const dropQuery = `
		SELECT
		  seq,
		  tenant_id,
		  resource_id,
		  slot,
		  meter,
		  amount,
		  started_at,
		  dropped_at
		FROM usage_drop`

func scanDrop(rows *sql.Rows) (d cloud.UsageDrop, err error) {
	var started, dropped sql.NullInt64
	err = rows.Scan(
		&d.Seq,
		&d.TenantID,
		&d.ResourceID,
		&d.Slot,
		&d.Meter,
		&d.Amount,
		&started,
		&dropped,
	)
	d.StartedAt, d.DroppedAt = moment(started), moment(dropped)
	return d, err
}

// openInterval opens an interval, or where the last one of the meter ended when
// that is later: time is never counted twice.
func (t *tx) openInterval(tenantID, resourceID, resource string, o cloud.Opening) error {
	var last sql.NullInt64
	err := t.row(`
		SELECT MAX(ended_at)
		FROM usage_interval
		WHERE resource_id = ?
		  AND slot = ?
		  AND meter = ?`, resourceID, o.Slot, string(o.Meter)).Scan(&last)
	if err != nil {
		return err
	}
	from := max(o.From.UnixMilli(), t.floor)
	if last.Valid {
		from = max(from, last.Int64)
	}
	_, err = t.exec(`
		INSERT INTO usage_interval (
		  tenant_id,
		  resource_id,
		  resource,
		  slot,
		  meter,
		  amount,
		  state,
		  started_at
		) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		tenantID,
		resourceID,
		resource,
		o.Slot,
		string(o.Meter),
		o.Amount,
		string(o.State),
		from,
	)
	if err != nil {
		return err
	}
	return t.recountFrom(tenantID, time.UnixMilli(from))
}

// UsageIntervals returns the intervals of the ledger that touch [f.From, f.To),
// in the order they were opened; a zero time does not narrow. Tombstones and
// deleted tenants keep theirs. The ends are not cut to the period.
//
// Returns CodeNotFound when the filter names a tenant or an instance that never
// was or that the caller may not see.
func (d *DB) UsageIntervals(ctx context.Context, c cloud.Caller, f cloud.UsageFilter) ([]cloud.Interval, error) {
	s := d.read(ctx)
	w, err := metered(s, c, f)
	if err != nil {
		return nil, fail("read usage", err)
	}
	if !f.To.IsZero() {
		w.and("started_at < ?", stamp(f.To))
	}
	if !f.From.IsZero() {
		w.and("(ended_at IS NULL OR ended_at > ?)", stamp(f.From))
	}
	intervals, err := collect(s, scanInterval, intervalQuery+w.String()+` ORDER BY seq`, w.args...)
	return intervals, fail("read usage", err)
}

// metered narrows rows of the ledger to the tenant and the instance of f, whose
// period each kind of row reads in its own way.
func metered(s source, c cloud.Caller, f cloud.UsageFilter) (w where, err error) {
	tenantID, err := scope(c, f.TenantID)
	if err != nil {
		return w, err
	}
	if err := refuseUnknown(s, c, tenantID, f.InstanceID); err != nil {
		return w, err
	}
	if tenantID != "" {
		w.and("tenant_id = ?", tenantID)
	}
	if f.InstanceID != "" {
		w.and("resource_id = ?", f.InstanceID)
	}
	return w, nil
}

func refuseUnknown(s source, c cloud.Caller, tenantID, instanceID string) error {
	if tenantID != "" {
		known, err := exists(s, `SELECT 1 FROM tenant WHERE id = ?`, tenantID)
		if err != nil {
			return err
		}
		if !known {
			return noTenant(tenantID)
		}
	}
	if instanceID == "" {
		return nil
	}
	var owner string
	err := s.row(`SELECT tenant_id FROM instance WHERE id = ?`, instanceID).Scan(&owner)
	if err == sql.ErrNoRows || (err == nil && !c.Sees(owner)) {
		return cloud.Errorf(cloud.CodeNotFound, "There is no instance %q and there never was one that you may see; usage is kept by id.", instanceID)
	}
	return err
}

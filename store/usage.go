package store

import (
	"cmp"
	"database/sql"
	"slices"
	"strings"

	"lodge/cloud"
)

// openingColumns are what an interval has from its opening on.
const openingColumns = `
		  seq,
		  tenant_id,
		  resource_id,
		  resource,
		  slot,
		  meter,
		  amount,
		  state,
		  started_at`

const intervalColumns = openingColumns + `,
		  ended_at,
		  evidence`

const intervalQuery = `
		SELECT` + intervalColumns + `
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

// openQuery reads what a resource has open. It names the index, because without,
// the whole history of the resource is read.
const openQuery = intervalQuery + ` INDEXED BY usage_interval_open
		WHERE resource_id = +?
		  AND ended_at IS NULL
		ORDER BY seq`

func openIntervals(s source, resourceID string) ([]cloud.Interval, error) {
	return collect(s, scanInterval, openQuery, resourceID)
}

// writeMeters writes a change of the open intervals of one resource.
func (t *tx) writeMeters(tenantID, resourceID, resource string, ch cloud.MeterChange) error {
	for _, iv := range ch.Drop {
		if err := t.dropInterval(iv); err != nil {
			return err
		}
	}
	if err := t.closeIntervals(ch.Close); err != nil {
		return err
	}
	return t.openAll(tenantID, resourceID, resource, ch.Open)
}

// closeIntervals closes rows of one tenant that end at one instant, each once, and
// covers them.
func (t *tx) closeIntervals(ivs []cloud.Interval) error {
	if len(ivs) == 0 {
		return nil
	}
	args := []any{stamp(ivs[0].EndedAt), string(ivs[0].Evidence)}
	for _, iv := range ivs {
		args = append(args, iv.Seq)
	}
	_, err := t.exec(`
		UPDATE usage_interval
		SET ended_at = ?,
		    evidence = ?
		WHERE seq IN (?`+strings.Repeat(", ?", len(ivs)-1)+`)`, args...)
	if err != nil {
		return err
	}
	if err := t.recountFrom(ivs[0].TenantID, ivs[0].EndedAt); err != nil {
		return err
	}
	rows := make([]sealable, len(ivs))
	for n, iv := range ivs {
		rows[n] = sealable{iv.Seq, iv.Sealed()}
	}
	return t.sealAll(cloud.SealInterval, rows)
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
		  dropped_at,
		  resource,
		  state
		) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		iv.Seq,
		iv.TenantID,
		iv.ResourceID,
		iv.Slot,
		string(iv.Meter),
		iv.Amount,
		stamp(iv.StartedAt),
		stamp(iv.EndedAt),
		iv.Resource,
		string(iv.State),
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

// lastEndQuery is where the last interval of a meter ended. Intervals of a meter do
// not overlap, so the one that began last ended last.
const lastEndQuery = `
		SELECT ended_at
		FROM usage_interval
		WHERE resource_id = +?
		  AND slot = +?
		  AND meter = +?
		ORDER BY started_at DESC
		LIMIT 1`

// openAll opens intervals of one resource, each where it begins, or where the last
// one of the meter ended when that is later: time is never counted twice. One
// statement opens them all and one covers them, for this is what a start waits for.
func (t *tx) openAll(tenantID, resourceID, resource string, all []cloud.Opening) error {
	if len(all) == 0 {
		return nil
	}
	const row = `(?, ?, ?, ?, ?, ?, ?, MAX(?, COALESCE((` + lastEndQuery + `), 0)))`
	var args []any
	for _, o := range all {
		args = append(args,
			tenantID, resourceID, resource, o.Slot, string(o.Meter), o.Amount, string(o.State),
			max(o.From.UnixMilli(), t.floor), resourceID, o.Slot, string(o.Meter))
	}
	opened, err := returning(t, scanInterval, `
		INSERT INTO usage_interval (
		  tenant_id,
		  resource_id,
		  resource,
		  slot,
		  meter,
		  amount,
		  state,
		  started_at
		) VALUES `+row+strings.Repeat(", "+row, len(all)-1)+`
		RETURNING `+intervalColumns, args...)
	if err != nil {
		return err
	}
	slices.SortFunc(opened, func(a, b cloud.Interval) int { return cmp.Compare(a.Seq, b.Seq) })
	began := opened[0].StartedAt
	rows := make([]sealable, len(opened))
	for n, iv := range opened {
		rows[n] = sealable{iv.Seq, iv.Opened()}
		if iv.StartedAt.Before(began) {
			began = iv.StartedAt
		}
	}
	if err := t.sealAll(cloud.SealOpened, rows); err != nil {
		return err
	}
	return t.recountFrom(tenantID, began)
}

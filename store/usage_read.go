package store

import (
	"context"
	"database/sql"
	"math"
	"time"

	"lodge/cloud"
)

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
	if f.InstanceID == "" {
		tenantID, _ := scope(c, f.TenantID)
		intervals, err := intervalsDuring(s, tenantID, f.From, f.To)
		return intervals, fail("read usage", err)
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

// duringQuery reads the intervals of a tenant that touch a period: two ranges of an
// index, asked for one by one, so that no history before the period is read.
const duringQuery = intervalQuery + `
		WHERE seq IN (
		  SELECT seq
		  FROM usage_interval
		  WHERE tenant_id = ?
		    AND ended_at IS NULL
		    AND started_at < ?
		  UNION ALL
		  SELECT seq
		  FROM usage_interval
		  WHERE tenant_id = ?
		    AND ended_at > ?
		    AND started_at < ?
		)
		ORDER BY seq`

// duringQueryOfAll is duringQuery for all tenants.
const duringQueryOfAll = intervalQuery + `
		WHERE seq IN (
		  SELECT u.seq
		  FROM tenant t
		  CROSS JOIN usage_interval u
		  WHERE u.tenant_id = t.id
		    AND u.ended_at IS NULL
		    AND u.started_at < ?
		  UNION ALL
		  SELECT u.seq
		  FROM tenant t
		  CROSS JOIN usage_interval u
		  WHERE u.tenant_id = t.id
		    AND u.ended_at > ?
		    AND u.started_at < ?
		)
		ORDER BY seq`

// intervalsDuring are the intervals that touch [from, to), of one tenant or of all,
// in the order they were opened; a zero time does not narrow.
func intervalsDuring(s source, tenantID string, from, to time.Time) ([]cloud.Interval, error) {
	begin, end := from.UnixMilli(), int64(math.MaxInt64)
	if !to.IsZero() {
		end = to.UnixMilli()
	}
	if tenantID != "" {
		return collect(s, scanInterval, duringQuery, tenantID, end, tenantID, begin, end)
	}
	return collect(s, scanInterval, duringQueryOfAll, end, begin, end)
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

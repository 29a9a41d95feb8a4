package store

import (
	"context"
	"database/sql"
	"encoding/json"

	"lodge/cloud"
)

// seal is where the chain of the ledger goes on.
func (t *tx) seal(cloud.SealKind, int64, []byte) error { return nil }

// UsageFacts gives what instances are called now, as if it had always been so.
func (d *DB) UsageFacts(ctx context.Context, c cloud.Caller, f cloud.UsageFilter) ([]cloud.UsageFact, error) {
	tenantID, err := scope(c, f.TenantID)
	if err != nil {
		return nil, err
	}
	var w where
	if tenantID != "" {
		w.and("tenant_id = ?", tenantID)
	}
	if f.InstanceID != "" {
		w.and("id = ?", f.InstanceID)
	}
	scan := func(rows *sql.Rows) (u cloud.UsageFact, err error) {
		var labels string
		var since sql.NullInt64
		err = rows.Scan(&u.TenantID, &u.ResourceID, &u.Name, &u.Flavor, &labels, &since)
		u.Kind, u.Since = cloud.KindInstance, moment(since)
		if err == nil {
			err = json.Unmarshal([]byte(labels), &u.Labels)
		}
		return u, err
	}
	out, err := collect(d.read(ctx), scan, `SELECT tenant_id, id, name, flavor_id, labels, created_at FROM instance`+w.String()+` ORDER BY id`, w.args...)
	return out, fail("read facts", err)
}

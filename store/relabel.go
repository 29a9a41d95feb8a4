package store

import (
	"context"
	"time"

	"lodge/cloud"
)

// UpdateTenant merges labels into those of a tenant; nil removes a key. What is so
// already is no change. Returns CodeForbidden for anybody but an operator,
// CodeNotFound, CodeInvalid for too many labels.
func (d *DB) UpdateTenant(ctx context.Context, c cloud.Caller, now time.Time, id string, ch cloud.LabelChange) (tenant cloud.Tenant, err error) {
	if !c.Sees(id) {
		return tenant, noTenant(id)
	}
	if err := onlyOperator(c, "changes tenants"); err != nil {
		return tenant, err
	}
	err = d.write(ctx, now, c, "tenant.update", func(t *tx) error {
		if tenant, err = liveTenant(t, id); err != nil {
			return err
		}
		if err := c.Expects(tenant.Tag()); err != nil {
			return err
		}
		if err := t.relabel("tenant", id, cloud.Ref{Kind: cloud.KindTenant, ID: id}, tenant.Name, tenant.Labels, ch); err != nil {
			return err
		}
		tenant, err = liveTenant(t, id)
		return err
	})
	return tenant, err
}

// UpdateNetwork merges labels into those of a network; nil removes a key. What is
// so already is no change. Returns CodeNotFound, CodeInvalid for too many labels.
func (d *DB) UpdateNetwork(ctx context.Context, c cloud.Caller, now time.Time, id string, ch cloud.LabelChange) (n cloud.Network, err error) {
	err = d.write(ctx, now, c, "network.update", func(t *tx) error {
		if n, err = liveNetwork(t, c, id); err != nil {
			return err
		}
		if err := c.Expects(n.Tag()); err != nil {
			return err
		}
		if err := t.relabel("network", n.TenantID, cloud.Ref{Kind: cloud.KindNetwork, ID: id}, n.Name, n.Labels, ch); err != nil {
			return err
		}
		n, err = liveNetwork(t, c, id)
		return err
	})
	return n, err
}

// relabel writes the labels of a row when the change makes them others.
func (t *tx) relabel(table, tenantID string, ref cloud.Ref, name string, labels map[string]string, change cloud.LabelChange) error {
	after, err := relabelled(labels, change)
	if err != nil || asJSON(after) == asJSON(labels) {
		return err
	}
	_, err = t.exec(`
		UPDATE `+table+`
		SET labels = ?,
		    updated_at = ?,
		    revision = revision + 1
		WHERE id = ?`, asJSON(after), stamp(t.now), ref.ID)
	if err != nil {
		return err
	}
	return t.event(tenantID, ref, name, table+".updated", "The "+table+" "+name+" was changed.", nil)
}

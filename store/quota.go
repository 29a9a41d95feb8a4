package store

import (
	"context"
	"time"

	"lodge/cloud"
)

// refuseQuota returns CodeQuota when the tenant may not have so much more. The
// sum and what is added to it are of one transaction, so that many at once get
// no more than one after the other.
func (t *tx) refuseQuota(tenantID string, asked cloud.Amounts) error {
	limits, _, err := limitsOf(t, tenantID)
	if err != nil || len(limits) == 0 {
		return err
	}
	used, err := usedBy(t, tenantID, t.now)
	if err != nil {
		return err
	}
	return limits.Exceeds(used, asked).Refusal()
}

// limitsOf are the limits of a tenant, and which of them are its own.
func limitsOf(s source, tenantID string) (limits cloud.Limits, own map[cloud.Resource]bool, err error) {
	limits, own = cloud.Limits{}, map[cloud.Resource]bool{}
	rows, err := s.rows(`
		SELECT resource, most, 0 FROM quota_default
		UNION ALL
		SELECT resource, most, 1 FROM quota WHERE tenant_id = +?
		ORDER BY 3`, tenantID)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r cloud.Resource
		var most int64
		var mine bool
		if err := rows.Scan(&r, &most, &mine); err != nil {
			return nil, nil, err
		}
		limits[r], own[r] = most, mine
	}
	return limits, own, rows.Err()
}

// usedQuery adds up what a tenant has. Each table has an index by tenant for it.
const usedQuery = `
		SELECT
		  COUNT(*),
		  COALESCE(SUM(vcpus), 0),
		  COALESCE(SUM(memory_mib), 0),
		  (SELECT COALESCE(SUM(size_gib), 0) FROM volume WHERE tenant_id = ?1 AND gone_at IS NULL),
		  (SELECT COUNT(*) FROM image WHERE tenant_id = ?1 AND gone_at IS NULL),
		  (SELECT COUNT(*) FROM volume WHERE tenant_id = ?1 AND gone_at IS NULL),
		  (SELECT COUNT(*) FROM network WHERE tenant_id = ?1 AND deleted_at IS NULL),
		  (SELECT COUNT(*) FROM port WHERE tenant_id = ?1 AND deleted_at IS NULL),
		  (SELECT COUNT(*) FROM floating_ip WHERE tenant_id = ?1 AND released_at IS NULL),
		  (SELECT COUNT(*) FROM snapshot WHERE tenant_id = ?1 AND gone_at IS NULL),
		  (SELECT COUNT(*) FROM token WHERE tenant_id = ?1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?2))
		FROM instance
		WHERE tenant_id = ?1
		  AND gone_at IS NULL`

// usedBy is what a tenant has of each resource. What is being deleted counts
// until it is gone.
func usedBy(s source, tenantID string, now time.Time) (cloud.Amounts, error) {
	var instances, vcpus, memory, disk, images, volumes, networks, ports, floating, snapshots, tokens int64
	err := s.row(usedQuery, tenantID, stamp(now)).
		Scan(&instances, &vcpus, &memory, &disk, &images, &volumes, &networks, &ports, &floating, &snapshots, &tokens)
	return cloud.Amounts{
		cloud.ResourceInstances: instances, cloud.ResourceVCPUs: vcpus, cloud.ResourceMemory: memory, cloud.ResourceDisk: disk,
		cloud.ResourceImages: images, cloud.ResourceVolumes: volumes, cloud.ResourceNetworks: networks, cloud.ResourcePorts: ports,
		cloud.ResourceFloatingIPs: floating, cloud.ResourceSnapshots: snapshots, cloud.ResourceTokens: tokens,
	}, err
}

// Quotas says what a tenant may have of each resource, and has. An empty tenant
// is the installation: the limits of tenants that have none of their own.
//
// Returns CodeNotFound for a tenant that the caller may not see, CodeForbidden
// for the installation's by anybody but an operator.
func (d *DB) Quotas(ctx context.Context, c cloud.Caller, now time.Time, tenantID string) ([]cloud.Quota, error) {
	s := d.read(ctx)
	if tenantID == "" {
		if err := onlyOperator(c, "sees the default quotas"); err != nil {
			return nil, err
		}
	} else if !c.Sees(tenantID) {
		return nil, noTenant(tenantID)
	} else if _, err := liveTenant(s, tenantID); err != nil {
		return nil, fail("read quotas", err)
	}
	out, err := quotasOf(s, tenantID)
	if err != nil {
		return nil, fail("read quotas", err)
	}
	used, err := usedBy(s, tenantID, now)
	if err != nil {
		return nil, fail("read quotas", err)
	}
	for i := range out {
		out[i].Used = used[out[i].Resource]
	}
	return out, nil
}

// quotasOf are the limits of every resource, without what is used of it.
func quotasOf(s source, tenantID string) ([]cloud.Quota, error) {
	limits, own, err := limitsOf(s, tenantID)
	if err != nil {
		return nil, err
	}
	out := make([]cloud.Quota, 0, len(cloud.Resources()))
	for _, r := range cloud.Resources() {
		q := cloud.Quota{Resource: r, Limit: -1, Default: true}
		if limit, limited := limits[r]; limited {
			q.Limit, q.Default = limit, !own[r]
		}
		out = append(out, q)
	}
	return out, nil
}

// expectQuotas refuses a change that is bound to other limits than there are.
func (t *tx) expectQuotas(tenantID string) error {
	if len(t.caller.IfMatch) == 0 {
		return nil
	}
	quotas, err := quotasOf(t, tenantID)
	if err != nil {
		return err
	}
	return t.caller.Expects(cloud.QuotasTag(quotas))
}

// SetQuotas changes limits of a tenant, or with an empty tenant those of tenants
// that have none of their own; nil takes a limit away. What is there already
// stays, also beyond the limit.
//
// Returns CodeForbidden for anybody but an operator, CodeNotFound, CodeInvalid
// for an unknown resource or a limit below zero.
func (d *DB) SetQuotas(ctx context.Context, c cloud.Caller, now time.Time, tenantID string, change map[cloud.Resource]*int64) error {
	if err := onlyOperator(c, "sets quotas"); err != nil {
		return err
	}
	for r, most := range change {
		if !r.Valid() {
			return invalid(string(r), "There is no resource %q with a quota.", r)
		}
		if most != nil && *most < 0 {
			return invalid(string(r), "A limit is zero or more; leave it null for none.")
		}
	}
	return d.write(ctx, now, c, "quota.set", func(t *tx) error {
		if tenantID == "" {
			if err := t.expectQuotas(""); err != nil {
				return err
			}
			t.audited("", cloud.Ref{Kind: cloud.KindQuota, ID: "default"}, "default")
			return t.setQuotas(`quota_default (resource, most, updated_at) VALUES (?, ?, ?) ON CONFLICT (resource)`, `quota_default WHERE resource = ?`, nil, change)
		}
		tenant, err := liveTenant(t, tenantID)
		if err != nil {
			return err
		}
		if err := t.expectQuotas(tenantID); err != nil {
			return err
		}
		t.audited(tenantID, cloud.Ref{Kind: cloud.KindQuota, ID: tenantID}, tenant.Name)
		return t.setQuotas(`quota (tenant_id, resource, most, updated_at) VALUES (?, ?, ?, ?) ON CONFLICT (tenant_id, resource)`, `quota WHERE tenant_id = ? AND resource = ?`, []any{tenantID}, change)
	})
}

func (t *tx) setQuotas(into, from string, key []any, change map[cloud.Resource]*int64) error {
	for r, most := range change {
		var err error
		args := append(append([]any{}, key...), string(r))
		if most == nil {
			_, err = t.exec(`DELETE FROM `+from, args...)
		} else {
			_, err = t.exec(`INSERT INTO `+into+` DO UPDATE SET most = excluded.most, updated_at = excluded.updated_at`, append(args, *most, stamp(t.now))...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

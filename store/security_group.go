package store

import (
	"database/sql"

	"lodge/cloud"
)

// defaultRules are what a new tenant's default group allows: everything out,
// and from outside SSH and ping.
var defaultRules = []struct {
	role, direction, ethertype, protocol string
	port                                 int // 0: any
}{
	{"egress4", "egress", "ipv4", "", 0},
	{"egress6", "egress", "ipv6", "", 0},
	{"ssh4", "ingress", "ipv4", "tcp", 22},
	{"ssh6", "ingress", "ipv6", "tcp", 22},
	{"icmp4", "ingress", "ipv4", "icmp", 0},
	{"icmp6", "ingress", "ipv6", "icmpv6", 0},
}

func (t *tx) createDefaultSecurityGroup(tenantID string) error {
	at := stamp(t.now)
	groupID := derive(tenantID, "security_group:"+defaultName)
	_, err := t.exec(`
		INSERT INTO security_group (
		  id,
		  tenant_id,
		  name,
		  description,
		  is_default,
		  created_at,
		  updated_at
		) VALUES (?, ?, ?, ?, 1, ?, ?)`,
		groupID, tenantID, defaultName, "Everything out; SSH and ping in.", at, at)
	if err != nil {
		return err
	}
	for _, r := range defaultRules {
		port := sql.NullInt64{Int64: int64(r.port), Valid: r.port != 0}
		_, err := t.exec(`
			INSERT INTO security_group_rule (
			  id,
			  security_group_id,
			  tenant_id,
			  direction,
			  ethertype,
			  protocol,
			  port_min,
			  port_max,
			  created_at,
			  updated_at
			) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			derive(groupID, r.role), groupID, tenantID, r.direction, r.ethertype, r.protocol, port, port, at, at)
		if err != nil {
			return err
		}
	}
	return nil
}

// joinDefaultGroup puts a port into its tenant's default group, when there is one.
func (t *tx) joinDefaultGroup(p cloud.Port) error {
	_, err := t.exec(`
		INSERT INTO port_security_group (
		  port_id,
		  security_group_id,
		  tenant_id,
		  created_at
		)
		SELECT
		  ?,
		  id,
		  tenant_id,
		  ?
		FROM security_group
		WHERE tenant_id = ?
		  AND is_default = 1
		  AND deleted_at IS NULL`,
		p.ID, stamp(t.now), p.TenantID)
	return err
}

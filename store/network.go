package store

import (
	"context"
	"database/sql"
	"net/netip"

	"lodge/cloud"
)

// defaultName names what every tenant is made with.
const defaultName = "default"

const networkColumns = `
		  id,
		  tenant_id,
		  name,
		  labels,
		  created_at,
		  updated_at,
		  revision,
		  host_id,
		  is_default,
		  deleted_at,
		  problem_code,
		  problem_message,
		  problem_since,
		  problem_retry_at,
		  problem_attempts`

func scanNetwork(rows *sql.Rows) (n cloud.Network, err error) {
	var meta metaColumns
	var host sql.NullString
	var deleted sql.NullInt64
	var p problemColumns
	err = rows.Scan(
		&n.ID,
		&n.TenantID,
		&n.Name,
		&meta.labels,
		&meta.createdAt,
		&meta.updated,
		&n.Revision,
		&host,
		&n.Default,
		&deleted,
		&p.code,
		&p.message,
		&p.since,
		&p.retryAt,
		&p.attempts,
	)
	if err != nil {
		return n, err
	}
	n.HostID, n.DeletedAt, n.Problem = host.String, moment(deleted), p.problem()
	return n, meta.into(&n.Meta)
}

func scanSubnet(rows *sql.Rows) (s cloud.Subnet, err error) {
	var meta metaColumns
	var cidr, dns string
	err = rows.Scan(
		&s.ID,
		&s.TenantID,
		&s.NetworkID,
		&cidr,
		&s.DHCP,
		&dns,
		&meta.labels,
		&meta.createdAt,
		&meta.updated,
		&s.Revision,
	)
	if err != nil {
		return s, err
	}
	if s.CIDR, err = netip.ParsePrefix(cidr); err != nil {
		return s, err
	}
	if s.DNS, err = fromJSON[[]netip.Addr](dns); err != nil {
		return s, err
	}
	return s, meta.into(&s.Meta)
}

// addSubnets reads the subnets of the networks into them.
func addSubnets(s source, networks []cloud.Network) error {
	for from := 0; from < len(networks); from += chunk {
		part := networks[from:min(from+chunk, len(networks))]
		ids := make([]string, len(part))
		at := make(map[string]*cloud.Network, len(part))
		for i := range part {
			ids[i], at[part[i].ID] = part[i].ID, &part[i]
		}
		in, args := marks(ids)
		subnets, err := collect(s, scanSubnet, `
			SELECT
			  id,
			  tenant_id,
			  network_id,
			  cidr,
			  dhcp,
			  dns,
			  labels,
			  created_at,
			  updated_at,
			  revision
			FROM subnet
			WHERE network_id IN (`+in+`)
			ORDER BY created_at, id`, args...)
		if err != nil {
			return err
		}
		for _, sub := range subnets {
			n := at[sub.NetworkID]
			n.Subnets = append(n.Subnets, sub)
		}
	}
	return nil
}

// createDefaultNetwork makes the network, subnet and router of a new tenant.
func (t *tx) createDefaultNetwork(n cloud.NewTenant) error {
	cidr, err := t.pickSubnet()
	if err != nil {
		return err
	}
	host, err := t.onlyHost()
	if err != nil {
		return err
	}
	at := stamp(t.now)
	_, err = t.exec(`
		INSERT INTO network (
		  id,
		  tenant_id,
		  name,
		  created_at,
		  updated_at,
		  host_id,
		  is_default
		) VALUES (?, ?, ?, ?, ?, ?, 1)`,
		n.NetworkID, n.ID, defaultName, at, at, orNull(host))
	if err != nil {
		return err
	}
	_, err = t.exec(`
		INSERT INTO subnet (
		  id,
		  tenant_id,
		  network_id,
		  cidr,
		  dhcp,
		  created_at,
		  updated_at
		) VALUES (?, ?, ?, ?, 1, ?, ?)`,
		n.SubnetID, n.ID, n.NetworkID, cidr.String(), at, at)
	if err != nil {
		return err
	}
	routerID := derive(n.ID, "router:"+defaultName)
	_, err = t.exec(`
		INSERT INTO router (
		  id,
		  tenant_id,
		  name,
		  snat,
		  created_at,
		  updated_at
		) VALUES (?, ?, ?, 1, ?, ?)`,
		routerID, n.ID, defaultName, at, at)
	if err != nil {
		return err
	}
	_, err = t.exec(`
		INSERT INTO router_interface (
		  router_id,
		  subnet_id,
		  tenant_id,
		  created_at
		) VALUES (?, ?, ?, ?)`,
		routerID, n.SubnetID, n.ID, at)
	return err
}

// pickSubnet chooses a subnet that no network uses that is still on a host,
// whether a row is about it or not.
func (t *tx) pickSubnet() (netip.Prefix, error) {
	taken, err := collect(t, func(rows *sql.Rows) (netip.Prefix, error) {
		var text string
		if err := rows.Scan(&text); err != nil {
			return netip.Prefix{}, err
		}
		return netip.ParsePrefix(text)
	}, `
		SELECT s.cidr
		FROM subnet s
		JOIN network n ON n.id = s.network_id
		WHERE n.gone_at IS NULL`)
	if err != nil {
		return netip.Prefix{}, err
	}
	strange, err := t.orphanRanges()
	if err != nil {
		return netip.Prefix{}, err
	}
	taken = append(taken, strange...)
	cidr, ok := cloud.PickSubnet(t.opts.NetworkPool, t.opts.SubnetBits, taken)
	if !ok {
		return cidr, cloud.Errorf(cloud.CodeAddresses, "The address pool %s has no free /%d left for another tenant; delete a tenant, or give lodged a larger pool.",
			t.opts.NetworkPool, t.opts.SubnetBits)
	}
	return cidr, nil
}

func noNetwork(id string) error {
	return cloud.Errorf(cloud.CodeNotFound, "There is no network %q; list the networks to see yours.", id)
}

// Networks lists the networks that the caller may see, with their subnets,
// until nothing is left of them on their host.
func (d *DB) Networks(ctx context.Context, c cloud.Caller, f cloud.Filter, p cloud.Page) (items []cloud.Network, next string, err error) {
	tenantID, err := scope(c, f.TenantID)
	if err != nil {
		return nil, "", err
	}
	page, err := listSpan(p, "networks", tenantID, f)
	if err != nil {
		return nil, "", err
	}
	var w where
	w.and("gone_at IS NULL")
	if tenantID != "" {
		w.and("tenant_id = ?", tenantID)
	}
	w.filter(cloud.KindNetwork, "", f)
	tail := page.in(&w, "")
	s := d.read(ctx)
	if items, err = collect(s, scanNetwork, `SELECT `+networkColumns+` FROM network`+tail, w.args...); err != nil {
		return nil, "", fail("list networks", err)
	}
	items, next = cut(page, items, func(n *cloud.Network) place { return place{n.CreatedAt, n.Name, n.ID} })
	if err := addSubnets(s, items); err != nil {
		return nil, "", fail("list subnets", err)
	}
	return items, next, nil
}

// Network returns one network with its subnets. Returns CodeNotFound when there
// is none that the caller may see.
func (d *DB) Network(ctx context.Context, c cloud.Caller, id string) (cloud.Network, error) {
	n, err := liveNetwork(d.read(ctx), c, id)
	return n, fail("read network", err)
}

func liveNetwork(s source, c cloud.Caller, id string) (cloud.Network, error) {
	networks, err := collect(s, scanNetwork, `
		SELECT `+networkColumns+`
		FROM network
		WHERE id = ?
		  AND gone_at IS NULL`, id)
	if err != nil {
		return cloud.Network{}, err
	}
	if len(networks) == 0 || !c.Sees(networks[0].TenantID) {
		return cloud.Network{}, noNetwork(id)
	}
	if err := addSubnets(s, networks); err != nil {
		return cloud.Network{}, err
	}
	return networks[0], nil
}

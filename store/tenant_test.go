package store_test

import (
	"net/netip"
	"testing"

	"lodge/cloud"
	"lodge/store"
)

func TestAFirstStartMakesTheDefaultTenantAndTheFlavorsOnce(t *testing.T) {
	w := newWorld(t)
	w.must(w.DeleteFlavor(ctx, operator, w.now, "c8-m32"))
	again, err := w.EnsureInstallation(ctx, w.now, cloud.NewTenant{ID: id("x"), NetworkID: id("y"), SubnetID: id("z")})
	w.must(err)
	if again.ID != w.tenant.ID || again.Name != cloud.DefaultTenantName {
		t.Fatalf("a second start gave %+v", again)
	}
	if _, err := w.Flavor(ctx, cloud.DefaultFlavorID); err != nil {
		t.Fatal(err)
	}
	_, err = w.Flavor(ctx, "c8-m32")
	w.refused(err, cloud.CodeNotFound)
}

func TestANewTenantComesWithNetworkRouterAndSecurityGroup(t *testing.T) {
	w := newWorld(t)
	acme := w.newTenant("acme")
	networks, _, err := w.Networks(ctx, operator, cloud.Filter{TenantID: acme.ID}, cloud.Page{})
	w.must(err)
	if len(networks) != 1 {
		t.Fatalf("got %d networks", len(networks))
	}
	n := networks[0]
	if !n.Default || n.Name != "default" || n.HostID != hostID || len(n.Subnets) != 1 {
		t.Fatalf("got %+v", n)
	}
	if got := n.Subnets[0]; got.CIDR != netip.MustParsePrefix("10.77.1.0/24") || !got.DHCP || got.Gateway() != netip.MustParseAddr("10.77.1.1") {
		t.Fatalf("got subnet %+v", got)
	}
	db := raw(t, w.path)
	for query, want := range map[string]int{
		`SELECT COUNT(*) FROM router r JOIN router_interface i ON i.router_id = r.id JOIN subnet s ON s.id = i.subnet_id WHERE r.tenant_id = ?`:           1,
		`SELECT COUNT(*) FROM security_group WHERE tenant_id = ? AND is_default = 1`:                                                                      1,
		`SELECT COUNT(*) FROM security_group_rule WHERE tenant_id = ? AND direction = 'egress' AND protocol = ''`:                                         2,
		`SELECT COUNT(*) FROM security_group_rule WHERE tenant_id = ? AND direction = 'ingress' AND protocol = 'tcp' AND port_min = 22 AND port_max = 22`: 2,
		`SELECT COUNT(*) FROM security_group_rule WHERE tenant_id = ? AND direction = 'ingress' AND protocol IN ('icmp', 'icmpv6')`:                       2,
	} {
		var got int
		w.must(db.QueryRow(query, acme.ID).Scan(&got))
		if got != want {
			t.Errorf("%s gives %d, want %d", query, got, want)
		}
	}
}

func TestTenantsAreRefusedForAReason(t *testing.T) {
	w := newWorld(t)
	acme := w.newTenant("acme")
	w.activeImage("own", acme.ID, false)
	busy := w.newTenant("busy")
	n := w.wanted("web1")
	n.TenantID = busy.ID
	n.Image = w.activeImage("public", w.tenant.ID, true).ID
	_, err := w.CreateInstance(ctx, operator, w.now, n)
	w.must(err)
	member := cloud.Caller{TenantID: acme.ID}

	create := func(c cloud.Caller, name string) error {
		_, err := w.CreateTenant(ctx, c, w.now, cloud.NewTenant{ID: id(name, 2), NetworkID: id(name, 3), SubnetID: id(name, 4), Name: name})
		return err
	}
	for _, tc := range []struct {
		name string
		err  error
		code cloud.Code
	}{
		{"a name that is taken", create(operator, "acme"), cloud.CodeNameTaken},
		{"made by a tenant", create(member, "other"), cloud.CodeForbidden},
		{"deleted by a tenant", w.DeleteTenant(ctx, member, w.now, acme.ID), cloud.CodeForbidden},
		{"another one deleted by a tenant", w.DeleteTenant(ctx, member, w.now, busy.ID), cloud.CodeNotFound},
		{"deleted and unknown", w.DeleteTenant(ctx, operator, w.now, id("nobody")), cloud.CodeNotFound},
		{"deleted with an image", w.DeleteTenant(ctx, operator, w.now, acme.ID), cloud.CodeInUse},
		{"deleted with an instance", w.DeleteTenant(ctx, operator, w.now, busy.ID), cloud.CodeInUse},
		{"the default one deleted", w.DeleteTenant(ctx, operator, w.now, w.tenant.ID), cloud.CodeConflict},
	} {
		t.Run(tc.name, func(t *testing.T) { w.t = t; w.refused(tc.err, tc.code) })
	}
}

func TestADeletedTenantIsNotSeenAndItsNameAndSubnetAreFreeAgain(t *testing.T) {
	w := newWorld(t)
	acme := w.newTenant("acme")
	w.rang()
	w.must(w.DeleteTenant(ctx, operator, w.later(1e9), acme.ID))
	if !w.rang() {
		t.Fatal("the bell did not ring for the network that has to go")
	}
	_, err := w.Tenant(ctx, operator, "acme")
	w.refused(err, cloud.CodeNotFound)

	subnetOf := func(tenantID string) netip.Prefix {
		networks, _, err := w.Networks(ctx, operator, cloud.Filter{TenantID: tenantID}, cloud.Page{})
		w.must(err)
		return networks[0].Subnets[0].CIDR
	}
	// The network is still on its host: its subnet is taken until it is gone.
	second, err := w.CreateTenant(ctx, operator, w.now, cloud.NewTenant{ID: id(1), NetworkID: id(2), SubnetID: id(3), Name: "acme"})
	w.must(err)
	if got := subnetOf(second.ID); got.String() != "10.77.2.0/24" {
		t.Fatalf("got %v", got)
	}
	w.must(w.RecordNetwork(ctx, w.now, id("network", "acme"), nil, true))
	third, err := w.CreateTenant(ctx, operator, w.now, cloud.NewTenant{ID: id(4), NetworkID: id(5), SubnetID: id(6), Name: "third"})
	w.must(err)
	if got := subnetOf(third.ID); got.String() != "10.77.1.0/24" {
		t.Fatalf("got %v", got)
	}
}

func TestAFullPoolIsSaid(t *testing.T) {
	w := newWorldWith(t, store.Options{NetworkPool: netip.MustParsePrefix("10.77.0.0/23")})
	w.newTenant("acme")
	_, err := w.CreateTenant(ctx, operator, w.now, cloud.NewTenant{ID: id(1), NetworkID: id(2), SubnetID: id(3), Name: "one-more"})
	w.refused(err, cloud.CodeAddresses)
}

func TestATenantSeesItselfOnly(t *testing.T) {
	w := newWorld(t)
	acme := w.newTenant("acme")
	member := cloud.Caller{TenantID: acme.ID}
	for _, name := range []string{"acme", acme.ID} {
		got, err := w.Tenant(ctx, member, name)
		w.must(err)
		if got.ID != acme.ID {
			t.Fatalf("%s gave %+v", name, got)
		}
	}
	_, err := w.Tenant(ctx, member, "default")
	w.refused(err, cloud.CodeNotFound)
	mine, _, err := w.Tenants(ctx, member, cloud.Filter{}, cloud.Page{})
	w.must(err)
	all, _, err := w.Tenants(ctx, operator, cloud.Filter{}, cloud.Page{})
	w.must(err)
	if len(mine) != 1 || len(all) != 2 {
		t.Fatalf("got %d and %d tenants", len(mine), len(all))
	}
	// A caller without a tenant sees nothing at all.
	_, _, err = w.Tenants(ctx, cloud.Caller{}, cloud.Filter{}, cloud.Page{})
	w.refused(err, cloud.CodeNotFound)
}

func TestFlavorsAreMadeAndDeletedByTheOperator(t *testing.T) {
	w := newWorld(t)
	f := cloud.Flavor{ID: "huge", VCPUs: 64, MemoryMiB: 1 << 20, DiskGiB: 100}
	w.refused(w.CreateFlavor(ctx, cloud.Caller{TenantID: w.tenant.ID}, w.now, f), cloud.CodeForbidden)
	w.must(w.CreateFlavor(ctx, operator, w.now, f))
	w.refused(w.CreateFlavor(ctx, operator, w.now, f), cloud.CodeNameTaken)
	got, err := w.Flavor(ctx, "huge")
	w.must(err)
	if f.CreatedAt = noon; got != f {
		t.Fatalf("got %+v", got)
	}
	all, err := w.Flavors(ctx)
	w.must(err)
	if len(all) != 12 || all[0].ID != "c1-m05" || all[11].ID != "huge" {
		t.Fatalf("got %+v", all)
	}
	w.refused(w.DeleteFlavor(ctx, cloud.Caller{TenantID: w.tenant.ID}, w.now, "huge"), cloud.CodeForbidden)
	w.must(w.DeleteFlavor(ctx, operator, w.now, "huge"))
	w.refused(w.DeleteFlavor(ctx, operator, w.now, "huge"), cloud.CodeNotFound)
	w.refused(w.DeleteFlavor(ctx, operator, w.now, cloud.DefaultFlavorID), cloud.CodeConflict)
}

package store_test

import (
	"fmt"
	"testing"

	"lodge/cloud"
	"lodge/store"
)

// multiply copies an instance with its disk, port and address: into each of so
// many tenants (the first is its own, the others are new) and so many a tenant.
// It goes past every method: a world of 100,000 is there in seconds.
func (w *world) multiply(model string, tenants, each int) {
	w.t.Helper()
	t := w.t
	exec := func(query string, args ...any) {
		t.Helper()
		if err := store.Exec(w.DB, query, args...); err != nil {
			t.Fatal(err)
		}
	}
	copies := `WITH RECURSIVE
		n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < %d - 1)`
	exec(fmt.Sprintf(copies, tenants)+`
		INSERT INTO tenant (id, name, created_at, updated_at)
		SELECT printf('%08x-0000-4000-8000-000000000000', n.n), 't' || n.n, ?, ? FROM n WHERE n.n > 0`, w.now.UnixMilli(), w.now.UnixMilli())
	// Copies are numbered; tenant 0 is the model's own.
	idOf := func(kind string) string { return `printf('` + kind + `%07x-0000-4000-8000-%012x', n.n, n.n)` }
	tenantOf := fmt.Sprintf(`CASE WHEN n.n / %d = 0 THEN m.tenant_id ELSE printf('%%08x-0000-4000-8000-000000000000', n.n / %d) END`, each, each)
	for _, into := range []string{
		`instance (id, tenant_id, name, labels, created_at, updated_at, host_id, flavor_id, vcpus, memory_mib, disk_gib, image_id, firmware, power, power_at, wished_at, state)
		SELECT ` + idOf("a") + `, ` + tenantOf + `, 'vm' || n.n,
		  json_object('env', CASE n.n % 3 WHEN 0 THEN 'prod' ELSE 'test' END, 'app', 'app' || (n.n % 100), 'rare', 'r' || (n.n % 10000), 'job', '7'),
		  m.created_at + n.n % 1000, m.updated_at, m.host_id, m.flavor_id, m.vcpus, m.memory_mib, m.disk_gib, m.image_id, m.firmware, m.power, m.power_at, m.wished_at, m.state
		FROM n, instance m WHERE m.id = ?`,
		`volume (id, tenant_id, created_at, updated_at, host_id, size_gib, image_id, state)
		SELECT ` + idOf("b") + `, ` + tenantOf + `, m.created_at, m.updated_at, m.host_id, 20, m.image_id, 'requested'
		FROM n, instance m WHERE m.id = ?`,
		`attachment (instance_id, slot, volume_id, tenant_id, delete_with_instance, created_at)
		SELECT ` + idOf("a") + `, 'root', ` + idOf("b") + `, ` + tenantOf + `, 1, m.created_at
		FROM n, instance m WHERE m.id = ?`,
		`port (id, tenant_id, network_id, instance_id, slot, mac, name, delete_with_instance, created_at, updated_at)
		SELECT ` + idOf("c") + `, ` + tenantOf + `, p.network_id, ` + idOf("a") + `, 0, printf('52:54:01:%02x:%02x:%02x', n.n / 65536, n.n / 256 % 256, n.n % 256), 'vm' || n.n, 1, m.created_at, m.updated_at
		FROM n, instance m JOIN port p ON p.instance_id = m.id WHERE m.id = ?`,
		`port_fixed_ip (port_id, subnet_id, tenant_id, address, created_at)
		SELECT ` + idOf("c") + `, f.subnet_id, ` + tenantOf + `, printf('10.%d.%d.%d', 100 + n.n / 65536, n.n / 256 % 256, n.n % 256), m.created_at
		FROM n, instance m JOIN port p ON p.instance_id = m.id JOIN port_fixed_ip f ON f.port_id = p.id WHERE m.id = ?`,
	} {
		exec(fmt.Sprintf(copies, tenants*each)+` INSERT INTO `+into, model)
	}
}

// BenchmarkScale is what the API asks of the store with 1,000 tenants and 100,000
// instances.
func BenchmarkScale(b *testing.B) {
	w := newWorldWith(b, roomy)
	w.multiply(w.create("model").ID, 1000, 100)
	var tenant cloud.Tenant
	if tenants, _, err := w.Tenants(ctx, operator, cloud.Filter{Name: "t500"}, cloud.Page{}); err != nil || len(tenants) != 1 {
		b.Fatal(tenants, err)
	} else {
		tenant = tenants[0]
	}
	limit := int64(1000)
	w.must(w.SetQuotas(ctx, operator, w.now, tenant.ID, map[cloud.Resource]*int64{cloud.ResourceInstances: &limit}))
	tenantsOwn := cloud.Caller{TenantID: tenant.ID}
	for _, tc := range []struct {
		name string
		c    cloud.Caller
		f    cloud.Filter
		sort cloud.Sort
	}{
		{"page", operator, cloud.Filter{}, ""},
		{"page/of-a-tenant", tenantsOwn, cloud.Filter{}, ""},
		{"page/by-name", operator, cloud.Filter{}, cloud.SortName},
		{"label/a-third", operator, cloud.Filter{Labels: selector(b, "env=prod")}, ""},
		{"label/one-in-a-hundred", operator, cloud.Filter{Labels: selector(b, "app=app7")}, ""},
		{"label/ten", operator, cloud.Filter{Labels: selector(b, "rare=r7")}, ""},
		{"label/both", operator, cloud.Filter{Labels: selector(b, "env=prod,rare=r7")}, ""},
		{"label/not", operator, cloud.Filter{Labels: selector(b, "env!=prod")}, ""},
		{"label/values", operator, cloud.Filter{Labels: selector(b, "app in (app1,app2)")}, ""},
		{"label/by-name", operator, cloud.Filter{Labels: selector(b, "env=prod")}, cloud.SortName},
		{"label/of-a-tenant", tenantsOwn, cloud.Filter{Labels: selector(b, "env=prod")}, ""},
		{"state/none-there", operator, cloud.Filter{State: "error"}, ""},
	} {
		b.Run(tc.name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := w.Instances(ctx, tc.c, tc.f, cloud.Page{Limit: 100, Sort: tc.sort}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("quota", func(b *testing.B) {
		for b.Loop() {
			if _, err := w.Quotas(ctx, operator, w.now, tenant.ID); err != nil {
				b.Fatal(err)
			}
		}
	})
}

package store

import (
	"context"
	"time"

	"lodge/cloud"
)

// builtinFlavors are there from the first start on.
var builtinFlavors = []cloud.Flavor{
	{ID: "c1-m05", VCPUs: 1, MemoryMiB: 512, DiskGiB: 10},
	{ID: "c1-m1", VCPUs: 1, MemoryMiB: 1024, DiskGiB: 10},
	{ID: "c1-m2", VCPUs: 1, MemoryMiB: 2048, DiskGiB: 20},
	{ID: "c2-m2", VCPUs: 2, MemoryMiB: 2048, DiskGiB: 20},
	{ID: "c2-m4", VCPUs: 2, MemoryMiB: 4096, DiskGiB: 20},
	{ID: "c2-m8", VCPUs: 2, MemoryMiB: 8192, DiskGiB: 20},
	{ID: "c4-m4", VCPUs: 4, MemoryMiB: 4096, DiskGiB: 20},
	{ID: "c4-m8", VCPUs: 4, MemoryMiB: 8192, DiskGiB: 20},
	{ID: "c4-m16", VCPUs: 4, MemoryMiB: 16384, DiskGiB: 20},
	{ID: "c8-m16", VCPUs: 8, MemoryMiB: 16384, DiskGiB: 20},
	{ID: "c8-m32", VCPUs: 8, MemoryMiB: 32768, DiskGiB: 20},
}

// EnsureInstallation makes, at the first start, the default tenant with the ids
// of n and the built-in flavors; n.Name is not used. Later it only returns the
// default tenant: a flavor that the operator deleted stays deleted.
func (d *DB) EnsureInstallation(ctx context.Context, now time.Time, n cloud.NewTenant) (cloud.Tenant, error) {
	tenant, err := d.Tenant(ctx, installer, cloud.DefaultTenantName)
	if cloud.CodeOf(err) != cloud.CodeNotFound {
		return tenant, err
	}
	n.Name = cloud.DefaultTenantName
	err = d.write(ctx, now, installer, "first start", func(t *tx) error {
		there, err := exists(t, `SELECT 1 FROM tenant WHERE name = ?`, n.Name)
		if err != nil || there {
			return err
		}
		for _, f := range builtinFlavors {
			if err := t.insertFlavor(f); err != nil {
				return err
			}
		}
		return t.createTenant(n)
	})
	if err != nil {
		return cloud.Tenant{}, err
	}
	return d.Tenant(ctx, installer, n.Name)
}

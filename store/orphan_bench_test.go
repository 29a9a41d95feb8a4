package store_test

import (
	"fmt"
	"testing"

	"lodge/cloud"
)

// What a sweep over 500 instances pays for looking for orphans when there
// are none.
func BenchmarkALookWithoutOrphans(b *testing.B) {
	w := newWorld(b)
	public := w.activeImage("public", w.tenant.ID, true)
	all := make([]cloud.Instance, 0, 500)
	for n := range 500 {
		want := w.wanted(fmt.Sprintf("vm%04d", n))
		if n%200 == 0 {
			want.TenantID = w.newTenant(fmt.Sprintf("t%d", n)).ID
			w.tenant.ID = want.TenantID
		}
		want.TenantID, want.Image, want.VCPUs, want.MemoryMiB = w.tenant.ID, public.ID, 1, 64
		want.FlavorID = ""
		i, err := w.CreateInstance(ctx, operator, w.now, want)
		w.must(err)
		all = append(all, i)
	}
	seen := w.sightOf(all[:1]...)
	wishes, err := w.InstanceWishes(ctx, hostID, nil)
	w.must(err)
	for _, wish := range wishes {
		seen.Guests[wish.ID] = cloud.Guest{ID: wish.ID, State: cloud.GuestRunning}
		seen.Disks[cloud.DiskKey{Kind: cloud.DiskVolume, ID: wish.Root.ID}] = cloud.Disk{}
		seen.Disks[cloud.DiskKey{Kind: cloud.DiskSeed, ID: wish.ID}] = cloud.Disk{}
	}
	for b.Loop() {
		w.must(w.RecordOrphans(ctx, hostID, w.now, seen))
	}
	if o, err := w.Orphans(ctx, operator); err != nil || len(o) > 0 {
		b.Fatal(o, err)
	}
}

package store_test

import (
	"net/netip"
	"testing"
	"time"

	"lodge/cloud"
)

// sightOf is a host that shows what the rows of the instances say.
func (w *world) sightOf(all ...cloud.Instance) cloud.HostSight {
	s := cloud.HostSight{Guests: map[string]cloud.Guest{}, Disks: map[cloud.DiskKey]cloud.Disk{}, Networks: map[string]cloud.HostNetwork{}}
	wishes, err := w.InstanceWishes(ctx, hostID, nil)
	w.must(err)
	for _, i := range all {
		s.Guests[i.ID] = cloud.Guest{ID: i.ID, State: cloud.GuestRunning}
		for _, wish := range wishes {
			if wish.ID == i.ID {
				s.Disks[cloud.DiskKey{Kind: cloud.DiskVolume, ID: wish.Root.ID}] = cloud.Disk{Path: "/disks/" + wish.Root.ID}
				s.Disks[cloud.DiskKey{Kind: cloud.DiskSeed, ID: i.ID}] = cloud.Disk{}
				s.Disks[cloud.DiskKey{Kind: cloud.DiskImage, ID: wish.Image.ID}] = cloud.Disk{}
			}
		}
		for _, p := range i.Ports {
			n := s.Networks[p.NetworkID]
			if n.Ports == nil {
				n = cloud.HostNetwork{ID: p.NetworkID, Active: true, Ports: map[string]cloud.PortSpec{}}
			}
			n.Ports[p.MAC] = cloud.PortSpec{MAC: p.MAC, Address: p.FixedIPs[0].Address, Name: p.Name}
			s.Networks[p.NetworkID] = n
		}
	}
	return s
}

func TestWhatNoRowIsAboutIsAnOrphanAndKeepsItsAddress(t *testing.T) {
	w := newWorld(t)
	web1 := w.run("web1")
	seen := w.sightOf(web1)
	w.must(w.RecordOrphans(ctx, hostID, w.now, seen))
	if all, err := w.Orphans(ctx, operator); err != nil || len(all) != 0 {
		t.Fatalf("orphans %+v, %v", all, err)
	}
	stray, volume, mac := id("stray"), id("stray", "volume"), "52:54:00:aa:bb:cc"
	next := web1.Ports[0].FixedIPs[0].Address.Next()
	seen.Guests[stray] = cloud.Guest{ID: stray, State: cloud.GuestRunning}
	seen.Guests[id("foreign")] = cloud.Guest{ID: id("foreign"), Foreign: true}
	seen.Disks[cloud.DiskKey{Kind: cloud.DiskVolume, ID: volume}] = cloud.Disk{Path: "/disks/x"}
	seen.Networks[web1.Ports[0].NetworkID].Ports[mac] = cloud.PortSpec{MAC: mac, Address: next}
	w.must(w.RecordOrphans(ctx, hostID, w.now, seen))
	all, err := w.Orphans(ctx, operator)
	w.must(err)
	if len(all) != 3 || all[0].Kind != cloud.OrphanGuest || all[0].ID != stray || all[0].State != cloud.GuestRunning ||
		all[1].Kind != cloud.OrphanPort || all[1].Address != next || all[2].Kind != cloud.OrphanVolume || all[2].Path != "/disks/x" {
		t.Fatalf("orphans %+v", all)
	}
	if _, err := w.Orphans(ctx, cloud.Caller{TenantID: w.tenant.ID}); cloud.CodeOf(err) != cloud.CodeForbidden {
		t.Errorf("a tenant was told %v", err)
	}
	found := all[0].FoundAt
	w.must(w.RecordOrphans(ctx, hostID, w.later(time.Minute), seen))
	if all, err = w.Orphans(ctx, operator); err != nil || !all[0].FoundAt.Equal(found) {
		t.Errorf("found at %v and then at %v, %v", found, all[0].FoundAt, err)
	}
	web2 := w.create("web2")
	if got := web2.Ports[0].FixedIPs[0].Address; got == next || got == (netip.Addr{}) {
		t.Errorf("web2 has %v, which the stray guest has", got)
	}
	other := w.activeImage("other", w.tenant.ID, false)
	w.refused(w.DeleteImage(ctx, operator, w.now, other.ID), cloud.CodeInUse)
	w.must(w.RecordOrphans(ctx, hostID, w.now, w.sightOf(web1)))
	w.must(w.DeleteImage(ctx, operator, w.now, other.ID))
}

func TestAnInstanceThatJustWentIsNoOrphan(t *testing.T) {
	w := newWorld(t)
	web1 := w.run("web1")
	seen := w.sightOf(web1)
	_, err := w.DeleteInstance(ctx, operator, w.now, web1.ID)
	w.must(err)
	w.record(w.gone(web1))
	w.must(w.RecordOrphans(ctx, hostID, w.now, seen))
	if all, err := w.Orphans(ctx, operator); err != nil || len(all) != 0 {
		t.Fatalf("orphans %+v, %v", all, err)
	}
	w.must(w.RecordOrphans(ctx, hostID, w.later(6*time.Minute), seen))
	if all, err := w.Orphans(ctx, operator); err != nil || len(all) == 0 {
		t.Fatalf("a guest that stayed for minutes is no orphan: %+v, %v", all, err)
	}
}

func TestARestoredDatabaseMakesNothingBeforeItIsAdopted(t *testing.T) {
	w := newWorld(t)
	web1, web2 := w.run("web1"), w.run("web2")
	w.must(w.MarkRestored(ctx, w.now, "b1", w.now.Add(-time.Hour)))
	_, err := w.CreateInstance(ctx, operator, w.now, w.wanted("web3"))
	w.refused(err, cloud.CodeUnavailable)
	if waits, err := w.Unadopted(ctx); err != nil || !waits {
		t.Fatalf("unadopted %v, %v", waits, err)
	}
	report := cloud.RestoreReport{Running: []string{web1.ID}, Stopped: []string{web2.ID}}
	w.must(w.Adopt(ctx, hostID, w.later(time.Minute), []cloud.Adoption{{InstanceID: web2.ID, Power: cloud.PowerOff, Rebooted: true}}, report, w.sightOf(web1, web2)))
	r, found, err := w.Restored(ctx)
	w.must(err)
	if !found || r.BackupID != "b1" || r.AdoptedAt.IsZero() || len(r.Report.Running) != 1 || len(r.Report.NoImage) != 0 || r.Report.Orphans != 0 {
		t.Errorf("restored %+v, %v", r, found)
	}
	if got := w.instance(web2.ID); got.Power != cloud.PowerOff || got.Generation != web2.Generation+1 {
		t.Errorf("web2 is wanted %s in generation %d", got.Power, got.Generation)
	}
	if got := w.instance(web1.ID); got.Power != cloud.PowerOn || got.Generation != web1.Generation {
		t.Errorf("web1 is wanted %s in generation %d", got.Power, got.Generation)
	}
	w.create("web3")
}

func TestAnImageThatIsNotOnTheHostIsReported(t *testing.T) {
	w := newWorld(t)
	web1 := w.run("web1")
	w.must(w.MarkRestored(ctx, w.now, "b1", w.now.Add(-time.Hour)))
	seen := w.sightOf(web1)
	for key := range seen.Disks {
		if key.Kind == cloud.DiskImage {
			delete(seen.Disks, key)
		}
	}
	w.must(w.Adopt(ctx, hostID, w.later(time.Minute), nil, cloud.RestoreReport{}, seen))
	r, _, err := w.Restored(ctx)
	w.must(err)
	if len(r.Report.NoImage) != 1 || r.Report.NoImage[0] != web1.ImageID {
		t.Errorf("images that are not there: %v, and it is %s", r.Report.NoImage, web1.ImageID)
	}
}

// A tenant that was made since the backup has a network on the host and no row. Its
// range is given to nobody as long as the network, or only a port of it, is there.
func TestTheRangeOfANetworkThatNoRowIsAboutIsNotGiven(t *testing.T) {
	w := newWorld(t)
	tenant := func(name string) cloud.NewTenant {
		return cloud.NewTenant{ID: id(name), NetworkID: id(name, "net"), SubnetID: id(name, "subnet"), Name: name}
	}
	given := func(name string) netip.Prefix {
		t.Helper()
		_, err := w.CreateTenant(ctx, operator, w.now, tenant(name))
		w.must(err)
		n, err := w.Network(ctx, operator, id(name, "net"))
		w.must(err)
		return n.Subnets[0].CIDR
	}
	w.must(w.MarkRestored(ctx, w.now, "b1", w.now.Add(-time.Hour)))
	_, err := w.CreateTenant(ctx, operator, w.now, tenant("early"))
	w.refused(err, cloud.CodeUnavailable)

	mac := "52:54:00:aa:bb:cc"
	late, second := netip.MustParsePrefix("10.77.1.0/24"), netip.MustParsePrefix("10.77.2.0/24")
	seen := w.sightOf()
	seen.Networks[id("late")] = cloud.HostNetwork{ID: id("late"), Active: true, CIDR: late}
	seen.Networks[id("second")] = cloud.HostNetwork{ID: id("second"), Active: true, Ports: map[string]cloud.PortSpec{mac: {MAC: mac, Address: second.Addr().Next()}}}
	w.must(w.Adopt(ctx, hostID, w.now, nil, cloud.RestoreReport{}, seen))
	all, err := w.Orphans(ctx, operator)
	w.must(err)
	if len(all) != 3 || all[0].Kind != cloud.OrphanNetwork || all[0].CIDR != late && all[1].CIDR != late {
		t.Errorf("orphans %+v", all)
	}
	if got := given("newt"); got.Overlaps(late) || got.Overlaps(second) {
		t.Errorf("newt got %v", got)
	}
	w.must(w.RecordOrphans(ctx, hostID, w.now, w.sightOf()))
	if got := given("next"); got != late {
		t.Errorf("behind the removal next got %v", got)
	}
}

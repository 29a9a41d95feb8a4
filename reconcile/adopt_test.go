package reconcile_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lodge/cloud"
	"lodge/reconcile"
)

func TestWhatTheHostShowsIsNewerThanTheBackup(t *testing.T) {
	wish := func(id string, p cloud.Power) cloud.InstanceWish {
		return cloud.InstanceWish{Instance: cloud.Instance{Meta: cloud.Meta{ID: id}, Power: p, Generation: 1}}
	}
	deleted := wish("deleted", cloud.PowerOn)
	deleted.DeletedAt = time.Unix(1, 0)
	rebooting := wish("rebooting", cloud.PowerOn)
	rebooting.Boots = 1
	root := func(w cloud.InstanceWish, s cloud.VolumeState) cloud.InstanceWish {
		w.Root = cloud.Volume{Meta: cloud.Meta{ID: "disk-of-" + w.ID}, State: s}
		return w
	}
	as, r := reconcile.PlanAdopt([]cloud.InstanceWish{
		wish("runs", cloud.PowerOn), wish("started", cloud.PowerOff), wish("stopped", cloud.PowerOn), wish("destroyed", cloud.PowerOn),
		wish("host-booted", cloud.PowerOn), wish("off", cloud.PowerOff), wish("missing", cloud.PowerOn), wish("foreign", cloud.PowerOff), deleted, rebooting,
		root(wish("kept", cloud.PowerOn), cloud.VolumeAvailable), root(wish("lost", cloud.PowerOn), cloud.VolumeAvailable), root(wish("unmade", cloud.PowerOn), cloud.VolumeRequested),
	}, cloud.HostSight{Disks: map[cloud.DiskKey]cloud.Disk{
		{Kind: cloud.DiskVolume, ID: "disk-of-kept"}: {}, {Kind: cloud.DiskSeed, ID: "disk-of-lost"}: {},
	}, Guests: map[string]cloud.Guest{
		"runs":        {State: cloud.GuestRunning},
		"started":     {State: cloud.GuestPaused},
		"stopped":     {State: cloud.GuestOff, OffReason: cloud.OffShutdown},
		"destroyed":   {State: cloud.GuestOff, OffReason: cloud.OffDestroyed},
		"host-booted": {State: cloud.GuestOff},
		"off":         {State: cloud.GuestOff, OffReason: cloud.OffShutdown},
		"foreign":     {State: cloud.GuestRunning, Foreign: true},
		"deleted":     {State: cloud.GuestRunning},
		"rebooting":   {State: cloud.GuestRunning},
		"stray":       {State: cloud.GuestRunning},
	}})
	want := []cloud.Adoption{
		{InstanceID: "started", Power: cloud.PowerOn}, {InstanceID: "stopped", Power: cloud.PowerOff},
		{InstanceID: "destroyed", Power: cloud.PowerOff}, {InstanceID: "rebooting", Rebooted: true},
	}
	if d := cmp.Diff(want, as); d != "" {
		t.Error(d)
	}
	report := cloud.RestoreReport{Running: []string{"rebooting", "runs"}, Started: []string{"started"}, Stopped: []string{"destroyed", "stopped"}, Missing: []string{"kept", "lost", "missing", "unmade"}, NoDisk: []string{"lost"}}
	if d := cmp.Diff(report, r); d != "" {
		t.Error(d)
	}
}

// A network where somebody has a lease is not taken away, although no row needs
// it.
func TestANetworkWithAnUnknownPortStays(t *testing.T) {
	seen := cloud.HostNetwork{ID: "n", Active: true, Ports: map[string]cloud.PortSpec{"52:54:00:00:00:01": {}}}
	if steps, gone := reconcile.PlanNetwork(cloud.NetworkWish{}, &seen); len(steps) > 0 || gone {
		t.Errorf("got %v, gone %v", steps, gone)
	}
	seen.Ports = nil
	if steps, _ := reconcile.PlanNetwork(cloud.NetworkWish{}, &seen); len(steps) != 1 {
		t.Errorf("got %v", steps)
	}
}

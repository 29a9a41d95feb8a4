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
	as, r := reconcile.PlanAdopt([]cloud.InstanceWish{
		wish("runs", cloud.PowerOn), wish("started", cloud.PowerOff), wish("stopped", cloud.PowerOn), wish("destroyed", cloud.PowerOn),
		wish("host-booted", cloud.PowerOn), wish("off", cloud.PowerOff), wish("missing", cloud.PowerOn), wish("foreign", cloud.PowerOff), deleted, rebooting,
	}, map[string]cloud.Guest{
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
	})
	want := []cloud.Adoption{
		{InstanceID: "started", Power: cloud.PowerOn}, {InstanceID: "stopped", Power: cloud.PowerOff},
		{InstanceID: "destroyed", Power: cloud.PowerOff}, {InstanceID: "rebooting", Rebooted: true},
	}
	if d := cmp.Diff(want, as); d != "" {
		t.Error(d)
	}
	report := cloud.RestoreReport{Running: []string{"rebooting", "runs"}, Started: []string{"started"}, Stopped: []string{"destroyed", "stopped"}, Missing: []string{"missing"}}
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

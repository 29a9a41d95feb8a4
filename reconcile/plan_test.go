package reconcile

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"lodge/cloud"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	instID = "11111111-1111-4111-8111-111111111111"
	rootID = "22222222-2222-4222-8222-222222222222"
	imgID  = "33333333-3333-4333-8333-333333333333"
	netID  = "44444444-4444-4444-8444-444444444444"
	mac    = "52:54:00:00:00:01"
)

// wished is a new instance that nothing has been done for.
func wished(change ...func(*cloud.InstanceWish)) cloud.InstanceWish {
	w := cloud.InstanceWish{
		Instance: cloud.Instance{
			Meta: cloud.Meta{ID: instID}, Name: "web1",
			VCPUs: 2, MemoryMiB: 4096, DiskGiB: 20, ImageID: imgID, Firmware: cloud.FirmwareBIOS,
			Generation: 1, Power: cloud.PowerOn, PowerAt: t0, State: cloud.StateRequested,
			Ports: []cloud.Port{{Meta: cloud.Meta{ID: "p"}, NetworkID: netID, MAC: mac, Name: "web1",
				FixedIPs: []cloud.FixedIP{{Address: netip.MustParseAddr("10.77.0.2")}}}},
		},
		Root:  cloud.Volume{Meta: cloud.Meta{ID: rootID}, SizeGiB: 20, State: cloud.VolumeRequested},
		Image: cloud.Image{Meta: cloud.Meta{ID: imgID}, Format: cloud.FormatQcow2, State: cloud.ImageActive},
	}
	for _, c := range change {
		c(&w)
	}
	return w
}

// running is an instance that runs as it should.
func running(w *cloud.InstanceWish) {
	w.State, w.ObservedGeneration = cloud.StateRunning, 1
	w.RunningVCPUs, w.RunningMemoryMiB, w.StartedAt = 2, 4096, t0.Add(-time.Hour)
	w.PowerAt = t0.Add(-2 * time.Hour)
	w.Root.State = cloud.VolumeAvailable
}

func stopped(w *cloud.InstanceWish) {
	running(w)
	w.State, w.Power, w.StartedAt = cloud.StateStopped, cloud.PowerOff, time.Time{}
}

// parts is a host on which everything but the guest is there.
func parts() Seen {
	return Seen{
		Root:  &cloud.Disk{ID: rootID, Kind: cloud.DiskVolume, Path: "/d/root", Format: cloud.FormatQcow2},
		Seed:  &cloud.Disk{ID: instID, Kind: cloud.DiskSeed, Path: "/d/seed", Format: cloud.FormatRaw},
		Image: &cloud.Disk{ID: imgID, Kind: cloud.DiskImage, Path: "/d/img", Format: cloud.FormatQcow2},
		Networks: map[string]cloud.HostNetwork{netID: {ID: netID, Active: true, Ports: map[string]cloud.PortSpec{
			mac: {MAC: mac, Address: netip.MustParseAddr("10.77.0.2"), Name: "web1"}}}},
	}
}

// guest adds a guest with the right definition.
func guest(w cloud.InstanceWish, state cloud.GuestState, change ...func(*cloud.Guest)) Seen {
	s := parts()
	d := guestSpec(w, s).Digest()
	s.Guest = &cloud.Guest{ID: instID, State: state, Digest: d}
	if state == cloud.GuestRunning || state == cloud.GuestPaused {
		s.Guest.Live, s.Guest.VCPUs, s.Guest.MemoryMiB = d, 2, 4096
	}
	for _, c := range change {
		c(s.Guest)
	}
	return s
}

// Only the first definition of an instance that shall run is started without
// another look: every other start has reasons that the look has to show.
func TestTheFirstDefinitionIsStartedAtOnce(t *testing.T) {
	for _, tt := range []struct {
		what  string
		w     cloud.InstanceWish
		s     Seen
		start bool
	}{
		{"new", wished(), parts(), true},
		{"new, wanted off", wished(func(w *cloud.InstanceWish) { w.Power = cloud.PowerOff }), parts(), false},
		{"undefined by hand while it ran", wished(running), parts(), false},
		{"undefined by hand while it was off", wished(stopped), parts(), false},
		{"new, and defined by a lodged that died", wished(), guest(wished(), cloud.GuestOff, func(g *cloud.Guest) { g.Digest = "" }), false},
	} {
		d := Plan(tt.w, tt.s, t0)
		if len(d.Steps) != 1 || d.Steps[0].Verb != VerbDefine || d.Steps[0].Start != tt.start {
			t.Errorf("%s: %+v", tt.what, d.Steps)
		}
	}
}

func TestPlan(t *testing.T) {
	off := func(r cloud.OffReason) func(*cloud.Guest) { return func(g *cloud.Guest) { g.OffReason = r } }
	deleted := func(w *cloud.InstanceWish) { w.DeletedAt = t0; w.Generation++ }
	want := func(p cloud.Power, force bool) func(*cloud.InstanceWish) {
		return func(w *cloud.InstanceWish) { w.Power, w.PowerForce, w.PowerAt = p, force, t0; w.Generation++ }
	}
	reboot := func(force bool) func(*cloud.InstanceWish) {
		return func(w *cloud.InstanceWish) { w.Boots++; w.PowerForce, w.PowerAt = force, t0; w.Generation++ }
	}
	for _, tt := range []struct {
		name  string
		wish  cloud.InstanceWish
		seen  func(cloud.InstanceWish) Seen
		now   time.Time
		steps string // verbs, or actions for power
		state cloud.State
		task  cloud.Task
		check func(*testing.T, Decision)
	}{
		{"a new instance gets its disk and seed, and its network first", wished(),
			func(cloud.InstanceWish) Seen { s := parts(); s.Root, s.Seed, s.Networks = nil, nil, nil; return s }, t0,
			"create-disk write-seed", cloud.StateRequested, cloud.TaskCreating,
			func(t *testing.T, d Decision) {
				if len(d.Needs) != 1 || d.Needs[0] != netID {
					t.Errorf("needs %v", d.Needs)
				}
				if len(d.Record.Readings) != 0 {
					t.Errorf("a wish was billed: %v", d.Record.Readings)
				}
			}},
		{"an instance shows what is wrong with the network it waits for",
			wished(func(w *cloud.InstanceWish) {
				w.Networks = []cloud.Network{{Meta: cloud.Meta{ID: netID}, Problem: &cloud.Problem{Code: cloud.CodeNetwork}}}
			}),
			func(cloud.InstanceWish) Seen { s := parts(); s.Networks = nil; return s }, t0, "", cloud.StateBuilding, cloud.TaskCreating,
			func(t *testing.T, d Decision) {
				if d.Record.Problem == nil || d.Record.Problem.Code != cloud.CodeNetwork {
					t.Errorf("problem %v", d.Record.Problem)
				}
			}},
		{"a network that is up gets the port", wished(),
			func(cloud.InstanceWish) Seen {
				s := parts()
				s.Networks = map[string]cloud.HostNetwork{netID: {ID: netID, Active: true}}
				return s
			}, t0, "ensure-port", cloud.StateBuilding, cloud.TaskCreating, nil},
		{"with all parts the guest is defined", wished(),
			func(cloud.InstanceWish) Seen { return parts() }, t0, "define", cloud.StateBuilding, cloud.TaskCreating, nil},
		{"a defined guest is started", wished(),
			func(w cloud.InstanceWish) Seen { return guest(w, cloud.GuestOff) }, t0, "start", cloud.StateBuilding, cloud.TaskCreating, nil},
		{"a running guest settles the wish", wished(),
			func(w cloud.InstanceWish) Seen { return guest(w, cloud.GuestRunning) }, t0, "", cloud.StateRunning, cloud.TaskNone,
			func(t *testing.T, d Decision) {
				if d.Record.ObservedGeneration != 1 || len(d.Record.Readings) != 4 {
					t.Errorf("record %+v", d.Record)
				}
			}},
		{"an instance made stopped is not started", wished(func(w *cloud.InstanceWish) { w.Power = cloud.PowerOff }),
			func(w cloud.InstanceWish) Seen { return guest(w, cloud.GuestOff) }, t0, "", cloud.StateStopped, cloud.TaskNone, nil},
		{"a guest destroyed by hand is started again", wished(running),
			func(w cloud.InstanceWish) Seen { return guest(w, cloud.GuestOff, off(cloud.OffDestroyed)) }, t0,
			"start", cloud.StateStopped, cloud.TaskStarting, nil},
		{"a guest that powers itself off becomes wanted stopped", wished(running),
			func(w cloud.InstanceWish) Seen { return guest(w, cloud.GuestOff, off(cloud.OffShutdown)) }, t0,
			"", cloud.StateStopped, cloud.TaskNone,
			func(t *testing.T, d Decision) {
				if !d.Record.GuestStopped {
					t.Error("the wish was not changed")
				}
			}},
		{"a start asked after the guest powered itself off wins", wished(running, want(cloud.PowerOn, false)),
			func(w cloud.InstanceWish) Seen { return guest(w, cloud.GuestOff, off(cloud.OffShutdown)) }, t0,
			"start", cloud.StateStopped, cloud.TaskStarting, nil},
		{"a shutdown that answers a stop taken back is not the guest's wish",
			wished(running, want(cloud.PowerOn, false), func(w *cloud.InstanceWish) { w.ObservedGeneration = w.Generation }),
			func(w cloud.InstanceWish) Seen { return guest(w, cloud.GuestOff, off(cloud.OffShutdown)) }, t0.Add(3 * time.Second),
			"start", cloud.StateStopped, cloud.TaskStarting, nil},
		{"a stop needs no disk and no network", wished(running, want(cloud.PowerOff, true)),
			func(w cloud.InstanceWish) Seen {
				s := guest(w, cloud.GuestRunning)
				s.Root, s.Image, s.Networks = nil, nil, nil
				return s
			}, t0, "destroy", cloud.StateRunning, cloud.TaskStopping, nil},
		{"a guest that crashed soon after its start is restarted with pauses",
			wished(running, func(w *cloud.InstanceWish) { w.StartedAt = t0.Add(-time.Second) }),
			func(w cloud.InstanceWish) Seen { return guest(w, cloud.GuestOff, off(cloud.OffCrashed)) }, t0,
			"start", cloud.StateStopped, cloud.TaskStarting,
			func(t *testing.T, d Decision) {
				if cloud.CodeOf(d.Throttle) != cloud.CodeGuestCrashed {
					t.Errorf("throttle %v", d.Throttle)
				}
			}},
		{"a domain undefined by hand is defined again", wished(running),
			func(cloud.InstanceWish) Seen { return parts() }, t0, "define", cloud.StateStopped, cloud.TaskNone, nil},
		{"a paused guest is resumed", wished(running),
			func(w cloud.InstanceWish) Seen { return guest(w, cloud.GuestPaused) }, t0, "resume", cloud.StatePaused, cloud.TaskStarting, nil},
		{"a stop asks the guest", wished(running, want(cloud.PowerOff, false)),
			func(w cloud.InstanceWish) Seen { return guest(w, cloud.GuestRunning) }, t0, "shutdown", cloud.StateRunning, cloud.TaskStopping, nil},
		{"a stop asked a moment ago waits", wished(running, want(cloud.PowerOff, false)),
			func(w cloud.InstanceWish) Seen {
				s := guest(w, cloud.GuestRunning)
				s.AskedAt = t0.Add(time.Second)
				return s
			}, t0.Add(2 * time.Second), "", cloud.StateRunning, cloud.TaskStopping,
			func(t *testing.T, d Decision) {
				if d.Again != t0.Add(11*time.Second) || d.Record.ObservedGeneration == 2 {
					t.Errorf("again %v observed %d", d.Again, d.Record.ObservedGeneration)
				}
			}},
		{"a stop that the guest ignores ends it", wished(running, want(cloud.PowerOff, false)),
			func(w cloud.InstanceWish) Seen { return guest(w, cloud.GuestRunning) }, t0.Add(cloud.DefaultStopGrace),
			"destroy", cloud.StateRunning, cloud.TaskStopping, nil},
		{"a forced stop pulls the plug", wished(running, want(cloud.PowerOff, true)),
			func(w cloud.InstanceWish) Seen { return guest(w, cloud.GuestRunning) }, t0, "destroy", cloud.StateRunning, cloud.TaskStopping, nil},
		{"a stopped guest settles a stop", wished(running, want(cloud.PowerOff, false)),
			func(w cloud.InstanceWish) Seen { return guest(w, cloud.GuestOff, off(cloud.OffShutdown)) }, t0, "", cloud.StateStopped, cloud.TaskNone,
			func(t *testing.T, d Decision) {
				if d.Record.ObservedGeneration != 2 || d.Record.GuestStopped || len(d.Record.Readings) != 4 || d.Record.Readings[0].State != cloud.StateStopped {
					t.Errorf("record %+v", d.Record)
				}
			}},
		{"a start starts", wished(stopped, want(cloud.PowerOn, false)),
			func(w cloud.InstanceWish) Seen { return guest(w, cloud.GuestOff, off(cloud.OffShutdown)) }, t0,
			"start", cloud.StateStopped, cloud.TaskStarting, nil},
		{"a reboot asks the guest", wished(running, reboot(false)),
			func(w cloud.InstanceWish) Seen { return guest(w, cloud.GuestRunning) }, t0, "reboot", cloud.StateRunning, cloud.TaskRebooting, nil},
		{"a forced reboot resets", wished(running, reboot(true)),
			func(w cloud.InstanceWish) Seen { return guest(w, cloud.GuestRunning) }, t0, "reset", cloud.StateRunning, cloud.TaskRebooting, nil},
		{"a reboot with a waiting change goes through off", wished(running, reboot(false)),
			func(w cloud.InstanceWish) Seen {
				return guest(w, cloud.GuestRunning, func(g *cloud.Guest) { g.Live = "old" })
			}, t0, "shutdown", cloud.StateRunning, cloud.TaskRebooting, nil},
		{"and on again", wished(running, reboot(false)),
			func(w cloud.InstanceWish) Seen { return guest(w, cloud.GuestOff, off(cloud.OffShutdown)) }, t0,
			"start", cloud.StateStopped, cloud.TaskRebooting, nil},
		{"a change of size redefines and leaves the guest alone", wished(running, func(w *cloud.InstanceWish) { w.VCPUs = 4; w.Generation++ }),
			func(w cloud.InstanceWish) Seen { old := w; old.VCPUs = 2; return guest(old, cloud.GuestRunning) }, t0,
			"define", cloud.StateRunning, cloud.TaskNone,
			func(t *testing.T, d Decision) {
				if d.Record.RunningVCPUs != 2 {
					t.Errorf("the new size is billed before it runs: %+v", d.Record)
				}
			}},
		{"a lost root disk is reported, never made anew", wished(stopped),
			func(w cloud.InstanceWish) Seen { s := guest(w, cloud.GuestOff); s.Root = nil; return s }, t0,
			"", cloud.StateError, cloud.TaskNone,
			func(t *testing.T, d Decision) {
				if d.Record.Problem == nil || d.Record.Problem.Code != cloud.CodeDiskMissing {
					t.Errorf("problem %v", d.Record.Problem)
				}
			}},
		{"a half-made disk is made again", wished(),
			func(cloud.InstanceWish) Seen { s := parts(); s.Root.Partial = true; return s }, t0,
			"create-disk", cloud.StateBuilding, cloud.TaskCreating,
			func(t *testing.T, d Decision) {
				if d.Record.RootSeen {
					t.Error("half a disk was taken for a whole one")
				}
			}},
		{"and removed with its instance", wished(deleted),
			func(cloud.InstanceWish) Seen {
				s := parts()
				s.Swept, s.Root.Partial, s.Seed, s.Networks = true, true, nil, nil
				return s
			}, t0,
			"remove-disk", cloud.StateBuilding, cloud.TaskDeleting, nil},
		{"a foreign domain is not touched", wished(),
			func(w cloud.InstanceWish) Seen {
				return guest(w, cloud.GuestRunning, func(g *cloud.Guest) { g.Foreign = true })
			}, t0, "", cloud.StateError, cloud.TaskNone,
			func(t *testing.T, d Decision) {
				if d.Record.Problem == nil || d.Record.Problem.Code != cloud.CodeGuestForeign {
					t.Errorf("problem %v", d.Record.Problem)
				}
			}},
		{"a delete removes the guest first", wished(running, deleted),
			func(w cloud.InstanceWish) Seen { return guest(w, cloud.GuestRunning) }, t0.Add(time.Minute), "remove-guest", cloud.StateRunning, cloud.TaskDeleting,
			func(t *testing.T, d Decision) {
				if len(d.Record.Readings) != 0 || d.Record.EndAt != t0 || d.Record.Evidence != cloud.EvidenceDeleted {
					t.Errorf("counted after its deletion was asked for: %+v", d.Record)
				}
			}},
		{"a domain that is gone already may have left a console log", wished(stopped, deleted),
			func(cloud.InstanceWish) Seen { return Seen{} }, t0, "remove-guest", cloud.StateStopped, cloud.TaskDeleting, nil},
		{"then everything else", wished(running, deleted),
			func(cloud.InstanceWish) Seen { s := parts(); s.Swept = true; return s }, t0, "remove-disk remove-disk remove-port", cloud.StateStopped, cloud.TaskDeleting, nil},
		{"and is gone when nothing is seen", wished(running, deleted),
			func(cloud.InstanceWish) Seen { return Seen{Swept: true} }, t0, "", cloud.StateGone, cloud.TaskNone,
			func(t *testing.T, d Decision) {
				if len(d.Record.Readings) != 0 {
					t.Errorf("readings of a gone instance: %v", d.Record.Readings)
				}
			}},
		{"a delete leaves a foreign domain alone, and what it may run on", wished(deleted),
			func(w cloud.InstanceWish) Seen {
				s := guest(w, cloud.GuestRunning, func(g *cloud.Guest) { g.Foreign = true })
				return s
			}, t0, "", cloud.StateError, cloud.TaskDeleting,
			func(t *testing.T, d Decision) {
				if d.Record.Problem == nil || d.Record.Problem.Code != cloud.CodeGuestForeign {
					t.Errorf("problem %v", d.Record.Problem)
				}
			}},
		{"a guest on another disk than its volume is not defined anew", wished(running),
			func(w cloud.InstanceWish) Seen {
				return guest(w, cloud.GuestRunning, func(g *cloud.Guest) { g.Digest, g.Root = "", "/d/root.snapshot" })
			}, t0, "", cloud.StateRunning, cloud.TaskNone,
			func(t *testing.T, d Decision) {
				if d.Record.Problem == nil || d.Record.Problem.Code != cloud.CodeDiskReplaced {
					t.Errorf("problem %v", d.Record.Problem)
				}
			}},
		{"nor started", wished(running),
			func(w cloud.InstanceWish) Seen {
				return guest(w, cloud.GuestOff, func(g *cloud.Guest) { g.Digest, g.Root = "", "/d/root.snapshot" })
			}, t0, "", cloud.StateError, cloud.TaskNone, nil},
		{"one that was edited otherwise is", wished(running),
			func(w cloud.InstanceWish) Seen {
				return guest(w, cloud.GuestRunning, func(g *cloud.Guest) { g.Digest, g.Root = "", "/d/root" })
			}, t0, "define", cloud.StateRunning, cloud.TaskNone, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := Plan(tt.wish, tt.seen(tt.wish), tt.now)
			if got := verbs(d.Steps); got != tt.steps {
				t.Errorf("steps %q, want %q", got, tt.steps)
			}
			if d.Record.State != tt.state || d.Record.Task != tt.task {
				t.Errorf("state %s task %q, want %s %q", d.Record.State, d.Record.Task, tt.state, tt.task)
			}
			if tt.check != nil {
				tt.check(t, d)
			}
		})
	}
}

func verbs(steps []Step) string {
	var out []string
	for _, s := range steps {
		if s.Verb == VerbPower {
			out = append(out, string(s.Power))
		} else {
			out = append(out, string(s.Verb))
		}
	}
	return strings.Join(out, " ")
}

func TestPlanNetwork(t *testing.T) {
	n := cloud.Network{Meta: cloud.Meta{ID: netID}, Subnets: []cloud.Subnet{{CIDR: netip.MustParsePrefix("10.77.0.0/24"), DHCP: true}}}
	gone := n
	gone.DeletedAt = t0
	up, down := &cloud.HostNetwork{ID: netID, Active: true}, &cloud.HostNetwork{ID: netID}
	for _, tt := range []struct {
		name  string
		wish  cloud.NetworkWish
		seen  *cloud.HostNetwork
		steps string
		gone  bool
	}{
		{"nothing is made while nobody needs it", cloud.NetworkWish{Network: n}, nil, "", false},
		{"the first port brings it up", cloud.NetworkWish{Network: n, LivePorts: 1}, nil, "ensure-network", false},
		{"one that was stopped is started", cloud.NetworkWish{Network: n, LivePorts: 1}, down, "ensure-network", false},
		{"one that is up is left alone", cloud.NetworkWish{Network: n, LivePorts: 1}, up, "", false},
		{"the last port takes it down", cloud.NetworkWish{Network: n}, up, "remove-network", false},
		{"a deleted one is removed", cloud.NetworkWish{Network: gone}, up, "remove-network", false},
		{"a deleted one is gone when it is not seen", cloud.NetworkWish{Network: gone}, nil, "", true},
		{"a deleted one waits for its ports", cloud.NetworkWish{Network: gone, LivePorts: 1}, up, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			steps, isGone := PlanNetwork(tt.wish, tt.seen)
			if verbs(steps) != tt.steps || isGone != tt.gone {
				t.Errorf("got %q %v, want %q %v", verbs(steps), isGone, tt.steps, tt.gone)
			}
		})
	}
}

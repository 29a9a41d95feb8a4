package sim_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/hypervisor/contract"
	"lodge/hypervisor/sim"
)

func TestPretendHostKeepsTheContract(t *testing.T) {
	contract.Guests(t, func(t *testing.T) contract.Site {
		h := sim.New(sim.Options{Latency: sim.Latency{
			Calls:    map[sim.Call]time.Duration{sim.CallStart: 20 * time.Millisecond},
			Boot:     50 * time.Millisecond,
			Shutdown: 50 * time.Millisecond,
		}})
		return contract.Site{
			Host:      h,
			Disk:      func(t *testing.T) cloud.GuestDisk { return disk(t, h) },
			Ready:     "login: ",
			Firmwares: []cloud.Firmware{cloud.FirmwareBIOS, cloud.FirmwareUEFI},
			Leftovers: func(_ *testing.T, id string) []string {
				var left []string
				if _, there := h.Spec(id); there {
					left = append(left, id)
				}
				if slices.Contains(h.Inventory().NVRAM, id) {
					left = append(left, "NVRAM")
				}
				return left
			},
			AddForeign: func(t *testing.T, uuid, name string) {
				h.AddForeign(uuid, name)
				t.Cleanup(func() { h.RemoveForeign(uuid) })
			},
			HasForeign: func(_ *testing.T, uuid string) bool { _, there := h.Spec(uuid); return there },
			Hand: contract.Hand{
				Pause:    func(_ *testing.T, id string) { h.Pause(id, false) },
				Undefine: func(_ *testing.T, id string) { h.UndefineByHand(id) },
				Destroy:  func(_ *testing.T, id string) { h.DestroyByHand(id) },
				Edit:     func(_ *testing.T, id string) { h.EditByHand(id, func(s *cloud.GuestSpec) { s.VCPUs++ }) },
			},
			Keeps: true,
			Network: func(t *testing.T) string {
				id := contract.NewID()
				if err := h.EnsureNetwork(context.Background(), cloud.NetworkSpec{ID: id}); err != nil {
					t.Fatal(err)
				}
				return id
			},
			Break: func(*testing.T) { h.Down(true) },
			Mend:  func(*testing.T) { h.Down(false) },
		}
	})
}

// disk puts a blank disk on the host.
func disk(t *testing.T, h *sim.Host) cloud.GuestDisk {
	t.Helper()
	id := contract.NewID()
	if err := h.CreateDisk(context.Background(), cloud.DiskSpec{ID: id, SizeGiB: 1}); err != nil {
		t.Fatal(err)
	}
	got, err := h.LookDisks(context.Background(), []string{id})
	if err != nil {
		t.Fatal(err)
	}
	d := got[cloud.DiskKey{Kind: cloud.DiskVolume, ID: id}]
	return cloud.GuestDisk{Path: d.Path, Format: d.Format}
}

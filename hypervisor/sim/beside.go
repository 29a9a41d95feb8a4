package sim

import (
	"maps"
	"slices"

	"lodge/cloud"
)

// Inventory is what is on the host, as somebody sees it who stands beside it:
// it takes no time, and neither faults nor a broken link hide anything.
type Inventory struct {
	// Guests are lodge's, by id; Foreign are the others' ids.
	Guests  map[string]Resident
	Foreign []string
	Disks   map[cloud.DiskKey]cloud.Disk
	Seeds   map[string]cloud.SeedSpec // what is in the seeds, by instance
	NVRAM   []string                  // whose variables of UEFI are there
	// Ports and Leases are by network and MAC.
	Ports, Leases map[string]map[string]cloud.PortSpec
}

// Resident is a guest's definition and its present run; nil: there is none.
type Resident struct{ Next, Run *cloud.GuestSpec }

// Inventory lists what is there.
func (h *Host) Inventory() Inventory {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := Inventory{
		Guests: map[string]Resident{}, Disks: maps.Clone(h.disks),
		Seeds: maps.Clone(h.seeds), NVRAM: slices.Sorted(maps.Keys(h.nvram)),
		Ports: map[string]map[string]cloud.PortSpec{}, Leases: map[string]map[string]cloud.PortSpec{},
	}
	for id, g := range h.guests {
		if g.foreign {
			out.Foreign = append(out.Foreign, id)
			continue
		}
		out.Guests[id] = Resident{g.next, g.run}
	}
	for id, n := range h.nets {
		out.Ports[id], out.Leases[id] = maps.Clone(n.ports), maps.Clone(n.leases)
	}
	return out
}

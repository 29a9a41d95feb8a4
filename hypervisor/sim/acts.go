package sim

import (
	"maps"
	"slices"

	"lodge/cloud"
)

// What happens to guests without lodge: by themselves, or by an operator's hand.
// Each act on a guest that is not there, or not in the state for it, is nothing
// and returns false.

func (h *Host) act(id string, f func(*guest) bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	g := h.guests[id]
	return g != nil && f(g)
}

func (h *Host) ends(id string, why cloud.OffReason) bool {
	return h.act(id, func(g *guest) bool {
		if g.run == nil {
			return false
		}
		h.end(g, why)
		return true
	})
}

// PowerOffInside is the guest's own shutdown.
func (h *Host) PowerOffInside(id string) bool { return h.ends(id, cloud.OffShutdown) }

// Crash ends the guest as a kernel panic does.
func (h *Host) Crash(id string) bool { return h.ends(id, cloud.OffCrashed) }

// DestroyByHand is an operator's virsh destroy.
func (h *Host) DestroyByHand(id string) bool { return h.ends(id, cloud.OffDestroyed) }

// StartByHand is an operator's virsh start.
func (h *Host) StartByHand(id string) bool {
	return h.act(id, func(g *guest) bool { return g.run == nil && g.next != nil && h.start(g) == nil })
}

// UndefineByHand is an operator's virsh undefine --keep-nvram: a guest that runs
// goes on until it is off, and is gone then.
func (h *Host) UndefineByHand(id string) bool {
	return h.act(id, func(g *guest) bool {
		g.next, g.digest = nil, ""
		if g.run == nil {
			h.forget(g)
		}
		h.tellMoved(id)
		return true
	})
}

// EditByHand is an operator's virsh edit: the guest runs on unchanged, and starts
// with the change the next time.
func (h *Host) EditByHand(id string, edit func(*cloud.GuestSpec)) bool {
	return h.act(id, func(g *guest) bool {
		if g.next == nil || g.foreign {
			return false
		}
		spec := *g.next
		spec.Disks, spec.NICs = slices.Clone(spec.Disks), slices.Clone(spec.NICs)
		edit(&spec)
		if spec.Digest() != g.next.Digest() {
			g.digest = "" // the mark does not fit any more
		}
		g.next = &spec
		h.tellMoved(id)
		return true
	})
}

// Pause pauses the guest, by hand or by an I/O error.
func (h *Host) Pause(id string, ioError bool) bool {
	return h.act(id, func(g *guest) bool {
		if g.run == nil {
			return false
		}
		g.paused, g.ioError = true, ioError
		h.tellMoved(id)
		return true
	})
}

// SaveByHand is an operator's virsh managedsave.
func (h *Host) SaveByHand(id string) bool {
	return h.act(id, func(g *guest) bool {
		if g.run == nil || g.next == nil {
			return false
		}
		h.end(g, cloud.OffUnknown)
		g.saved = true
		return true
	})
}

// IgnoreACPI makes the guest deaf to the power button, or hear it again.
func (h *Host) IgnoreACPI(id string, ignore bool) bool {
	return h.act(id, func(g *guest) bool { g.stubborn = ignore; return true })
}

// AddForeign makes a domain without lodge's mark, off.
func (h *Host) AddForeign(uuid, name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.guests[uuid] = &guest{id: uuid, name: name, foreign: true, next: &cloud.GuestSpec{ID: uuid}}
	h.foreign[name] = uuid
}

// RemoveForeign is an operator's virsh undefine of such a domain.
func (h *Host) RemoveForeign(uuid string) bool {
	return h.act(uuid, func(g *guest) bool {
		if g.foreign {
			h.forget(g)
		}
		return g.foreign
	})
}

// Spec returns the definition of the next start.
func (h *Host) Spec(id string) (spec cloud.GuestSpec, ok bool) {
	h.act(id, func(g *guest) bool {
		if g.next != nil {
			spec, ok = *g.next, true
		}
		return ok
	})
	return spec, ok
}

// Runs says how often the guest began to run: starts, reboots and resets, and
// their ends.
func (h *Host) Runs(id string) (n int) {
	h.act(id, func(g *guest) bool { n = g.turn; return true })
	return n
}

// DeleteDisk removes a disk's file behind lodge's back.
func (h *Host) DeleteDisk(kind cloud.DiskKind, id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.drop(cloud.DiskKey{Kind: kind, ID: id})
}

// StopNetwork is an operator's virsh net-destroy.
func (h *Host) StopNetwork(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.nets[id]
	if n == nil {
		return false
	}
	n.active = false
	return true
}

// UndefineNetwork is an operator's virsh net-destroy and net-undefine. Guests on it
// run on.
func (h *Host) UndefineNetwork(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.nets[id]
	delete(h.nets, id)
	return n != nil
}

// Leases are the addresses that guests hold on a network, by MAC.
func (h *Host) Leases(networkID string) map[string]cloud.PortSpec {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.nets[networkID]
	if n == nil {
		return nil
	}
	return maps.Clone(n.leases)
}

// RebootHost ends every run without a reason that anybody could know, forgets
// the leases, and breaks the link for a moment. Definitions, disks and networks
// are there again after it.
func (h *Host) RebootHost() {
	h.Down(true)
	h.mu.Lock()
	mute := h.mute
	h.mute = true // nobody is there to write an end down
	for _, g := range h.guests {
		if g.run != nil {
			h.end(g, cloud.OffUnknown)
		}
	}
	h.mute = mute
	for _, n := range h.nets {
		n.active = true
		clear(n.leases)
	}
	h.mu.Unlock()
	h.Down(false)
}

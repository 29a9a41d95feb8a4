package sim

import (
	"context"
	"fmt"

	"lodge/cloud"
)

// ReadNICs reads the byte counters of the NICs of guests that run, by MAC, as
// reconcile.Counters wants it.
func (h *Host) ReadNICs(ctx context.Context) (map[string]cloud.NICCounter, error) {
	out := map[string]cloud.NICCounter{}
	err := h.do(ctx, CallReadNICs, "", func() error {
		for _, g := range h.guests {
			if g.run == nil {
				continue
			}
			for n, nic := range g.nics {
				out[g.run.NICs[n].MAC] = nic
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read NIC counters: %w", err)
	}
	return out, nil
}

// plug makes the NICs of a run, with counters that begin at 0. Called with the
// lock held.
func (h *Host) plug(g *guest) {
	g.nics = nil
	for range g.run.NICs {
		g.nics = append(g.nics, cloud.NICCounter{Device: h.device()})
	}
}

func (h *Host) device() string {
	h.devices++
	return fmt.Sprintf("vnet%d", h.devices-1)
}

// Transfer has a guest that runs send and receive that many bytes on a NIC.
func (h *Host) Transfer(id string, nic int, egress, ingress int64) bool {
	return h.act(id, func(g *guest) bool {
		if g.run == nil || nic >= len(g.nics) {
			return false
		}
		g.nics[nic].Egress += egress
		g.nics[nic].Ingress += ingress
		return true
	})
}

// Replug takes a NIC of a guest that runs out and puts it in again: its device
// is another one, and its counters begin at 0.
func (h *Host) Replug(id string, nic int) bool {
	return h.act(id, func(g *guest) bool {
		if g.run == nil || nic >= len(g.nics) {
			return false
		}
		g.nics[nic] = cloud.NICCounter{Device: h.device()}
		return true
	})
}

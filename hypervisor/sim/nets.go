package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"lodge/cloud"
)

// network is a pretend network with its DHCP.
type network struct {
	spec   cloud.NetworkSpec
	active bool
	ports  map[string]cloud.PortSpec // by MAC
	leases map[string]cloud.PortSpec // held by guests that ran
}

// lease gives a guest that starts its fixed address.
func (n *network) lease(mac string) {
	if p, known := n.ports[strings.ToLower(mac)]; known {
		n.leases[p.MAC] = p
	}
}

// LookNetworks reports networks by id: all when ids is nil.
func (h *Host) LookNetworks(ctx context.Context, ids []string) (map[string]cloud.HostNetwork, error) {
	out := map[string]cloud.HostNetwork{}
	err := h.do(ctx, CallLookNetworks, "", func() error {
		if ids == nil {
			for id := range h.nets {
				ids = append(ids, id)
			}
		}
		for _, id := range ids {
			if n := h.nets[id]; n != nil {
				out[id] = cloud.HostNetwork{ID: id, Active: n.active, Ports: maps.Clone(n.ports), Bridge: cloud.BridgeName(id), CIDR: n.spec.CIDR}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at networks: %w", err)
	}
	return out, nil
}

// EnsureNetwork makes the network and makes it active, or finds it so.
func (h *Host) EnsureNetwork(ctx context.Context, spec cloud.NetworkSpec) error {
	err := h.do(ctx, CallEnsureNetwork, "", func() error {
		n := h.nets[spec.ID]
		if n == nil {
			n = &network{ports: map[string]cloud.PortSpec{}, leases: map[string]cloud.PortSpec{}}
			h.nets[spec.ID] = n
		}
		n.spec, n.active = spec, true
		return nil
	})
	return netErr(err, "ensure network", spec.ID)
}

// RemoveNetwork removes the network with its ports and leases, or finds it gone.
func (h *Host) RemoveNetwork(ctx context.Context, id string) error {
	err := h.do(ctx, CallRemoveNetwork, "", func() error {
		delete(h.nets, id)
		return nil
	})
	return netErr(err, "remove network", id)
}

// RemoveUnused removes a network without ports on which no guest has a NIC.
func (h *Host) RemoveUnused(ctx context.Context, id string) (removed bool, err error) {
	err = h.do(ctx, CallRemoveNetwork, "", func() error {
		n := h.nets[id]
		if n == nil || len(n.ports) > 0 {
			return nil
		}
		for _, g := range h.guests {
			for _, spec := range []*cloud.GuestSpec{g.next, g.run} {
				if spec != nil && slices.ContainsFunc(spec.NICs, func(nic cloud.GuestNIC) bool { return nic.NetworkID == id }) {
					return nil
				}
			}
		}
		delete(h.nets, id)
		removed = true
		return nil
	})
	return removed, netErr(err, "remove unused network", id)
}

// EnsurePort gives the MAC its fixed address and name, in place of whatever
// either had before.
func (h *Host) EnsurePort(ctx context.Context, networkID string, p cloud.PortSpec) error {
	err := h.do(ctx, CallEnsurePort, "", func() error {
		n := h.nets[networkID]
		if n == nil {
			return cloud.Errorf(cloud.CodeNetwork, "The network of the port is not on the host.")
		}
		p.MAC = strings.ToLower(p.MAC)
		maps.DeleteFunc(n.ports, func(mac string, other cloud.PortSpec) bool {
			return mac == p.MAC || other.Address == p.Address || other.Name == p.Name
		})
		n.ports[p.MAC] = p
		return nil
	})
	return netErr(err, "ensure port in network", networkID)
}

// RemovePort ends the fixed lease and releases the running one, or finds it so.
func (h *Host) RemovePort(ctx context.Context, networkID string, p cloud.PortSpec) error {
	err := h.do(ctx, CallRemovePort, "", func() error {
		if n := h.nets[networkID]; n != nil {
			mac := strings.ToLower(p.MAC)
			delete(n.ports, mac)
			delete(n.leases, mac)
		}
		return nil
	})
	return netErr(err, "remove port from network", networkID)
}

func netErr(err error, what, id string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", what, id, err)
}

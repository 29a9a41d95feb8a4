package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"libvirt.org/go/libvirt"

	"lodge/cloud"
	"lodge/virt"
)

// EnsurePort gives the MAC its address and name by DHCP, in place of whatever
// the MAC, the address or the name had before; nil when it is so already.
// Returns CodeNetwork when the network is missing or its DHCP server does not
// obey.
func (h *Host) EnsurePort(ctx context.Context, networkID string, p cloud.PortSpec) error {
	p, err := checkPort(p)
	if err != nil {
		return err
	}
	err = virt.Do(ctx, h.link, "ensure port "+p.MAC, func(c *libvirt.Connect) error {
		f, ok, err := h.find(c, networkID)
		if err != nil {
			return err
		}
		if !ok {
			return cloud.Errorf(cloud.CodeNetwork, "The instance's network is not on the host.")
		}
		defer f.net.Free()
		var old []lease
		changed, err := h.book.change(networkID, func(ports map[string]cloud.PortSpec) bool {
			var changed bool
			old, changed = put(ports, p)
			return changed
		})
		if err != nil {
			return err
		}
		if changed {
			if err := h.announce(f); err != nil {
				return err
			}
		}
		// A lease that somebody else still holds would keep the address from the
		// port, and one of its own would keep it on the old address.
		return h.release(ctx, f, old, func(l lease) bool {
			mine, at := l.mac == p.MAC, l.addr == p.Address
			return mine != at
		})
	})
	return netError(err, "The instance's network address could not be set up on the host.")
}

// RemovePort ends the fixed lease of the MAC and releases what its guest still
// holds; nil when there is nothing of it. An address that another MAC has by now
// stays with that.
func (h *Host) RemovePort(ctx context.Context, networkID string, p cloud.PortSpec) error {
	p, err := checkPort(p)
	if err != nil {
		return err
	}
	err = virt.Do(ctx, h.link, "remove port "+p.MAC, func(c *libvirt.Connect) error {
		f, ok, err := h.find(c, networkID)
		if cloud.CodeOf(err) == cloud.CodeNetwork || !ok && err == nil {
			return nil
		}
		if err != nil {
			return err
		}
		defer f.net.Free()
		changed, err := h.book.change(networkID, func(ports map[string]cloud.PortSpec) bool {
			_, there := ports[p.MAC]
			delete(ports, p.MAC)
			return there
		})
		if err != nil {
			return err
		}
		if changed {
			if err := h.announce(f); err != nil {
				return err
			}
		}
		return h.release(ctx, f, []lease{{p.MAC, p.Address}}, func(l lease) bool { return l.mac == p.MAC })
	})
	return netError(err, "The instance's network address could not be taken back on the host.")
}

// put makes p one of the ports and removes the others that have its address or
// its name. It reports whether that changed anything, and which leases may run
// that have no place any more.
func put(ports map[string]cloud.PortSpec, p cloud.PortSpec) (old []lease, changed bool) {
	for mac, other := range ports {
		mine := mac == p.MAC
		if !mine && (other.Address == p.Address || p.Name != "" && strings.EqualFold(other.Name, p.Name)) {
			delete(ports, mac)
			old, changed = append(old, lease{mac, other.Address}), true
		}
		if mine && other.Address != p.Address {
			old = append(old, lease{mac, other.Address})
		}
	}
	changed = changed || ports[p.MAC] != p
	ports[p.MAC] = p
	return old, changed
}

// checkPort keeps out of dnsmasq's file what would be more than a line of it.
func checkPort(p cloud.PortSpec) (cloud.PortSpec, error) {
	mac, err := net.ParseMAC(p.MAC)
	if err != nil || len(mac) != 6 || !p.Address.Is4() || !validName(p.Name) {
		return p, cloud.Errorf(cloud.CodeInternal, "The port %q with the address %s and the name %q is none that DHCP can serve.", p.MAC, p.Address, p.Name)
	}
	p.MAC = mac.String()
	return p, nil
}

// validName takes host names, and words that dnsmasq would read as one: it takes
// a number as a lease time and "infinite" or "ignore" as what they say.
func validName(name string) bool {
	if len(name) > 63 || name == "infinite" || name == "ignore" || looksLikeTime(name) {
		return false
	}
	return strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// looksLikeTime: digits with at most one letter of s, m, h, d, w after them.
func looksLikeTime(name string) bool {
	digits := strings.TrimRight(strings.ToLower(name), "smhdw")
	return digits != "" && len(name)-len(digits) <= 1 && strings.Trim(digits, "0123456789") == ""
}

// announce makes dnsmasq read the fixed leases. When dnsmasq has died, libvirt
// starts a new one with the next change of the definition; so it gets one, of
// nothing.
func (h *Host) announce(f found) error {
	err := h.book.announce(f.xml.UUID)
	if !errors.Is(err, errNoServer) {
		return err
	}
	// A stopped network leaves its pid file behind and needs no dnsmasq.
	if active, err := f.net.IsActive(); err != nil || !active {
		return err
	}
	if err := rewrite(f); err != nil {
		return fmt.Errorf("start the network's dnsmasq again: %w", err)
	}
	return nil
}

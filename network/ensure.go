package network

import (
	"context"
	"fmt"
	"net"
	"slices"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"lodge/cloud"
	"lodge/virt"
)

// EnsureNetwork makes the network as the spec says and starts it; it is nil when
// it is so already. A definition that differs is replaced and keeps its fixed
// leases; the guests' NICs come back to the new bridge. Returns CodeNetwork when
// its addresses overlap the host's or libvirt refuses.
func (h *Host) EnsureNetwork(ctx context.Context, spec cloud.NetworkSpec) error {
	if err := checkSpec(spec); err != nil {
		return err
	}
	defer h.whole.forget(spec.ID)
	err := virt.Do(ctx, h.link, "ensure network "+spec.ID, func(c *libvirt.Connect) error {
		f, ok, err := h.find(c, spec.ID)
		if err != nil {
			return err
		}
		want := h.definition(spec)
		if err := h.book.touch(spec.ID); err != nil {
			return err
		}
		if !ok {
			return h.defineAndStart(ctx, c, want)
		}
		defer f.net.Free()
		// Guests know the gateway by its MAC, and would look for it in vain for as
		// long as they remember it.
		want.MAC = f.xml.MAC
		active, err := f.net.IsActive()
		if err != nil {
			return fmt.Errorf("is it active: %w", err)
		}
		if same(&f.xml, want) {
			if active {
				return h.mend(ctx, c, f, want)
			}
			return h.start(ctx, c, f.net)
		}
		if active {
			return h.restart(ctx, c, f, want)
		}
		return h.defineAndStart(ctx, c, want)
	})
	return netError(err, "The network could not be set up on the host.")
}

func checkSpec(spec cloud.NetworkSpec) error {
	if !spec.CIDR.IsValid() || !spec.CIDR.Addr().Is4() || spec.CIDR.Bits() > 30 || !spec.CIDR.Contains(spec.Gateway) {
		return cloud.Errorf(cloud.CodeNetwork, "The network %s with the gateway %s is no IPv4 range with room for guests.", spec.CIDR, spec.Gateway)
	}
	return nil
}

// definition is the libvirt network for a spec. The fixed leases are in the book.
func (h *Host) definition(spec cloud.NetworkSpec) *libvirtxml.Network {
	x := &libvirtxml.Network{
		Name:   cloud.HostNetworkName(spec.ID),
		UUID:   spec.ID,
		Bridge: &libvirtxml.NetworkBridge{Name: cloud.BridgeName(spec.ID), STP: "off", Delay: "0"},
		// Names of the domain are answered here or not at all; others go outward.
		Domain: &libvirtxml.NetworkDomain{Name: h.o.Domain, LocalOnly: "yes"},
		IPs:    []libvirtxml.NetworkIP{{Address: spec.Gateway.String(), Prefix: uint(spec.CIDR.Bits())}},
	}
	if spec.NAT {
		x.Forward = &libvirtxml.NetworkForward{Mode: "nat"}
	}
	if spec.DHCP {
		// Without a range dnsmasq answers those only who have a fixed lease.
		x.IPs[0].DHCP = &libvirtxml.NetworkDHCP{Hosts: []libvirtxml.NetworkDHCPHost{*reserved(spec.Gateway.String())}}
		x.DnsmasqOptions = &libvirtxml.NetworkDnsmasqOptions{
			Option: []libvirtxml.NetworkDnsmasqOption{{Value: "dhcp-hostsfile=" + h.book.path(spec.ID)}},
		}
	}
	return x
}

// reserved is the one fixed lease in the XML: libvirt sets up DHCP for a network
// that has one. It goes to nobody, for dnsmasq does not lend its own address.
func reserved(gateway string) *libvirtxml.NetworkDHCPHost {
	return &libvirtxml.NetworkDHCPHost{MAC: "02:00:00:00:00:01", IP: gateway}
}

// same compares what lodge decides about a network; the rest libvirt fills in.
func same(has, want *libvirtxml.Network) bool {
	mode := func(x *libvirtxml.Network) string {
		if x.Forward == nil {
			return ""
		}
		return x.Forward.Mode
	}
	domain := func(x *libvirtxml.Network) libvirtxml.NetworkDomain {
		if x.Domain == nil {
			return libvirtxml.NetworkDomain{}
		}
		return *x.Domain
	}
	if mode(has) != mode(want) || domain(has) != domain(want) || len(has.IPs) != 1 {
		return false
	}
	a, b := has.IPs[0], want.IPs[0]
	if a.Address != b.Address || prefix(a) != prefix(b) || (a.DHCP == nil) != (b.DHCP == nil) {
		return false
	}
	if a.DHCP == nil {
		return true
	}
	return len(a.DHCP.Ranges) == 0 && len(a.DHCP.Hosts) == 1 && a.DHCP.Hosts[0].MAC == b.DHCP.Hosts[0].MAC &&
		has.DnsmasqOptions != nil && slices.Equal(has.DnsmasqOptions.Option, want.DnsmasqOptions.Option)
}

func prefix(ip libvirtxml.NetworkIP) uint {
	if ip.Netmask == "" {
		return ip.Prefix
	}
	ones, _ := net.IPMask(net.ParseIP(ip.Netmask).To4()).Size()
	return uint(ones)
}

// defineAndStart replaces the persistent definition, then starts it.
func (h *Host) defineAndStart(ctx context.Context, c *libvirt.Connect, want *libvirtxml.Network) error {
	text, err := want.Marshal()
	if err != nil {
		return err
	}
	n, err := c.NetworkDefineXML(text)
	if err != nil {
		return fmt.Errorf("define: %w", err)
	}
	defer n.Free()
	return h.start(ctx, c, n)
}

// start starts the network and brings back what belongs to it.
func (h *Host) start(ctx context.Context, c *libvirt.Connect, n *libvirt.Network) error {
	if err := h.endOrphans(n); err != nil {
		return err
	}
	err := n.Create()
	if lostChains(err) {
		if err := h.fences.makeChains(ctx, true); err != nil {
			return err
		}
		err = n.Create()
	}
	if err != nil && !virt.Says(err, "already active") {
		return fmt.Errorf("start: %w", err)
	}
	// Only one that could be started comes back with the host: another would take
	// the addresses from whoever has them.
	if err := autostart(n); err != nil {
		return err
	}
	if err := reattach(c, n); err != nil {
		return err
	}
	// libvirt remembers leases while a network is stopped; those of ports that
	// went meanwhile could not be released then.
	f, err := describe(n)
	if err != nil {
		return err
	}
	if _, real, err := h.bridge(f); err != nil {
		return err
	} else if real {
		if err := h.mendFence(ctx, f, 0, nil); err != nil {
			return err
		}
	}
	ports, err := h.book.read(f.xml.UUID)
	if err != nil {
		return err
	}
	return h.release(ctx, f, nil, func(l lease) bool { return ports[l.mac].Address != l.addr })
}

func autostart(n *libvirt.Network) error {
	on, err := n.GetAutostart()
	if err != nil || on {
		return err
	}
	if err := n.SetAutostart(true); err != nil {
		return fmt.Errorf("autostart: %w", err)
	}
	return nil
}

// RemoveNetwork stops and undefines the network, with its bridge and dnsmasq;
// nil when it is not there, or is somebody else's.
func (h *Host) RemoveNetwork(ctx context.Context, id string) error {
	defer h.whole.forget(id)
	err := virt.Do(ctx, h.link, "remove network "+id, func(c *libvirt.Connect) error {
		f, ok, err := h.find(c, id)
		if cloud.CodeOf(err) == cloud.CodeNetwork {
			return nil
		}
		if err != nil {
			return err
		}
		if !ok {
			return h.book.remove(id)
		}
		defer f.net.Free()
		return h.remove(f)
	})
	return netError(err, "The network could not be removed from the host.")
}

func (h *Host) remove(f found) error {
	if err := f.net.Destroy(); err != nil && !gone(err) {
		return fmt.Errorf("stop: %w", err)
	}
	// No network would end it later.
	if err := h.endOrphans(f.net); err != nil && !gone(err) {
		return err
	}
	if err := f.net.Undefine(); err != nil && !gone(err) {
		return fmt.Errorf("undefine: %w", err)
	}
	return h.book.remove(f.xml.UUID)
}

// gone is an error that says that there is nothing to stop or undefine.
func gone(err error) bool {
	return virt.NotFound(err) || virt.Says(err, "is not active")
}

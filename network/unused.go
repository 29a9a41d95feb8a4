package network

import (
	"context"
	"fmt"
	"net/netip"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"lodge/cloud"
	"lodge/virt"
)

// RemoveUnused removes a network that has no ports and on which no guest has a
// NIC, whoever's it is, running or off. removed is false when the network is not
// there, is somebody else's, or is in use. It reads the definition of every guest
// of the host. Errors are those of RemoveNetwork.
func (h *Host) RemoveUnused(ctx context.Context, id string) (removed bool, err error) {
	defer h.whole.forget(id)
	removed, err = virt.Call(ctx, h.link, "remove unused network "+id, func(c *libvirt.Connect) (bool, error) {
		f, ok, err := h.find(c, id)
		if cloud.CodeOf(err) == cloud.CodeNetwork {
			return false, nil
		}
		if err != nil || !ok {
			return false, err
		}
		defer f.net.Free()
		ports, err := h.book.read(id)
		if err != nil || len(ports) > 0 {
			return false, err
		}
		if used, err := hasGuests(c, &f.xml); err != nil || used {
			return false, err
		}
		return true, h.remove(f)
	})
	return removed, netError(err, "A network that nothing uses could not be removed from the host.")
}

// hasGuests reports whether a guest has a NIC on the network or on its bridge:
// now, or at its next start.
func hasGuests(c *libvirt.Connect, x *libvirtxml.Network) (bool, error) {
	domains, err := c.ListAllDomains(0)
	if err != nil {
		return false, fmt.Errorf("list the guests: %w", err)
	}
	used := false
	for i := range domains {
		for _, which := range []libvirt.DomainXMLFlags{0, libvirt.DOMAIN_XML_INACTIVE} {
			if used || err != nil {
				break
			}
			used, err = onNetwork(&domains[i], which, x)
		}
		_ = domains[i].Free()
	}
	return used, err
}

func onNetwork(d *libvirt.Domain, which libvirt.DomainXMLFlags, x *libvirtxml.Network) (bool, error) {
	text, err := d.GetXMLDesc(which)
	if virt.NotFound(err) {
		return false, nil // it ended meanwhile
	}
	if err != nil {
		return false, fmt.Errorf("describe a guest: %w", err)
	}
	var g libvirtxml.Domain
	if err := g.Unmarshal(text); err != nil {
		return false, fmt.Errorf("read a guest's XML: %w", err)
	}
	if g.Devices == nil {
		return false, nil
	}
	for _, nic := range g.Devices.Interfaces {
		s := nic.Source
		if s != nil && (s.Network != nil && s.Network.Network == x.Name || s.Bridge != nil && s.Bridge.Bridge == x.Bridge.Name) {
			return true, nil
		}
	}
	return false, nil
}

// rangeOf is the range of a network's addresses; not valid when it has none that
// can be read.
func rangeOf(x *libvirtxml.Network) netip.Prefix {
	if len(x.IPs) == 0 {
		return netip.Prefix{}
	}
	gateway, err := netip.ParseAddr(x.IPs[0].Address)
	if err != nil {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(gateway, int(prefix(x.IPs[0]))).Masked()
}

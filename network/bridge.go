package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"libvirt.org/go/libvirtxml"
)

// bridge is what the kernel says about a network's bridge.
type bridge struct {
	there, up, addressed bool
}

func (b bridge) whole() bool { return b.there && b.up && b.addressed }

// gatewayOf is the address that the network's bridge has, with its range; not
// valid where the definition is none of lodge's.
func gatewayOf(x *libvirtxml.Network) netip.Prefix {
	if len(x.IPs) != 1 {
		return netip.Prefix{}
	}
	addr, err := netip.ParseAddr(x.IPs[0].Address)
	if err != nil {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(addr, int(prefix(x.IPs[0])))
}

// lookBridge asks the kernel, which takes a tenth of a millisecond. libvirt has
// no word for any of it: to it the network stays active whatever becomes of its
// bridge.
func lookBridge(name string, want netip.Prefix) (bridge, error) {
	link, err := netlink.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) || err == nil && link.Type() != "bridge" {
		return bridge{}, nil
	}
	if err != nil {
		return bridge{}, fmt.Errorf("look at %s: %w", name, err)
	}
	b := bridge{there: true, up: link.Attrs().Flags&net.FlagUp != 0, addressed: !want.IsValid()}
	if b.addressed {
		return b, nil
	}
	has, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return bridge{}, fmt.Errorf("addresses of %s: %w", name, err)
	}
	for _, a := range has {
		if got, ok := netip.AddrFromSlice(a.IP); ok && got.Unmap() == want.Addr() {
			b.addressed = true
		}
	}
	return b, nil
}

// mendBridge sets a bridge up and gives it its address again. Whoever talks
// through it notices nothing, and dnsmasq hears of the address by itself.
func mendBridge(name string, has bridge, want netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("look at %s: %w", name, err)
	}
	if !has.up {
		if err := netlink.LinkSetUp(link); err != nil {
			return fmt.Errorf("set %s up: %w", name, err)
		}
	}
	if !has.addressed {
		addr, err := netlink.ParseAddr(want.String())
		if err == nil {
			err = netlink.AddrReplace(link, addr)
		}
		if err != nil {
			return fmt.Errorf("give %s its address %s: %w", name, want, err)
		}
	}
	return nil
}

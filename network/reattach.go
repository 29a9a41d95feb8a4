package network

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// reattach puts the NICs of running guests back on a bridge that was just made.
// libvirt attaches a NIC when its guest starts and at no other time, so guests
// of a network that was stopped under them would stay cut off until then.
func reattach(c *libvirt.Connect, n *libvirt.Network) error {
	name, err := n.GetName()
	if err != nil {
		return err
	}
	bridge, err := n.GetBridgeName()
	if err != nil {
		return err
	}
	domains, err := c.ListAllDomains(libvirt.CONNECT_LIST_DOMAINS_ACTIVE)
	if err != nil {
		return fmt.Errorf("list the guests of the network: %w", err)
	}
	var errs []error
	for i := range domains {
		text, err := domains[i].GetXMLDesc(0)
		_ = domains[i].Free()
		if err != nil {
			continue // it ended meanwhile
		}
		var d libvirtxml.Domain
		if err := d.Unmarshal(text); err != nil || d.Devices == nil {
			continue
		}
		for _, nic := range d.Devices.Interfaces {
			if nic.Source != nil && nic.Source.Network != nil && nic.Source.Network.Network == name && nic.Target != nil {
				errs = append(errs, enslave(bridge, nic.Target.Dev))
			}
		}
	}
	return errors.Join(errs...)
}

// enslave makes dev a port of the bridge, unless it is there already or gone.
func enslave(bridge, dev string) error {
	to, err := netlink.LinkByName(bridge)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil // a pretend network (test:///default)
	}
	if err != nil {
		return fmt.Errorf("look at %s: %w", bridge, err)
	}
	nic, err := netlink.LinkByName(dev)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at %s: %w", dev, err)
	}
	if nic.Attrs().MasterIndex == to.Attrs().Index {
		return nil
	}
	if err := netlink.LinkSetMaster(nic, to); err != nil {
		return fmt.Errorf("attach %s to %s: %w", dev, bridge, err)
	}
	return nil
}

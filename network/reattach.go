package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
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
	if _, err := os.Stat(filepath.Join("/sys/class/net", bridge)); err != nil {
		return nil // a pretend network (test:///default)
	}
	master, err := os.Readlink(filepath.Join("/sys/class/net", dev, "master"))
	if err == nil && filepath.Base(master) == bridge {
		return nil
	}
	index, err := os.ReadFile(filepath.Join("/sys/class/net", dev, "ifindex"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var n uint32
	if _, err := fmt.Sscan(string(index), &n); err != nil {
		return fmt.Errorf("index of %s: %w", dev, err)
	}
	s, req, err := request(bridge)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	req.SetUint32(n)
	if err := unix.IoctlIfreq(s, unix.SIOCBRADDIF, req); err != nil {
		return fmt.Errorf("attach %s to %s: %w", dev, bridge, err)
	}
	return nil
}

package network

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"lodge/cloud"
	"lodge/virt"
)

// Options say how to reach libvirt.
type Options struct {
	URI    string     // libvirt's, when Link is nil
	Link   *virt.Link // shared with other rooms; nil: one of its own
	Domain string     // DNS domain of the ports' names; default "lodge.internal"

	// LeaseDir is where the fixed leases are kept. dnsmasq must be allowed to
	// read there, so the default is libvirt's own directory for it.
	LeaseDir string
	PidDir   string // where libvirt keeps dnsmasq's pid files
}

// Host is the networks of one host.
type Host struct {
	o       Options
	link    *virt.Link
	ownLink bool
	book    book

	loose  recent // whether a guest's NIC has no bridge
	fences fences // what is known of the firewall's rules
	whole  whole  // networks with nothing left to do, a moment ago
}

// Open needs no answer from libvirt.
func Open(o Options) (*Host, error) {
	if o.Domain == "" {
		o.Domain = "lodge.internal"
	}
	if o.LeaseDir == "" {
		o.LeaseDir = "/var/lib/libvirt/dnsmasq"
	}
	if o.PidDir == "" {
		o.PidDir = "/run/libvirt/network"
	}
	h := &Host{o: o, link: o.Link, book: book{dir: o.LeaseDir, pidDir: o.PidDir}}
	if h.link == nil {
		h.link, h.ownLink = virt.Open(virt.Options{URI: o.URI}), true
	}
	return h, nil
}

// Close gives up the link if it is the host's own. The networks stay.
func (h *Host) Close() error {
	if h.ownLink {
		return h.link.Close()
	}
	return nil
}

// found is a network of lodge on the host. The caller frees net.
type found struct {
	net *libvirt.Network
	xml libvirtxml.Network
}

// find looks a network up by its id. ok is false when there is none. Returns
// CodeNetwork when a network that is not lodge's has the id or the name.
func (h *Host) find(c *libvirt.Connect, id string) (f found, ok bool, err error) {
	n, err := c.LookupNetworkByUUIDString(id)
	if virt.NotFound(err) {
		if other, err := c.LookupNetworkByName(cloud.HostNetworkName(id)); err == nil {
			_ = other.Free()
			return found{}, false, foreign(id)
		}
		return found{}, false, nil
	}
	if err != nil {
		return found{}, false, fmt.Errorf("look up network %s: %w", id, err)
	}
	f, err = describe(n)
	if err == nil && !ours(&f.xml) {
		err = foreign(id)
	}
	if err != nil {
		_ = n.Free()
		return found{}, false, err
	}
	return f, true, nil
}

func foreign(id string) error {
	return &cloud.Error{Code: cloud.CodeNetwork, Cause: fmt.Errorf("network %s on the host is not lodge's", id),
		Message: "The host has a network of another owner under this network's id or name; an operator has to look at it."}
}

// describe reads the definition that is in force: the live one when active.
func describe(n *libvirt.Network) (found, error) {
	text, err := n.GetXMLDesc(0)
	if err != nil {
		return found{}, fmt.Errorf("describe network: %w", err)
	}
	f := found{net: n}
	if err := f.xml.Unmarshal(text); err != nil {
		return found{}, fmt.Errorf("read a network's XML: %w", err)
	}
	return f, nil
}

// ours reports whether a network carries lodge's mark: name and bridge are both
// derived from the UUID. libvirt keeps no metadata of networks before 9.7.
func ours(x *libvirtxml.Network) bool {
	return x.Name == cloud.HostNetworkName(x.UUID) && x.Bridge != nil && x.Bridge.Name == cloud.BridgeName(x.UUID)
}

// LookNetworks reports the networks with the ids, or all of lodge's when ids is
// nil, with their fixed leases. Only a look at all lists the firewall's rules; one
// at some says what that has found, and repeats for a second what it saw of networks
// that were whole. Returns CodeHypervisor and CodeTimeout as
// virt.Call does, and CodeNetwork when libvirt refuses.
func (h *Host) LookNetworks(ctx context.Context, ids []string) (map[string]cloud.HostNetwork, error) {
	now := time.Now()
	if ids != nil {
		known, unknown, err := h.known(ids, now)
		if err != nil {
			return nil, netError(err, "The host's networks could not be looked at.")
		}
		if len(unknown) == 0 {
			return known, nil
		}
	}
	saw, err := virt.Call(ctx, h.link, "look at networks", func(c *libvirt.Connect) (sight, error) {
		if ids == nil {
			return h.lookAll(c)
		}
		return h.lookSome(c, ids)
	})
	if err != nil {
		return nil, netError(err, "The host's networks could not be looked at.")
	}
	if ids == nil {
		h.lookFences(ctx, saw.fences)
	}
	for id := range saw.fences {
		if h.fences.get(id).worn(now) {
			n := saw.nets[id]
			n.Worn = true
			saw.nets[id] = n
		}
	}
	h.whole.saw(saw.nets, now)
	return saw.nets, nil
}

func (h *Host) lookSome(c *libvirt.Connect, ids []string) (sight, error) {
	seen := sight{nets: make(map[string]cloud.HostNetwork, len(ids)), fences: make(map[string]fence)}
	for _, id := range ids {
		f, ok, err := h.find(c, id)
		if cloud.CodeOf(err) == cloud.CodeNetwork {
			continue // somebody else's
		}
		if err != nil {
			return sight{}, err
		}
		if ok {
			err := h.addTo(seen, f)
			_ = f.net.Free()
			if err != nil {
				return sight{}, err
			}
		}
	}
	return seen, nil
}

// sight is what a look has seen: the networks, and what the firewall owes those
// that are active.
type sight struct {
	nets   map[string]cloud.HostNetwork
	fences map[string]fence
}

func (h *Host) lookAll(c *libvirt.Connect) (sight, error) {
	nets, err := c.ListAllNetworks(0)
	if err != nil {
		return sight{}, fmt.Errorf("list networks: %w", err)
	}
	defer func() {
		for i := range nets {
			_ = nets[i].Free()
		}
	}()
	seen := sight{nets: make(map[string]cloud.HostNetwork), fences: make(map[string]fence)}
	for i := range nets {
		n := &nets[i]
		name, err := n.GetName()
		if err != nil || !strings.HasPrefix(name, cloud.HostNetworkName("")) {
			continue
		}
		f, err := describe(n)
		if virt.NotFound(err) {
			continue // removed meanwhile
		}
		if err != nil {
			return sight{}, err
		}
		if !ours(&f.xml) {
			continue
		}
		if err := h.addTo(seen, f); err != nil {
			return sight{}, err
		}
	}
	return seen, nil
}

// addTo adds a network to what was seen.
func (h *Host) addTo(seen sight, f found) error {
	active, err := f.net.IsActive()
	if virt.NotFound(err) {
		return nil // removed meanwhile
	}
	if err != nil {
		return fmt.Errorf("is network %s active: %w", f.xml.UUID, err)
	}
	ports, err := h.book.read(f.xml.UUID)
	if err != nil {
		return err
	}
	worn, err := h.worn(f, active)
	if err != nil {
		return err
	}
	if active && h.book.due(f.xml.UUID) {
		seen.fences[f.xml.UUID] = fenceOf(&f.xml)
	}
	seen.nets[f.xml.UUID] = cloud.HostNetwork{ID: f.xml.UUID, Active: active, Worn: worn, Bridge: f.xml.Bridge.Name, CIDR: rangeOf(&f.xml), Ports: ports}
	return nil
}

// netError gives what libvirt said a code and a sentence for the tenant.
func netError(err error, message string) error {
	var e *cloud.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e), errors.Is(err, context.Canceled):
		return err
	case virt.Says(err, "already in use by interface "+cloud.BridgeName("")):
		message = "The network's address range overlaps that of another network of lodge's on the host; an operator has to look which one, and whether it is still needed."
	case virt.Says(err, "already in use by interface"):
		message = "The network's address range overlaps one that the host itself uses; another range is needed."
	case virt.Says(err, "bridge name") && virt.Says(err, "already"):
		message = "The host has an interface of another owner under the network's bridge name; an operator has to look at it."
	case virt.Says(err, "apply firewall"):
		message = "libvirt could not write the network's firewall rules; an operator has to restart libvirt."
	}
	return &cloud.Error{Code: cloud.CodeNetwork, Message: message, Cause: err}
}

package main

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"lodge/cloud"
	"lodge/cmd/lodged/daemon"
	"lodge/virt"
)

// holders say which guest has a disk or a NIC, as libvirt has defined it: the
// database has no row of what it does not know.
type holders struct {
	byFile map[string]string // id of the guest, by the name of a file
	byMAC  map[string]string
	err    error // libvirt could not be asked
}

// of is the guest that has an unknown thing; "" when none has it, or it is no thing
// of a guest.
func (h holders) of(o cloud.Orphan) string {
	switch o.Kind {
	case cloud.OrphanVolume, cloud.OrphanSeed:
		return h.byFile[filepath.Base(o.Path)]
	case cloud.OrphanPort:
		return h.byMAC[strings.ToLower(o.ID)]
	}
	return ""
}

// held reports whether a guest may have things of a kind.
func held(k cloud.OrphanKind) bool {
	return k == cloud.OrphanVolume || k == cloud.OrphanSeed || k == cloud.OrphanPort
}

// add takes over what a domain has. Names of lodge's files are ids and the same
// through every link to their folder.
func (h holders) add(id string, d libvirtxml.Domain) {
	if d.Devices == nil {
		return
	}
	for _, disk := range d.Devices.Disks {
		if disk.Source != nil && disk.Source.File != nil {
			h.byFile[filepath.Base(disk.Source.File.File)] = id
		}
	}
	for _, nic := range d.Devices.Interfaces {
		if nic.MAC != nil {
			h.byMAC[strings.ToLower(nic.MAC.Address)] = id
		}
	}
}

const pairsPatience = 10 * time.Second

// askHolders asks libvirt for all guests of the host, of whomever: what is in use
// is not to be removed. Of a pretend host, or without an unknown thing that one may
// have, nobody is asked.
func askHolders(ctx context.Context, cfg daemon.Config, orphans []cloud.Orphan) holders {
	h := holders{byFile: map[string]string{}, byMAC: map[string]string{}}
	if cfg.Sim || !slices.ContainsFunc(orphans, func(o cloud.Orphan) bool { return held(o.Kind) }) {
		return h
	}
	link := virt.Open(virt.Options{URI: cfg.LibvirtURI, FirstDial: pairsPatience, CallTimeout: pairsPatience})
	defer link.Close()
	if up, why := link.Up(); !up {
		h.err = why
		return h
	}
	type definition struct {
		id  string
		doc libvirtxml.Domain
	}
	all, err := virt.Call(ctx, link, "look at the guests", func(c *libvirt.Connect) (out []definition, err error) {
		doms, err := c.ListAllDomains(0)
		if err != nil {
			return nil, err
		}
		for i := range doms {
			defer doms[i].Free()
			id, err := doms[i].GetUUIDString()
			if err != nil {
				return nil, err
			}
			// As it runs, and as it would start.
			for _, flags := range []libvirt.DomainXMLFlags{0, libvirt.DOMAIN_XML_INACTIVE} {
				text, err := doms[i].GetXMLDesc(flags)
				if virt.Is(err, libvirt.ERR_NO_DOMAIN) {
					continue // it went meanwhile
				}
				if err != nil {
					return nil, err
				}
				d := definition{id: id}
				if err := d.doc.Unmarshal(text); err != nil {
					return nil, err
				}
				out = append(out, d)
			}
		}
		return out, nil
	})
	for _, d := range all {
		h.add(d.id, d.doc)
	}
	h.err = err
	return h
}

// byGuest puts what a guest has behind it. What nobody has keeps its place at the
// end.
func byGuest(orphans []cloud.Orphan, h holders) []cloud.Orphan {
	guest := func(o cloud.Orphan) string {
		if o.Kind == cloud.OrphanGuest {
			return o.ID
		}
		return h.of(o)
	}
	out := slices.Clone(orphans)
	slices.SortStableFunc(out, func(a, b cloud.Orphan) int {
		one, two := guest(a), guest(b)
		if (one == "") != (two == "") {
			return strings.Compare(two, one) // "" is the last
		}
		return strings.Compare(one, two)
	})
	return out
}

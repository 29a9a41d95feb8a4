package hypervisor

import (
	"strings"

	"libvirt.org/go/libvirtxml"

	"lodge/cloud"
)

// disks writes the disks in the order of their bus; the first one boots.
func disks(specs []cloud.GuestDisk) []libvirtxml.DomainDisk {
	out := make([]libvirtxml.DomainDisk, 0, len(specs))
	for i, spec := range specs {
		out = append(out, disk(i, spec))
	}
	return out
}

// disk writes one virtio disk. Even the seed: the cloud kernels of Debian have
// no AHCI.
//
// Writeback uses the host's page cache, obeys the guest's flushes, works on
// every filesystem (O_DIRECT does not on tmpfs) and keeps one copy of a base
// image for all its overlays. A failed write or read stops the guest instead of
// telling it, so that a full host pauses guests rather than breaking their
// filesystems.
func disk(n int, spec cloud.GuestDisk) libvirtxml.DomainDisk {
	d := libvirtxml.DomainDisk{
		Device: "disk",
		Driver: &libvirtxml.DomainDiskDriver{
			Name:        "qemu",
			Type:        string(spec.Format),
			Cache:       "writeback",
			ErrorPolicy: "stop",
			Discard:     "unmap",
		},
		Source:       fileSource(spec.Path),
		BackingStore: backing(spec),
		Target:       &libvirtxml.DomainDiskTarget{Dev: diskName(n), Bus: "virtio"},
		Serial:       spec.Serial,
	}
	if spec.ReadOnly {
		d.ReadOnly = &libvirtxml.DomainDiskReadOnly{}
	}
	if n == 0 {
		d.Boot = &libvirtxml.DomainDeviceBoot{Order: 1}
	}
	return d
}

// backing writes the chain to its end: an empty element says "nothing below",
// where a missing one would make libvirt and QEMU read it out of the guest's
// own bytes.
func backing(spec cloud.GuestDisk) *libvirtxml.DomainDiskBackingStore {
	end := &libvirtxml.DomainDiskBackingStore{}
	if spec.Backing == "" {
		return end
	}
	return &libvirtxml.DomainDiskBackingStore{
		Format:       &libvirtxml.DomainDiskFormat{Type: string(spec.BackFmt)},
		Source:       fileSource(spec.Backing),
		BackingStore: end,
	}
}

func fileSource(path string) *libvirtxml.DomainDiskSource {
	return &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: path}}
}

// nics writes the NICs in the order of their bus.
func nics(specs []cloud.GuestNIC) []libvirtxml.DomainInterface {
	out := make([]libvirtxml.DomainInterface, 0, len(specs))
	for _, spec := range specs {
		out = append(out, libvirtxml.DomainInterface{
			MAC: &libvirtxml.DomainInterfaceMAC{Address: strings.ToLower(spec.MAC)},
			Source: &libvirtxml.DomainInterfaceSource{
				Network: &libvirtxml.DomainInterfaceSourceNetwork{Network: cloud.HostNetworkName(spec.NetworkID)},
			},
			Model: &libvirtxml.DomainInterfaceModel{Type: "virtio"},
		})
	}
	return out
}

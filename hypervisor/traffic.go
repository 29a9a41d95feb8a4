package hypervisor

import (
	"context"
	"fmt"
	"strings"

	"libvirt.org/go/libvirt"

	"lodge/cloud"
	"lodge/virt"
)

// ReadNICs reads the byte counters of running guests by id, each guest's NICs in
// the order of its definition: all with nil ids, else the asked ones that run.
// A guest is known by its name: asking for its mark would cost a call each.
//
// libvirt reads the host's end of a NIC, the tap device, and turns the directions
// round: its tx are the bytes that the guest sent. All guests are one call,
// which asks no QEMU, so one that hangs delays nobody.
func (h *Host) ReadNICs(ctx context.Context, ids []string) (map[string][]cloud.NICCounter, error) {
	nics, err := call(ctx, h.link, "read NIC counters", func(_ context.Context, c *libvirt.Connect) (map[string][]cloud.NICCounter, error) {
		f, err := h.know()
		if err != nil {
			return nil, err
		}
		if f.shape.domainType == "test" {
			return map[string][]cloud.NICCounter{}, nil // libvirt's test driver counts nothing
		}
		if ids == nil {
			return readNICs(c, nil)
		}
		return readNICsOf(c, ids)
	})
	if err != nil {
		return nil, fmt.Errorf("read NIC counters: %w", err)
	}
	return nics, nil
}

func readNICsOf(c *libvirt.Connect, ids []string) (map[string][]cloud.NICCounter, error) {
	out := map[string][]cloud.NICCounter{}
	var doms []*libvirt.Domain
	defer func() {
		for _, d := range doms {
			free(d)
		}
	}()
	for _, id := range ids {
		d, err := find(c, id)
		if err != nil {
			return nil, err
		}
		if d != nil {
			doms = append(doms, d)
		}
	}
	if len(doms) == 0 {
		return out, nil
	}
	return readNICs(c, doms)
}

func readNICs(c *libvirt.Connect, doms []*libvirt.Domain) (map[string][]cloud.NICCounter, error) {
	var flags libvirt.ConnectGetAllDomainStatsFlags
	if doms == nil {
		flags = libvirt.CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE
	}
	stats, err := c.GetAllDomainStats(doms, libvirt.DOMAIN_STATS_INTERFACE, flags)
	if virt.Is(err, libvirt.ERR_NO_DOMAIN) {
		return map[string][]cloud.NICCounter{}, nil
	}
	if err != nil {
		return nil, err
	}
	out := make(map[string][]cloud.NICCounter, len(stats))
	for i := range stats {
		name, err := stats[i].Domain.GetName()
		free(stats[i].Domain)
		id, ours := strings.CutPrefix(name, cloud.GuestName(""))
		if err != nil || !ours || len(stats[i].Net) == 0 {
			continue
		}
		out[id] = countersOf(stats[i].Net)
	}
	return out, nil
}

// countersOf turns libvirt's counters into lodge's. One of a device that could
// not be read is 0: it counts as a counter that began again.
func countersOf(nets []libvirt.DomainStatsNet) []cloud.NICCounter {
	out := make([]cloud.NICCounter, len(nets))
	for n, net := range nets {
		out[n] = cloud.NICCounter{Device: net.Name, Egress: int64(net.TxBytes), Ingress: int64(net.RxBytes)}
	}
	return out
}

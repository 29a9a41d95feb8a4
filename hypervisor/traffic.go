package hypervisor

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"

	"lodge/cloud"
)

// tapPrefix is the first byte of the address that libvirt gives the host's end of
// a NIC; the others are those of the guest's end.
const tapPrefix = 0xfe

// ReadNICs reads the byte counters of the NICs that are plugged into this host, by
// MAC as a guest sees it. An address that two devices have is left out.
//
// The host's end of a NIC is a tap device: what it receives the guest has sent.
// All of them are one answer of the kernel. libvirt's own statistics are the same
// figures with the directions turned round, but it reads a table of all devices
// for each of them: 0.3 ms per guest.
func (h *Host) ReadNICs(ctx context.Context) (map[string]cloud.NICCounter, error) {
	if f := h.facts.Load(); f == nil || f.logs == "" {
		return map[string]cloud.NICCounter{}, nil // not this machine's guests
	}
	links, err := netlink.LinkList()
	if errors.Is(err, netlink.ErrDumpInterrupted) { // devices came or went meanwhile: what was read is right
		err = nil
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("read NIC counters: %w", err)
	}
	return countersOf(links), nil
}

func countersOf(links []netlink.Link) map[string]cloud.NICCounter {
	out := make(map[string]cloud.NICCounter, len(links))
	twice := map[string]bool{}
	for _, link := range links {
		a := link.Attrs()
		if a.Statistics == nil || len(a.HardwareAddr) != 6 || a.HardwareAddr[0] != tapPrefix || link.Type() != "tuntap" {
			continue
		}
		// libvirt keeps the first byte of the guest's address nowhere else; lodge's begin with 52.
		mac := net.HardwareAddr(append([]byte{0x52}, a.HardwareAddr[1:]...)).String()
		if _, there := out[mac]; there {
			twice[mac] = true
		}
		out[mac] = cloud.NICCounter{
			Device:  fmt.Sprintf("%s#%d", a.Name, a.Index), // no index is given twice until the host boots
			Egress:  int64(a.Statistics.RxBytes),
			Ingress: int64(a.Statistics.TxBytes),
		}
	}
	for mac := range twice {
		delete(out, mac)
	}
	return out
}

package hypervisor

import (
	"net"
	"testing"

	"github.com/vishvananda/netlink"

	"lodge/cloud"
)

func TestOnlyTapsOfGuestsAreCounted(t *testing.T) {
	link := func(l netlink.Link, name, mac string, index int) netlink.Link {
		a := l.Attrs()
		a.Name, a.Index = name, index
		a.HardwareAddr, _ = net.ParseMAC(mac)
		a.Statistics = &netlink.LinkStatistics{RxBytes: 10, TxBytes: 20}
		return l
	}
	bare := &netlink.Tuntap{}
	bare.HardwareAddr, _ = net.ParseMAC("fe:54:00:00:00:09")
	got := countersOf([]netlink.Link{
		link(&netlink.Device{}, "eth0", "fe:54:00:00:00:01", 1),
		link(&netlink.Bridge{}, "br", "fe:54:00:00:00:02", 2),
		link(&netlink.Tuntap{}, "tap0", "52:54:00:00:00:03", 3),
		link(&netlink.Tuntap{}, "vnet0", "fe:54:00:00:00:04", 4),
		link(&netlink.Tuntap{}, "vnet1", "fe:54:00:00:00:05", 5),
		link(&netlink.Tuntap{}, "other", "fe:54:00:00:00:05", 6),
		bare,
	})
	want := cloud.NICCounter{Device: "vnet0#4", Egress: 10, Ingress: 20}
	if len(got) != 1 || got["52:54:00:00:00:04"] != want {
		t.Errorf("counted %+v", got)
	}
}

package network_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"lodge/cloud"
)

func TestAStoppedNetworkIsStartedAndAChangedOneRedefinedWithItsPorts(t *testing.T) {
	needWorld(t)
	h := open(t, "")
	ensure(t, h, spec(1))
	ctx := context.Background()
	must(t, h.EnsurePort(ctx, id(1), port(1, 10, "web1")))
	run(t, "virsh", "net-destroy", cloud.HostNetworkName(id(1)))
	if n := look(t, h, id(1)); n.Active || len(n.Ports) != 1 {
		t.Fatalf("stopped: %+v", n)
	}
	// Ports may come and go while it is stopped.
	must(t, h.EnsurePort(ctx, id(1), port(1, 11, "web2")))
	must(t, h.RemovePort(ctx, id(1), port(1, 11, "web2")))
	must(t, h.EnsureNetwork(ctx, spec(1)))
	if n := look(t, h, id(1)); !n.Active || len(n.Ports) != 1 {
		t.Fatalf("started: %+v", n)
	}
	wider := spec(1)
	wider.CIDR = netip.MustParsePrefix("10.77.0.0/22")
	must(t, h.EnsureNetwork(ctx, wider))
	if n := look(t, h, id(1)); !n.Active || len(n.Ports) != 1 {
		t.Fatalf("changed: %+v", n)
	}
	if out := run(t, "ip", "-br", "addr", "show", cloud.BridgeName(id(1))); !strings.Contains(out, "10.77.1.1/22") {
		t.Errorf("bridge: %s", out)
	}
	if ack := newClient(t, cloud.BridgeName(id(1)), port(1, 10, "").MAC).dhcp(""); ack == nil {
		t.Error("no lease after the change")
	}
}

func TestALeaseThatOutlivedItsPortGoesWithTheNextStart(t *testing.T) {
	needWorld(t)
	h := open(t, "")
	ensure(t, h, spec(1))
	ctx := context.Background()
	p := port(1, 10, "web1")
	must(t, h.EnsurePort(ctx, id(1), p))
	if newClient(t, cloud.BridgeName(id(1)), p.MAC).dhcp("") == nil {
		t.Fatal("no lease")
	}
	wantLeases(t, 1, p.MAC)
	run(t, "virsh", "net-destroy", cloud.HostNetworkName(id(1)))
	must(t, h.RemovePort(ctx, id(1), p))
	must(t, h.EnsureNetwork(ctx, spec(1)))
	wantLeases(t, 1)
}

func TestADeadDnsmasqComesBackWithTheNextPort(t *testing.T) {
	needWorld(t)
	h := open(t, "")
	ensure(t, h, spec(1))
	ctx := context.Background()
	must(t, h.EnsurePort(ctx, id(1), port(1, 10, "web1")))
	pid, err := os.ReadFile("/run/libvirt/network/" + cloud.HostNetworkName(id(1)) + ".pid")
	must(t, err)
	run(t, "kill", "-KILL", strings.TrimSpace(string(pid)))
	for _, err := os.Stat("/proc/" + strings.TrimSpace(string(pid))); err == nil; _, err = os.Stat("/proc/" + strings.TrimSpace(string(pid))) {
		time.Sleep(time.Millisecond)
	}
	must(t, h.EnsurePort(ctx, id(1), port(1, 11, "web2")))
	for _, host := range []int{10, 11} {
		if newClient(t, cloud.BridgeName(id(1)), port(1, host, "").MAC).dhcp("") == nil {
			t.Errorf("no lease for %d", host)
		}
	}
	must(t, h.RemovePort(ctx, id(1), port(1, 10, "web1")))
	wantLeases(t, 1, port(1, 11, "").MAC)
}

// A guest that runs while its network is stopped by hand gets its link back.
func TestARunningGuestIsPutBackOnTheBridge(t *testing.T) {
	needWorld(t)
	h := open(t, "")
	ensure(t, h, spec(1))
	path := t.TempDir() + "/guest.xml"
	must(t, os.WriteFile(path, []byte(`<domain type='qemu'><name>guest</name><memory unit='MiB'>16</memory><os><type arch='x86_64'>hvm</type></os>
		<devices><interface type='network'><source network='`+cloud.HostNetworkName(id(1))+`'/><model type='virtio'/></interface></devices></domain>`), 0o600))
	run(t, "virsh", "create", "--paused", path)
	defer run(t, "virsh", "destroy", "guest")
	master := func() string {
		to, _ := os.Readlink("/sys/class/net/vnet0/master")
		return to[strings.LastIndex(to, "/")+1:]
	}
	if master() != cloud.BridgeName(id(1)) {
		t.Fatalf("vnet0 is on %q", master())
	}
	run(t, "virsh", "net-destroy", cloud.HostNetworkName(id(1)))
	if master() != "" {
		t.Fatalf("vnet0 is still on %q", master())
	}
	must(t, h.EnsureNetwork(context.Background(), spec(1)))
	if master() != cloud.BridgeName(id(1)) {
		t.Errorf("vnet0 is on %q", master())
	}
}

func TestARangeThatTheHostUsesIsRefusedWithASentence(t *testing.T) {
	needWorld(t)
	run(t, "ip", "link", "add", "uplink", "type", "veth", "peer", "name", "uplink2")
	defer run(t, "ip", "link", "del", "uplink")
	run(t, "ip", "addr", "add", "10.77.1.200/24", "dev", "uplink")
	run(t, "ip", "link", "set", "uplink", "up")
	run(t, "ip", "link", "set", "uplink2", "up")
	h := open(t, "")
	err := h.EnsureNetwork(context.Background(), spec(1))
	defer h.RemoveNetwork(context.Background(), id(1))
	wantCode(t, err, cloud.CodeNetwork)
	if !strings.Contains(cloud.MessageOf(err), "overlaps") {
		t.Error(err)
	}
}

func TestANetworkOfAnotherOwnerIsNeverTouched(t *testing.T) {
	needWorld(t)
	h := open(t, "")
	ctx := context.Background()
	path := t.TempDir() + "/net.xml"
	must(t, os.WriteFile(path, []byte("<network><name>mine</name><uuid>"+id(1)+"</uuid><bridge name='mine0'/></network>"), 0o600))
	run(t, "virsh", "net-define", path)
	defer run(t, "virsh", "net-undefine", "mine")
	if n := look(t, h, id(1)); n.ID != "" {
		t.Fatalf("seen %+v", n)
	}
	wantCode(t, h.EnsureNetwork(ctx, spec(1)), cloud.CodeNetwork)
	must(t, h.RemoveNetwork(ctx, id(1)))
	if out := run(t, "virsh", "net-list", "--all", "--name"); !strings.Contains(out, "mine") {
		t.Errorf("networks:\n%s", out)
	}
}

func TestPortsAreMadeSideBySide(t *testing.T) {
	needWorld(t)
	h := open(t, "")
	ensure(t, h, spec(1))
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if err := h.EnsurePort(context.Background(), id(1), port(1, 10+i, fmt.Sprint("web", i))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := look(t, h, id(1)); len(n.Ports) != 16 {
		t.Fatalf("ports %d", len(n.Ports))
	}
}

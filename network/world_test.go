package network_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"golang.org/x/sys/unix"

	"lodge/cloud"
	"lodge/network"
)

func needWorld(t testing.TB) {
	t.Helper()
	if os.Getenv("LODGE_WORLD") != "1" {
		t.Skip("needs scripts/world")
	}
}

func id(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012x", n) }

func open(t testing.TB, uri string) *network.Host {
	t.Helper()
	o := network.Options{URI: uri}
	if uri == "test:///default" {
		o.LeaseDir, o.PidDir = t.TempDir(), t.TempDir()
	}
	h, err := network.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func spec(n int) cloud.NetworkSpec {
	return cloud.NetworkSpec{
		ID: id(n), Name: "default", NAT: true, DHCP: true,
		Gateway: netip.AddrFrom4([4]byte{10, 77, byte(n), 1}),
		CIDR:    netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, byte(n), 0}), 24),
	}
}

func port(n, host int, name string) cloud.PortSpec {
	return cloud.PortSpec{
		MAC:     fmt.Sprintf("52:54:00:00:%02x:%02x", n, host),
		Address: netip.AddrFrom4([4]byte{10, 77, byte(n), byte(host)}),
		Name:    name,
	}
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t testing.TB, err error, code cloud.Code) {
	t.Helper()
	if cloud.CodeOf(err) != code {
		t.Fatalf("got %v (%s), want %s", err, cloud.CodeOf(err), code)
	}
}

// ensure makes a network that goes with the test.
func ensure(t testing.TB, h *network.Host, s cloud.NetworkSpec) {
	t.Helper()
	must(t, h.EnsureNetwork(context.Background(), s))
	t.Cleanup(func() { must(t, h.RemoveNetwork(context.Background(), s.ID)) })
}

func look(t testing.TB, h *network.Host, id string) cloud.HostNetwork {
	t.Helper()
	seen, err := h.LookNetworks(context.Background(), []string{id})
	must(t, err)
	all, err := h.LookNetworks(context.Background(), nil)
	must(t, err)
	if fmt.Sprint(all[id]) != fmt.Sprint(seen[id]) {
		t.Fatalf("one look says %+v, the other %+v", seen[id], all[id])
	}
	return seen[id]
}

// client is a machine on a bridge: a network namespace with a NIC.
type client struct {
	t   testing.TB
	ns  string
	mac string
}

func newClient(t testing.TB, bridge, mac string) *client {
	t.Helper()
	c := &client{t, "c" + strings.ReplaceAll(mac[9:], ":", ""), mac}
	tap := "v" + c.ns
	run(t, "ip", "netns", "add", c.ns)
	run(t, "ip", "link", "add", tap, "type", "veth", "peer", "name", "eth0", "netns", c.ns)
	run(t, "ip", "-n", c.ns, "link", "set", "eth0", "address", mac, "up")
	run(t, "ip", "link", "set", tap, "master", bridge, "up")
	t.Cleanup(func() {
		_ = exec.Command("ip", "link", "del", tap).Run()
		_ = exec.Command("ip", "netns", "del", c.ns).Run()
	})
	return c
}

// inside runs f on a thread of its own in the namespace.
func (c *client) inside(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		ns, err := os.Open("/run/netns/" + c.ns)
		if err != nil {
			c.t.Error(err)
			return
		}
		defer ns.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			c.t.Error(err)
			return
		}
		f()
	}()
	<-done
}

// dhcp asks for a lease; nil when nobody answers.
func (c *client) dhcp(clientID string) *dhcpv4.DHCPv4 { return c.ask(clientID, 4) }

// none is dhcp with less patience, where no answer is expected.
func (c *client) none(clientID string) *dhcpv4.DHCPv4 { return c.ask(clientID, 1) }

func (c *client) ask(clientID string, tries int) *dhcpv4.DHCPv4 {
	c.t.Helper()
	var ack *dhcpv4.DHCPv4
	c.inside(func() {
		cl, err := nclient4.New("eth0", nclient4.WithTimeout(time.Second), nclient4.WithRetry(tries))
		if err != nil {
			c.t.Error(err)
			return
		}
		defer cl.Close()
		mods := []dhcpv4.Modifier{dhcpv4.WithRequestedOptions(
			dhcpv4.OptionHostName, dhcpv4.OptionDomainName, dhcpv4.OptionDomainNameServer, dhcpv4.OptionRouter)}
		if clientID != "" {
			mods = append(mods, dhcpv4.WithOption(dhcpv4.OptClientIdentifier([]byte(clientID+c.mac))))
		}
		l, err := cl.Request(context.Background(), mods...)
		if err == nil {
			ack = l.ACK
		}
	})
	return ack
}

func leased(t testing.TB, n int) string {
	return run(t, "virsh", "-q", "net-dhcp-leases", cloud.HostNetworkName(id(n)))
}

// wantLeases waits until libvirt lists the leases of exactly these MACs: its
// helper is some 10 ms behind dnsmasq.
func wantLeases(t testing.TB, n int, macs ...string) {
	t.Helper()
	out := ""
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		out = leased(t, n)
		ok := strings.Count(out, "ipv4") == len(macs)
		for _, mac := range macs {
			ok = ok && strings.Contains(out, mac)
		}
		if ok {
			return
		}
	}
	t.Errorf("leases are not those of %v:\n%s", macs, out)
}

func resolve(name string, gateway netip.Addr) ([]string, error) {
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", net.JoinHostPort(gateway.String(), "53"))
	}}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return r.LookupHost(ctx, name)
}

func TestANetworkIsMadeSeenAndRemovedAndEachMayHappenTwice(t *testing.T) {
	for _, uri := range []string{"test:///default", "qemu:///system"} {
		t.Run(uri, func(t *testing.T) {
			if uri != "test:///default" {
				needWorld(t)
			}
			h := open(t, uri)
			ctx := context.Background()
			if n := look(t, h, id(1)); n.ID != "" {
				t.Fatalf("before: %+v", n)
			}
			for range 2 {
				must(t, h.EnsureNetwork(ctx, spec(1)))
			}
			n := look(t, h, id(1))
			if !n.Active || n.Bridge != cloud.BridgeName(id(1)) || len(n.Ports) != 0 {
				t.Fatalf("seen %+v", n)
			}
			for range 2 {
				must(t, h.EnsurePort(ctx, id(1), port(1, 10, "web1")))
			}
			must(t, h.EnsurePort(ctx, id(1), port(1, 11, "web2")))
			if n := look(t, h, id(1)); len(n.Ports) != 2 || n.Ports[port(1, 10, "").MAC] != port(1, 10, "web1") {
				t.Fatalf("ports %+v", n.Ports)
			}
			for range 2 {
				must(t, h.RemovePort(ctx, id(1), port(1, 10, "web1")))
				must(t, h.RemovePort(ctx, id(1), port(1, 11, "web2")))
			}
			if n := look(t, h, id(1)); len(n.Ports) != 0 {
				t.Fatalf("ports left %+v", n.Ports)
			}
			for range 2 {
				must(t, h.RemoveNetwork(ctx, id(1)))
			}
			must(t, h.RemovePort(ctx, id(1), port(1, 10, "web1")))
			if n := look(t, h, id(1)); n.ID != "" {
				t.Fatalf("left: %+v", n)
			}
			wantCode(t, h.EnsurePort(ctx, id(1), port(1, 10, "web1")), cloud.CodeNetwork)
		})
	}
}

func TestAPortTakesOverMACAddressAndName(t *testing.T) {
	for _, uri := range []string{"test:///default", "qemu:///system"} {
		t.Run(uri, func(t *testing.T) {
			if uri != "test:///default" {
				needWorld(t)
			}
			h := open(t, uri)
			ensure(t, h, spec(1))
			ctx := context.Background()
			steps := []struct {
				p    cloud.PortSpec
				left int
			}{
				{port(1, 10, "web1"), 1},
				{port(1, 11, "web2"), 2},
				{cloud.PortSpec{MAC: port(1, 10, "").MAC, Address: port(1, 20, "").Address, Name: "web1"}, 2},  // other address
				{cloud.PortSpec{MAC: port(1, 10, "").MAC, Address: port(1, 20, "").Address, Name: "web9"}, 2},  // other name
				{cloud.PortSpec{MAC: port(1, 30, "").MAC, Address: port(1, 20, "").Address, Name: "web10"}, 2}, // the address moves
				{cloud.PortSpec{MAC: port(1, 31, "").MAC, Address: port(1, 31, "").Address, Name: "web2"}, 2},  // the name moves
			}
			for i, s := range steps {
				must(t, h.EnsurePort(ctx, id(1), s.p))
				n := look(t, h, id(1))
				if len(n.Ports) != s.left || n.Ports[s.p.MAC] != s.p {
					t.Fatalf("step %d: %+v", i, n.Ports)
				}
			}
		})
	}
}

func TestAGuestGetsItsAddressAndNameAndLosesThemWithItsPort(t *testing.T) {
	needWorld(t)
	for _, clientID := range []string{"", "\xff\x01\x02\x03\x00\x02an id"} {
		t.Run(fmt.Sprintf("client id %x", clientID), func(t *testing.T) {
			h := open(t, "")
			ensure(t, h, spec(1))
			ctx := context.Background()
			p, last := port(1, 10, "web1"), port(1, 11, "web2")
			must(t, h.EnsurePort(ctx, id(1), p))
			must(t, h.EnsurePort(ctx, id(1), last))
			bridge := cloud.BridgeName(id(1))
			c, d := newClient(t, bridge, p.MAC), newClient(t, bridge, last.MAC)
			stranger := newClient(t, bridge, port(1, 99, "").MAC)

			ack := c.dhcp(clientID)
			if ack == nil {
				t.Fatal("no lease")
			}
			if got := ack.YourIPAddr.String(); got != p.Address.String() {
				t.Errorf("address %s", got)
			}
			if ack.HostName() != "web1" || ack.DomainName() != "lodge.internal" || ack.Router()[0].String() != "10.77.1.1" {
				t.Errorf("lease %s", ack.Summary())
			}
			if d.dhcp(clientID) == nil {
				t.Fatal("no lease for the other")
			}
			if ack := stranger.none(""); ack != nil {
				t.Errorf("a stranger got %s", ack.YourIPAddr)
			}
			for _, name := range []string{"web1", "web1.lodge.internal"} {
				if got, err := resolve(name+".", spec(1).Gateway); err != nil || len(got) != 1 || got[0] != p.Address.String() {
					t.Errorf("%s is %v, %v", name, got, err)
				}
			}
			wantLeases(t, 1, p.MAC, last.MAC)
			must(t, h.RemovePort(ctx, id(1), p))
			if out := leased(t, 1); strings.Contains(out, p.MAC) || !strings.Contains(out, last.MAC) {
				t.Errorf("leases after RemovePort:\n%s", out)
			}
			if got, err := resolve("web1.lodge.internal.", spec(1).Gateway); err == nil {
				t.Errorf("web1 is still %v", got)
			}
			if ack := c.none(clientID); ack != nil {
				t.Errorf("got %s after its port was removed", ack.YourIPAddr)
			}
			// The last port: the network stops answering DHCP with it.
			must(t, h.RemovePort(ctx, id(1), last))
			if out := strings.TrimSpace(leased(t, 1)); out != "" {
				t.Errorf("leases at the end:\n%s", out)
			}
			if b, _ := os.ReadFile("/var/lib/libvirt/dnsmasq/" + bridge + ".status"); bytes.Contains(b, []byte("mac")) {
				t.Errorf("status file at the end:\n%s", b)
			}
		})
	}
}

func TestAnAddressPassesToAnotherMACWhoseGuestGetsItAtOnce(t *testing.T) {
	needWorld(t)
	h := open(t, "")
	ensure(t, h, spec(1))
	ctx := context.Background()
	old, next := port(1, 10, "web1"), cloud.PortSpec{MAC: port(1, 12, "").MAC, Address: port(1, 10, "").Address, Name: "web1"}
	must(t, h.EnsurePort(ctx, id(1), old))
	if newClient(t, cloud.BridgeName(id(1)), old.MAC).dhcp("") == nil {
		t.Fatal("no lease")
	}
	must(t, h.EnsurePort(ctx, id(1), next))
	ack := newClient(t, cloud.BridgeName(id(1)), next.MAC).dhcp("")
	if ack == nil || ack.YourIPAddr.String() != next.Address.String() {
		t.Fatalf("lease %v", ack)
	}
	wantLeases(t, 1, next.MAC)
	// A late removal of the old port must not take the address from the new one.
	must(t, h.RemovePort(ctx, id(1), old))
	wantLeases(t, 1, next.MAC)
	if n := look(t, h, id(1)); n.Ports[next.MAC] != next {
		t.Errorf("ports %+v", n.Ports)
	}
}

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

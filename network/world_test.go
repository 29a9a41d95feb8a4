package network_test

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

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

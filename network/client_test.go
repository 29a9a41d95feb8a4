package network_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"golang.org/x/sys/unix"

	"lodge/cloud"
)

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

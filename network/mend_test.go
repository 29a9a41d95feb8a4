package network_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/network"
)

// wantMended is what reconcile does: a sweep shows it, EnsureNetwork mends it,
// and then neither has anything to do.
func wantMended(t *testing.T, h *network.Host, s cloud.NetworkSpec) {
	t.Helper()
	if n := sweep(t, h)[s.ID]; n.Active && !n.Worn {
		t.Fatalf("a look says that nothing is missing: %+v", n)
	}
	seen, err := h.LookNetworks(context.Background(), []string{s.ID})
	must(t, err)
	if n := seen[s.ID]; n.Active && !n.Worn {
		t.Fatalf("a look at the network says that nothing is missing: %+v", n)
	}
	must(t, h.EnsureNetwork(context.Background(), s))
	wantNothingToDo(t, h, s)
}

func wantNothingToDo(t *testing.T, h *network.Host, s cloud.NetworkSpec) {
	t.Helper()
	time.Sleep(1100 * time.Millisecond) // a look remembers loose NICs for a second
	before := state(t, s.ID)
	if n := look(t, h, s.ID); !n.Active || n.Worn {
		t.Errorf("after the mend a look says %+v", n)
	}
	must(t, h.EnsureNetwork(context.Background(), s))
	if after := state(t, s.ID); after != before {
		t.Errorf("a second EnsureNetwork changed it:\n%s\n%s", before, after)
	}
}

// state changes when a network, its rules or its dnsmasq are made again.
func state(t *testing.T, id string) string {
	t.Helper()
	index, err := os.ReadFile("/sys/class/net/" + cloud.BridgeName(id) + "/ifindex")
	must(t, err)
	pid, err := os.ReadFile("/run/libvirt/network/" + cloud.HostNetworkName(id) + ".pid")
	must(t, err)
	handles := ""
	for line := range strings.Lines(run(t, "nft", "-a", "list", "ruleset")) {
		if _, handle, ok := strings.Cut(line, "# handle "); ok {
			handles += strings.TrimSpace(handle) + " "
		}
	}
	return fmt.Sprintf("bridge %s, dnsmasq %s, rules %s", index, pid, handles)
}

func sweep(t *testing.T, h *network.Host) map[string]cloud.HostNetwork {
	t.Helper()
	seen, err := h.LookNetworks(context.Background(), nil)
	must(t, err)
	return seen
}

// wantServed asks for the lease and then talks with the gateway as a guest does.
func wantServed(t *testing.T, c *client, p cloud.PortSpec, s cloud.NetworkSpec) {
	t.Helper()
	if ack := c.dhcp(""); ack == nil || ack.YourIPAddr.String() != p.Address.String() {
		t.Fatalf("lease %v", ack)
	}
	c.settle(p, s)
	if err := c.dial(s.Gateway.String() + ":53"); err != nil {
		t.Fatalf("the gateway: %v", err)
	}
}

// settle gives the client's NIC its address, as a guest does with its lease.
func (c *client) settle(p cloud.PortSpec, s cloud.NetworkSpec) {
	c.t.Helper()
	run(c.t, "ip", "-n", c.ns, "addr", "replace", fmt.Sprintf("%s/%d", p.Address, s.CIDR.Bits()), "dev", "eth0")
	run(c.t, "ip", "-n", c.ns, "route", "replace", "default", "via", s.Gateway.String())
}

func (c *client) dial(addr string) (err error) {
	c.inside(func() {
		var conn net.Conn
		if conn, err = net.DialTimeout("tcp", addr, 2*time.Second); err == nil {
			_ = conn.Close()
		}
	})
	return err
}

// listen answers on a port of the client until the test ends.
func (c *client) listen(addr string) {
	c.t.Helper()
	c.inside(func() {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			c.t.Error(err)
			return
		}
		c.t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_ = conn.Close()
			}
		}()
	})
}

func (c *client) plug(bridge string) {
	run(c.t, "ip", "link", "set", "v"+c.ns, "master", bridge, "up")
}

// guest starts a domain that does not run, with a NIC on the network; nic is
// the host's end of it.
func guest(t *testing.T, n int) (nic string) {
	t.Helper()
	path := t.TempDir() + "/guest.xml"
	must(t, os.WriteFile(path, fmt.Appendf(nil, `<domain type='qemu'><name>guest</name><memory unit='MiB'>16</memory><os><type arch='x86_64'>hvm</type></os>
		<devices><interface type='network'><source network='%s'/><target dev='tapguest'/><model type='virtio'/></interface></devices></domain>`,
		cloud.HostNetworkName(id(n))), 0o600))
	run(t, "virsh", "create", "--paused", path)
	t.Cleanup(func() { run(t, "virsh", "destroy", "guest") })
	return "tapguest"
}

func wantMaster(t *testing.T, nic, bridge string) {
	t.Helper()
	to, _ := os.Readlink("/sys/class/net/" + nic + "/master")
	if to == "" || filepath.Base(to) != bridge {
		t.Errorf("%s is on %q, want %s", nic, to, bridge)
	}
}

func TestADeletedBridgeComesBackWithItsGuests(t *testing.T) {
	needWorld(t)
	for _, restarted := range []bool{false, true} {
		t.Run(fmt.Sprint("libvirtd restarted ", restarted), func(t *testing.T) {
			h := open(t, "")
			s, p, bridge := spec(1), port(1, 10, "web1"), cloud.BridgeName(id(1))
			ensure(t, h, s)
			must(t, h.EnsurePort(context.Background(), s.ID, p))
			nic, c := guest(t, 1), newClient(t, bridge, p.MAC)
			wantServed(t, c, p, s)
			stranger := strangers(t)

			run(t, "ip", "link", "del", bridge)
			if restarted {
				run(t, os.Getenv("LODGE_WORLD_LIBVIRTD"), "restart")
				waitActive(t, h)
			}
			wantMended(t, h, s)
			wantMaster(t, nic, bridge)
			c.plug(bridge)
			wantServed(t, c, p, s)
			stranger()
		})
	}
}

func TestARemovedNetworkLeavesNoDHCPServer(t *testing.T) {
	needWorld(t)
	h, s := open(t, ""), spec(1)
	must(t, h.EnsureNetwork(context.Background(), s))
	stranger := strangers(t)
	run(t, "ip", "link", "del", cloud.BridgeName(s.ID))
	run(t, os.Getenv("LODGE_WORLD_LIBVIRTD"), "restart")
	waitActive(t, h)
	must(t, h.RemoveNetwork(context.Background(), s.ID))
	stranger()
	ours := "--conf-file=/var/lib/libvirt/dnsmasq/" + cloud.HostNetworkName(s.ID) + ".conf"
	if out, err := exec.Command("pgrep", "-af", "--", ours).Output(); err == nil {
		t.Errorf("left: %s", out)
	}
}

// waitActive waits for the link to libvirtd.
func waitActive(t *testing.T, h *network.Host) {
	t.Helper()
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, err = h.LookNetworks(context.Background(), []string{id(1)}); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// strangers are a network of libvirt that is not lodge's, a dnsmasq of somebody
// else with a conf file of the same name elsewhere, and a process that only names
// the conf file of lodge's. The function says whether all are as they were.
func strangers(t *testing.T) (check func()) {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/net.xml", []byte("<network><name>mine</name><bridge name='mine0'/><ip address='10.99.0.1' prefix='24'/></network>"), 0o600))
	run(t, "virsh", "net-create", dir+"/net.xml")
	t.Cleanup(func() { run(t, "virsh", "net-destroy", "mine") })
	conf := cloud.HostNetworkName(id(1)) + ".conf"
	must(t, os.WriteFile(dir+"/"+conf, []byte("port=0\n"), 0o644))
	var pids []string
	start := func(path string, args ...string) {
		cmd := exec.Command(path, args...)
		must(t, cmd.Start())
		pids = append(pids, fmt.Sprint(cmd.Process.Pid))
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	}
	start("dnsmasq", "--conf-file="+dir+"/"+conf, "--keep-in-foreground", "--pid-file=")
	start("tail", "-f", "/dev/null", "--", "/var/lib/libvirt/dnsmasq/"+conf)
	mine, err := os.ReadFile("/run/libvirt/network/mine.pid")
	must(t, err)
	pids = append(pids, strings.TrimSpace(string(mine)))
	index, err := os.ReadFile("/sys/class/net/mine0/ifindex")
	must(t, err)
	return func() {
		t.Helper()
		for _, pid := range pids {
			stat, err := os.ReadFile("/proc/" + pid + "/stat")
			if err != nil || strings.Contains(string(stat), ") Z ") {
				t.Errorf("a stranger's process %s ended", pid)
			}
		}
		if now, _ := os.ReadFile("/sys/class/net/mine0/ifindex"); string(now) != string(index) {
			t.Error("a stranger's bridge was made again")
		}
	}
}

func TestABridgeThatIsDownOrWithoutItsAddressIsMendedInPlace(t *testing.T) {
	needWorld(t)
	bridge := cloud.BridgeName(id(1))
	for _, c := range []struct {
		name   string
		broken [][]string
	}{
		{"down", [][]string{{"ip", "link", "set", bridge, "down"}}},
		{"flushed", [][]string{{"ip", "addr", "flush", "dev", bridge}}},
		{"both", [][]string{{"ip", "link", "set", bridge, "down"}, {"ip", "addr", "flush", "dev", bridge}}},
		{"another address before its own", [][]string{{"ip", "addr", "flush", "dev", bridge}, {"ip", "addr", "add", "192.0.2.1/24", "dev", bridge}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := open(t, "")
			s, p := spec(1), port(1, 10, "web1")
			ensure(t, h, s)
			must(t, h.EnsurePort(context.Background(), s.ID, p))
			cl := newClient(t, bridge, p.MAC)
			wantServed(t, cl, p, s)
			before := state(t, s.ID)
			for _, cmd := range c.broken {
				run(t, cmd[0], cmd[1:]...)
			}
			if err := cl.dial(s.Gateway.String() + ":53"); err == nil {
				t.Fatal("the gateway still answers")
			}
			wantMended(t, h, s)
			wantServed(t, cl, p, s)
			if out := run(t, "ip", "-br", "addr", "show", bridge); !strings.Contains(out, "10.77.1.1/24") {
				t.Errorf("bridge: %s", out)
			}
			if after := state(t, s.ID); after != before {
				t.Errorf("it was made again:\n%s\n%s", before, after)
			}
		})
	}
}

func bridgeIndexes(t *testing.T, ids ...string) (all string) {
	t.Helper()
	for _, id := range ids {
		index, err := os.ReadFile("/sys/class/net/" + cloud.BridgeName(id) + "/ifindex")
		must(t, err)
		all += string(index)
	}
	return all
}

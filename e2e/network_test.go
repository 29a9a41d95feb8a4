package e2e

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// What an operator, a network tool or a firewall script does to the host's side
// of a running guest's network is undone within a sweep or two.
func TestAGuestIsReachedAgainWhateverBecomesOfItsBridge(t *testing.T) {
	l := newLab(t)
	l.importTiny()
	addr := l.address(l.tiny("a"))
	l.sshWait("root", addr, "true", time.Minute)
	name := l.virsh("net-list", "--name")
	bridge := strings.TrimSpace(strings.TrimPrefix(firstLine(l.virsh("net-info", name), "Bridge:"), "Bridge:"))
	host := func(args ...string) string {
		t.Helper()
		b, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, b)
		}
		return string(b)
	}
	for _, broken := range [][]string{
		{"ip", "link", "set", bridge, "down"},
		{"ip", "addr", "flush", "dev", bridge},
		{"ip", "link", "del", bridge},
	} {
		host(broken...)
		if _, ok := l.ssh("root", addr, "true"); ok {
			t.Fatalf("%v: the guest still answers", broken)
		}
		l.sshWait("root", addr, "ping -c 1 -W 2 "+gateway(addr), time.Minute)
	}

	host("ip", "link", "del", bridge)
	l.libvirtd("restart")
	l.sshWait("root", addr, "true", time.Minute)

	index := func() string {
		b, err := os.ReadFile("/sys/class/net/" + bridge + "/ifindex")
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	before := index()
	host("iptables", "-F")
	host("iptables", "-t", "nat", "-F")
	l.eventually(time.Minute, "the firewall's rules are back", func() bool {
		filter, nat := host("iptables", "-S"), host("iptables", "-t", "nat", "-S")
		return strings.Contains(filter, "-A FORWARD -j LIBVIRT_FWI") && strings.Contains(filter, "-o "+bridge+" -j REJECT") &&
			strings.Contains(nat, "-A POSTROUTING -j LIBVIRT_PRT") && strings.Contains(nat, "MASQUERADE")
	})
	if index() != before {
		t.Error("the network was restarted for its rules")
	}
	l.sshWait("root", addr, "true", time.Minute)
}

// firstLine is the first line that begins with the word.
func firstLine(text, word string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, word) {
			return line
		}
	}
	return ""
}

// gateway is the first address of a guest's /24.
func gateway(addr string) string { return addr[:strings.LastIndex(addr, ".")] + ".1" }

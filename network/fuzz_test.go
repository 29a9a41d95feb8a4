package network

import (
	"strings"
	"testing"
)

// A line of the book is a port with an address, or none.
func FuzzBookLine(f *testing.F) {
	for _, s := range []string{"52:54:00:00:00:01,10.0.0.2,web1", "52:54:00:00:00:01,10.0.0.2", "#a,1.1.1.1", ",", "a,b,c", "a,::1%eth0,x", "\x00,1.1.1.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		p, ok := parseLine(line)
		if ok && (!p.Address.IsValid() || strings.HasPrefix(line, "#") || !strings.HasPrefix(line, p.MAC+",")) {
			t.Errorf("%q is read as %+v", line, p)
		}
	})
}

// No list of rules makes the reader stumble, and without a verdict there is no
// fence.
func FuzzFirewallRules(f *testing.F) {
	f.Add("-N LIBVIRT_FWI\n-A FORWARD -j LIBVIRT_FWI\n-A LIBVIRT_FWI -o ldg1 -j REJECT --reject-with icmp-port-unreachable\n")
	f.Add("-A POSTROUTING -s 10.0.0.0/24 -j MASQUERADE\n-A -j\n-A x y z\n")
	f.Add("table ip libvirt_network {\n chain guest_nat {\n  ip saddr 10.0.0.0/24 masquerade\n  oif \"ldg1\" counter packets 0 bytes 0 reject\n }\n}\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, add := range []func(*firewall, string){(*firewall).addIPTables, (*firewall).addNFTables} {
			fw := &firewall{in: map[string]bool{}, out: map[string]bool{}, nat: map[string]bool{}}
			add(fw, text)
			if len(fw.in)+len(fw.out) > 0 && !strings.Contains(text, "REJECT") && !strings.Contains(text, "DROP") && !strings.Contains(text, "reject") {
				t.Errorf("%q is read as %+v", text, fw)
			}
		}
	})
}

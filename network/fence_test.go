package network

import (
	"net/netip"
	"testing"
	"time"
)

const listedFilter = `-P INPUT ACCEPT
-P FORWARD DROP
-N LIBVIRT_FWI
-N LIBVIRT_FWO
-N LIBVIRT_FWX
-A FORWARD -j LIBVIRT_FWX
-A FORWARD -j LIBVIRT_FWI
-A FORWARD -j LIBVIRT_FWO
-A LIBVIRT_FWI -d 10.77.1.0/24 -o ldg1 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A LIBVIRT_FWI -o ldg1 -j REJECT --reject-with icmp-port-unreachable
-A LIBVIRT_FWO -s 10.77.1.0/24 -i ldg1 -j ACCEPT
-A LIBVIRT_FWO -i ldg1 -j REJECT --reject-with icmp-port-unreachable
-A LIBVIRT_FWX -i ldg1 -o ldg1 -j ACCEPT
`

const listedNAT = `-P POSTROUTING ACCEPT
-N LIBVIRT_PRT
-A POSTROUTING -j LIBVIRT_PRT
-A LIBVIRT_PRT -s 10.77.1.0/24 -d 224.0.0.0/24 -j RETURN
-A LIBVIRT_PRT -s 10.77.1.0/24 ! -d 10.77.1.0/24 -p tcp -j MASQUERADE --to-ports 1024-65535
-A LIBVIRT_PRT -s 10.77.1.0/24 ! -d 10.77.1.0/24 -j MASQUERADE
`

const listedTable = `table ip libvirt_network {
	chain forward {
		type filter hook forward priority filter; policy accept;
		counter packets 0 bytes 0 jump guest_cross
		counter packets 0 bytes 0 jump guest_input
		counter packets 0 bytes 0 jump guest_output
	}

	chain guest_output {
		ip saddr 10.77.1.0/24 iif "ldg1" counter packets 0 bytes 0 accept
		iif "ldg1" counter packets 0 bytes 0 reject
	}

	chain guest_input {
		oif "ldg1" ip daddr 10.77.1.0/24 ct state established,related counter packets 0 bytes 0 accept
		oif "ldg1" counter packets 0 bytes 0 reject
	}

	chain guest_cross {
		iif "ldg1" oif "ldg1" counter packets 0 bytes 0 accept
	}

	chain guest_nat {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 10.77.1.0/24 ip daddr 224.0.0.0/24 counter packets 0 bytes 0 return
		ip saddr 10.77.1.0/24 ip daddr != 10.77.1.0/24 counter packets 0 bytes 0 masquerade
	}
}
`

func TestAFenceIsWholeWhenEveryRuleOfItIsReached(t *testing.T) {
	nat := fence{"ldg1", netip.MustParsePrefix("10.77.1.0/24")}
	const (
		noChains = "-P FORWARD ACCEPT\n"
		flushed  = "-P FORWARD ACCEPT\n-N LIBVIRT_FWI\n-N LIBVIRT_FWO\n"
		apart    = "-N LIBVIRT_FWI\n-N LIBVIRT_FWO\n-A LIBVIRT_FWI -o ldg1 -j REJECT\n-A LIBVIRT_FWO -i ldg1 -j REJECT\n"
		old      = "-A FORWARD -o ldg1 -j REJECT\n-A FORWARD -i ldg1 -j REJECT\n"
		mail     = "-A FORWARD -o ldg1 -p tcp -m tcp --dport 25 -j REJECT\n-A FORWARD -i ldg1 -s 10.77.1.9/32 -j DROP\n"
	)
	for _, c := range []struct {
		name                string
		filter, nat, table  string
		want                fence
		whole, libvirtsOwns bool
	}{
		{"iptables", listedFilter, listedNAT, "", nat, true, true},
		{"nftables", noChains, "", listedTable, nat, true, true},
		{"nftables after iptables, whose chains stayed", flushed, "", listedTable, nat, true, true},
		{"without NAT", listedFilter, "", "", fence{bridge: "ldg1"}, true, true},
		{"before libvirt had chains", old, listedNAT, "", nat, true, false},
		{"NAT flushed", listedFilter, "-P POSTROUTING ACCEPT\n-N LIBVIRT_PRT\n", "", nat, false, true},
		{"flushed", flushed, "", "", nat, false, true},
		{"flushed and chains removed", noChains, "", "", nat, false, false},
		{"chains that nothing leads to", apart, listedNAT, "", nat, false, true},
		{"an operator's rules with conditions", mail, listedNAT, "", nat, false, false},
		{"another network's", listedFilter, listedNAT, listedTable, fence{bridge: "ldg2"}, false, true},
		{"nftables flushed", noChains, "", "table ip libvirt_network {\n\tchain guest_input {\n\t}\n}\n", nat, false, true},
	} {
		fw := &firewall{in: map[string]bool{}, out: map[string]bool{}, nat: map[string]bool{}}
		fw.addIPTables(c.filter)
		fw.addIPTables(c.nat)
		if c.table != "" {
			fw.addNFTables(c.table)
		}
		if fw.has(c.want) != c.whole || fw.chains != c.libvirtsOwns {
			t.Errorf("%s: whole %v, chains %v: %+v", c.name, fw.has(c.want), fw.chains, fw)
		}
	}
}

func TestMissingRulesNeedAProofAndAreNotWrittenWithoutEnd(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, c := range []struct {
		name         string
		was          memo
		whole, proof bool
		worn         bool
	}{
		{"never seen and no proof", memo{}, false, false, false},
		{"never seen, and others are there", memo{}, false, true, true},
		{"seen", memo{seen: true}, false, false, true},
		{"whole", memo{seen: true, missing: true}, true, true, false},
		{"written a moment ago", memo{seen: true, notUntil: now.Add(1)}, false, true, false},
		{"written a while ago", memo{seen: true, notUntil: now}, false, true, true},
		{"written without effect", memo{seen: true, hopeless: true}, false, true, false},
	} {
		if got := c.was.judge(c.whole, c.proof); got.worn(now) != c.worn {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	// Where they are found after all, the next loss counts again.
	if m := (memo{hopeless: true}).judge(true, true).judge(false, false); !m.worn(now) {
		t.Errorf("%+v", m)
	}
}

package network_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"lodge/cloud"
	"lodge/network"
)

const everyChain = "-F; -X; -t nat -F; -t nat -X; -t mangle -F; -t mangle -X"

func flush(t *testing.T, commands string) {
	t.Helper()
	for _, c := range strings.Split(commands, ";") {
		run(t, "iptables", strings.Fields(c)...)
	}
}

// neighbours are two tenants' networks and a guest in each. The function says
// whether the one guest reaches the other.
func neighbours(t *testing.T, h *network.Host, a, b cloud.NetworkSpec) (reaches func() bool) {
	t.Helper()
	ensure(t, h, a)
	ensure(t, h, b)
	from, to := newClient(t, cloud.BridgeName(a.ID), port(1, 10, "").MAC), newClient(t, cloud.BridgeName(b.ID), port(2, 10, "").MAC)
	from.settle(port(1, 10, ""), a)
	to.settle(port(2, 10, ""), b)
	service := port(2, 10, "").Address.String() + ":8080"
	to.listen(service)
	return func() bool { return from.dial(service) == nil }
}

func wantWorn(t *testing.T, h *network.Host, want bool, ids ...string) {
	t.Helper()
	all := sweep(t, h)
	for _, id := range ids {
		if all[id].Worn != want {
			t.Fatalf("a look says %+v, want worn %v", all[id], want)
		}
	}
}

func TestFirewallRulesThatWereTakenAwayAreWrittenAgain(t *testing.T) {
	needWorld(t)
	for _, c := range []struct {
		name, commands string
		again          bool // lodged is restarted before its next look
	}{
		{"flushed", "-F; -t nat -F", false},
		{"flushed, lodged restarted", "-F; -t nat -F", true},
		{"flushed with the chains", everyChain, false},
		{"the way to the chains", "-F FORWARD", false},
		{"the way to the chains, lodged restarted", "-F FORWARD", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, a, b := open(t, ""), spec(1), spec(2)
			reaches := neighbours(t, h, a, b)
			bridges := bridgeIndexes(t, a.ID, b.ID)
			if reaches() {
				t.Fatal("before, one tenant reaches the other")
			}
			wantWorn(t, h, false, a.ID, b.ID)
			flush(t, c.commands)
			if !reaches() {
				t.Fatal("the test needs the way to be open now")
			}
			if c.again {
				h = open(t, "")
			}
			wantWorn(t, h, true, a.ID, b.ID)
			must(t, h.EnsureNetwork(context.Background(), a))
			must(t, h.EnsureNetwork(context.Background(), b))
			if reaches() {
				t.Error("after, one tenant reaches the other")
			}
			wantNothingToDo(t, h, a)
			wantNothingToDo(t, h, b)
			wantNAT(t, a, b)
			if now := bridgeIndexes(t, a.ID, b.ID); now != bridges {
				t.Error("a network was restarted for its rules")
			}
		})
	}
}

func wantNAT(t *testing.T, specs ...cloud.NetworkSpec) {
	t.Helper()
	rules := run(t, "iptables", "-t", "nat", "-S")
	for _, s := range specs {
		if !strings.Contains(rules, "-s "+s.CIDR.String()) || !strings.Contains(rules, "-A POSTROUTING -j LIBVIRT_PRT") {
			t.Errorf("no NAT for %s:\n%s", s.CIDR, rules)
		}
	}
}

func TestLostNATIsWrittenAgain(t *testing.T) {
	needWorld(t)
	h, s := open(t, ""), spec(1)
	ensure(t, h, s)
	flush(t, "-t nat -F; -t nat -X")
	wantMended(t, h, s)
	wantNAT(t, s)
}

// After the chains went, no network can be started; the first that is brings
// the others back, even when lodged has forgotten that they had rules.
func TestANetworkStartsWithoutLibvirtsChainsAndTheOthersFollow(t *testing.T) {
	needWorld(t)
	h, a, b := open(t, ""), spec(1), spec(2)
	reaches := neighbours(t, h, a, b)
	flush(t, everyChain)
	h = open(t, "")
	ensure(t, h, spec(3))
	wantWorn(t, h, false, id(3))
	wantWorn(t, h, true, a.ID, b.ID)
	must(t, h.EnsureNetwork(context.Background(), a))
	must(t, h.EnsureNetwork(context.Background(), b))
	wantWorn(t, h, false, a.ID, b.ID)
	if reaches() {
		t.Error("one tenant reaches the other")
	}
}

// libvirt writes the rules of a network without DHCP at its start only.
func TestANetworkWithoutDHCPIsRestartedForItsRulesOnceAMinute(t *testing.T) {
	needWorld(t)
	h, s := open(t, ""), spec(1)
	s.DHCP = false
	ensure(t, h, s)
	nic := guest(t, 1)
	before := bridgeIndexes(t, s.ID)
	flush(t, "-F; -t nat -F")
	wantMended(t, h, s)
	wantNAT(t, s)
	wantMaster(t, nic, cloud.BridgeName(s.ID))
	after := bridgeIndexes(t, s.ID)
	if after == before {
		t.Fatal("it was not restarted")
	}
	flush(t, "-F; -t nat -F")
	wantNothingToDo(t, h, s)
	if bridgeIndexes(t, s.ID) != after {
		t.Error("it was restarted twice in a moment")
	}
}

// A firewall whose rules are somewhere else must not have networks mended for ever.
func TestRulesThatLodgeCannotFindAreLeftToLibvirt(t *testing.T) {
	needWorld(t)
	for _, listed := range []string{"-P FORWARD ACCEPT", "-N LIBVIRT_FWI"} {
		t.Run(listed, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.WriteFile(dir+"/iptables", []byte("#!/bin/sh\necho '"+listed+"'\n"), 0o755))
			must(t, os.WriteFile(dir+"/nft", []byte("#!/bin/sh\necho 'No such file or directory' >&2\nexit 1\n"), 0o755))
			t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
			h, s := open(t, ""), spec(1)
			ensure(t, h, s)
			before := bridgeIndexes(t, s.ID)
			for range 2 { // the first may try
				sweep(t, h)
				must(t, h.EnsureNetwork(context.Background(), s))
			}
			wantWorn(t, h, false, s.ID)
			if bridgeIndexes(t, s.ID) != before {
				t.Error("it was restarted")
			}
		})
	}
}

package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"libvirt.org/go/libvirtxml"
)

// fence is what the firewall owes a network: nobody from outside reaches its
// guests, they reach nobody else's, and with NAT they have a way out.
type fence struct {
	bridge string
	nat    netip.Prefix // not valid: none
}

func fenceOf(x *libvirtxml.Network) fence {
	f := fence{bridge: x.Bridge.Name}
	if x.Forward != nil && x.Forward.Mode == "nat" {
		f.nat = gatewayOf(x).Masked()
	}
	return f
}

// firewall is the part of the host's rules that fences networks, whoever wrote
// them. Rules in a chain that no packet comes to are not in it.
type firewall struct {
	chains bool // libvirt's own are there, in iptables or nftables, with rules or without

	in, out, nat map[string]bool // bridges that refuse, and ranges that are translated
}

func (fw *firewall) has(f fence) bool {
	return fw.in[f.bridge] && fw.out[f.bridge] && (!f.nat.IsValid() || fw.nat[f.nat.String()])
}

const toolPatience = 5 * time.Second // another may hold iptables' lock for a while

// readFirewall lists the rules as libvirt makes them: with iptables, and with
// nftables in newer versions; the second is asked when the first has not all.
// It returns an error when neither answers.
func readFirewall(ctx context.Context, fences []fence) (*firewall, error) {
	fw := &firewall{in: map[string]bool{}, out: map[string]bool{}, nat: map[string]bool{}}
	filter, err := tool(ctx, "iptables", "-w", "-S")
	if err == nil {
		fw.addIPTables(filter)
		var nat string
		if nat, err = tool(ctx, "iptables", "-w", "-t", "nat", "-S"); err == nil {
			fw.addIPTables(nat)
		}
	}
	all := err == nil
	for _, f := range fences {
		all = all && fw.has(f)
	}
	if all {
		return fw, nil
	}
	table, nftErr := tool(ctx, "nft", "list", "table", "ip", "libvirt_network")
	if nftErr == nil {
		fw.addNFTables(table)
		return fw, nil
	}
	if strings.Contains(nftErr.Error(), "No such file") { // no such table
		nftErr = nil
	}
	if err != nil && nftErr != nil {
		return nil, errors.Join(err, nftErr)
	}
	return fw, nil
}

// tool runs one of the firewall's programs; what it says as its error is in the error.
func tool(ctx context.Context, name string, args ...string) (string, error) {
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin", "/sbin"} { // not on every PATH
		if err != nil {
			path, err = exec.LookPath(filepath.Join(dir, name))
		}
	}
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, toolPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(said.String()))
	}
	return out.String(), nil
}

// addIPTables reads what `iptables -S` says of one table. Only a rule without
// further conditions is a fence.
func (fw *firewall) addIPTables(text string) {
	used := map[string]bool{"FORWARD": true, "POSTROUTING": true}
	var rules [][]string
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 2 && words[0] == "-N" && words[1] == "LIBVIRT_FWI" {
			fw.chains = true
		}
		if len(words) < 4 || words[0] != "-A" {
			continue
		}
		rules = append(rules, words[1:])
		used[after(words, "-j")] = true
	}
	for _, r := range rules {
		if !used[r[0]] {
			continue
		}
		verdict := after(r, "-j")
		refuses := verdict == "REJECT" || verdict == "DROP"
		switch plain := len(r) == 5 || len(r) == 7 && r[5] == "--reject-with"; {
		case refuses && plain && r[1] == "-o":
			fw.in[r[2]] = true
		case refuses && plain && r[1] == "-i":
			fw.out[r[2]] = true
		case r[1] == "-s" && (verdict == "MASQUERADE" || verdict == "SNAT") && after(r, "-p") == "":
			fw.nat[r[2]] = true
		}
	}
}

// addNFTables reads libvirt's own table as nft lists it.
func (fw *firewall) addNFTables(text string) {
	fw.chains = true
	used := map[string]bool{"guest_nat": true}
	for line := range strings.Lines(text) {
		used[after(strings.Fields(line), "jump")] = true
	}
	chain := ""
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 3 {
			continue
		}
		if words[0] == "chain" {
			chain = words[1]
			continue
		}
		if !used[chain] {
			continue
		}
		refuses := words[2] == "counter" && strings.Contains(line, " reject")
		switch {
		case refuses && (words[0] == "oif" || words[0] == "oifname"):
			fw.in[strings.Trim(words[1], `"`)] = true
		case refuses && (words[0] == "iif" || words[0] == "iifname"):
			fw.out[strings.Trim(words[1], `"`)] = true
		case words[0] == "ip" && words[1] == "saddr" && strings.Contains(line, " masquerade"):
			fw.nat[words[2]] = true
		}
	}
}

// after is the word that follows another; "" when there is none.
func after(words []string, word string) string {
	for i, w := range words[:max(len(words)-1, 0)] {
		if w == word {
			return words[i+1]
		}
	}
	return ""
}

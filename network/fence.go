package network

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"libvirt.org/go/libvirt"

	"lodge/virt"
)

// libvirt writes a network's rules at its start and does not look after them: a
// script that loads a firewall anew takes them away, and then tenants reach each
// other. So lodge looks, and has libvirt write them again.

const (
	rebuildPause = 10 * time.Second // between two times that a network's rules are written again
	restartPause = time.Minute      // where only a restart of the network does it
)

// memo is what the process remembers of a network's fence. Losing it costs the
// proof that rules which are missing have ever been there, nothing else.
type memo struct {
	seen     bool      // it was whole once
	missing  bool      // at the last look
	hopeless bool      // libvirt wrote it again, and it is not where lodge looks
	notUntil time.Time // it may be written again
}

// judge decides what a look says of a fence. Rules that are not there are
// missing only when there is a proof that they should be found in this way.
func (m memo) judge(whole, proof bool) memo {
	if whole {
		return memo{seen: true, notUntil: m.notUntil}
	}
	m.missing = m.seen || proof
	return m
}

func (m memo) worn(now time.Time) bool {
	return m.missing && !m.hopeless && !now.Before(m.notUntil)
}

// fences are the memos by network.
type fences struct {
	mu    sync.Mutex
	memos map[string]memo

	chains sync.Mutex // held while libvirt's chains are made
}

func (f *fences) get(id string) memo {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.memos[id]
}

func (f *fences) put(id string, m memo) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.memos == nil {
		f.memos = make(map[string]memo)
	}
	f.memos[id] = m
}

// look takes the fences of all networks of lodge, and forgets others.
func (f *fences) look(all map[string]fence, fw *firewall) {
	proof := fw.chains
	for _, fence := range all {
		proof = proof || fw.has(fence)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	memos := make(map[string]memo, len(all))
	for id, fence := range all {
		memos[id] = f.memos[id].judge(fw.has(fence), proof)
	}
	f.memos = memos
}

// lookFences looks at the rules once for all networks. A firewall that cannot be
// listed changes nothing of what is known.
func (h *Host) lookFences(ctx context.Context, all map[string]fence) {
	if len(all) == 0 {
		return
	}
	list := make([]fence, 0, len(all))
	for _, f := range all {
		list = append(list, f)
	}
	if fw, err := readFirewall(ctx, list); err == nil {
		h.fences.look(all, fw)
	}
}

// mendFence has the rules of an active network written again when they are not
// there; rebuild does it, and is nil right after a start. Returns CodeNetwork
// when libvirt cannot.
func (h *Host) mendFence(ctx context.Context, f found, pause time.Duration, rebuild func() error) error {
	id, want := f.xml.UUID, fenceOf(&f.xml)
	fw, err := readFirewall(ctx, []fence{want})
	if err != nil {
		return nil // unknown is not missing
	}
	whole := func() bool {
		if again, err := readFirewall(ctx, []fence{want}); err == nil {
			fw = again
		}
		return fw.has(want)
	}
	now := time.Now()
	m := h.fences.get(id).judge(fw.has(want), fw.chains)
	defer func() { h.fences.put(id, m) }()
	if !m.worn(now) {
		return nil
	}
	if err := h.fences.makeChains(ctx, false); err != nil {
		return err
	}
	if whole() || rebuild == nil {
		m = m.judge(fw.has(want), fw.chains)
		return nil
	}
	err = rebuild()
	if lostChains(err) {
		if err := h.fences.makeChains(ctx, true); err != nil {
			return err
		}
		err = rebuild()
	}
	if err != nil {
		return fmt.Errorf("write the firewall's rules again: %w", err)
	}
	m.hopeless = !whole()
	m = m.judge(!m.hopeless, fw.chains)
	m.notUntil = time.Now().Add(pause)
	return nil
}

// rewrite makes libvirt write the rules of a network with DHCP again, as it does
// with each change of a fixed lease; so it gets one, of nothing. Connections that
// are there live on.
func rewrite(f found) error {
	text, err := reserved(f.xml.IPs[0].Address).Marshal()
	if err != nil {
		return err
	}
	return f.net.Update(libvirt.NETWORK_UPDATE_COMMAND_MODIFY, libvirt.NETWORK_SECTION_IP_DHCP_HOST, -1, text, libvirt.NETWORK_UPDATE_AFFECT_LIVE)
}

// lostChains reports whether libvirt failed for want of its iptables chains.
func lostChains(err error) bool {
	return err != nil && virt.Says(err, "iptables") && virt.Says(err, "LIBVIRT_")
}

// chain is one that libvirt keeps in a table and leads packets to from another.
type chain struct{ table, name, from string }

// In libvirt's order, which puts each before those that are there.
var libvirtChains = []chain{
	{"filter", "LIBVIRT_INP", "INPUT"},
	{"filter", "LIBVIRT_OUT", "OUTPUT"},
	{"filter", "LIBVIRT_FWO", "FORWARD"},
	{"filter", "LIBVIRT_FWI", "FORWARD"},
	{"filter", "LIBVIRT_FWX", "FORWARD"},
	{"nat", "LIBVIRT_PRT", "POSTROUTING"},
	{"mangle", "LIBVIRT_PRT", "POSTROUTING"},
}

// makeChains leads packets to libvirt's chains again, which libvirt itself does
// once in its life only. With all it makes those that are gone, too.
func (f *fences) makeChains(ctx context.Context, all bool) error {
	f.chains.Lock()
	defer f.chains.Unlock()
	tables := make(map[string][]string)
	for _, c := range libvirtChains {
		lines, ok := tables[c.table]
		if !ok {
			text, err := tool(ctx, "iptables", "-w", "-t", c.table, "-S")
			if err != nil && !all {
				return nil // libvirt writes no rules with it
			}
			if err != nil {
				return err
			}
			lines = strings.Split(text, "\n")
			tables[c.table] = lines
		}
		there := slices.Contains(lines, "-N "+c.name)
		if !there && !all {
			continue
		}
		if !there {
			if _, err := tool(ctx, "iptables", "-w", "-t", c.table, "-N", c.name); err != nil {
				return err
			}
		}
		// An operator may lead there from a chain of his own.
		if slices.ContainsFunc(lines, func(l string) bool { return after(strings.Fields(l), "-j") == c.name }) {
			continue
		}
		if _, err := tool(ctx, "iptables", "-w", "-t", c.table, "-I", c.from, "-j", c.name); err != nil {
			return err
		}
	}
	return nil
}

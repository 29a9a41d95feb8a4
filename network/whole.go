package network

import (
	"sync"
	"time"

	"lodge/cloud"
)

// wholeFor is how long a network counts as whole without a look: a hundred
// instances that are made at once look at theirs several times each, with four
// calls to libvirt every time. What goes wrong meanwhile a start trips over, or
// the next look finds.
const wholeFor = time.Second

// whole are the networks that were up and complete at their last look. Ports are
// not kept: the book of them is this process's own, and costs no call.
type whole struct {
	mu   sync.Mutex
	nets map[string]wholeNet
}

type wholeNet struct {
	at  time.Time
	net cloud.HostNetwork
}

// saw keeps what a look found whole, and forgets the rest of it.
func (w *whole) saw(nets map[string]cloud.HostNetwork, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.nets == nil {
		w.nets = make(map[string]wholeNet)
	}
	for id, n := range nets {
		if !n.Active || n.Worn {
			delete(w.nets, id)
			continue
		}
		n.Ports = nil
		w.nets[id] = wholeNet{now, n}
	}
}

func (w *whole) get(id string, now time.Time) (cloud.HostNetwork, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, ok := w.nets[id]
	if ok && now.Sub(n.at) > wholeFor {
		delete(w.nets, id)
		ok = false
	}
	return n.net, ok
}

// forget is for networks that are being changed.
func (w *whole) forget(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.nets, id)
}

// known reports which networks were whole a moment ago, with their ports as they
// are now, and which have to be looked at.
func (h *Host) known(ids []string, now time.Time) (nets map[string]cloud.HostNetwork, unknown []string, err error) {
	nets = make(map[string]cloud.HostNetwork, len(ids))
	for _, id := range ids {
		n, ok := h.whole.get(id, now)
		if !ok {
			unknown = append(unknown, id)
			continue
		}
		if n.Ports, err = h.book.read(id); err != nil {
			return nil, nil, err
		}
		n.Worn = h.fences.get(id).worn(now)
		nets[id] = n
	}
	return nets, unknown, nil
}

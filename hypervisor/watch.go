package hypervisor

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"libvirt.org/go/libvirt"

	"lodge/cloud"
)

// watcher collects what WatchGuests has to tell, each guest once however often
// it moved, so that a slow listener costs no memory.
type watcher struct {
	bell chan struct{} // holds at most one ring

	mu    sync.Mutex
	moved map[string]struct{}
	links []bool
}

func (w *watcher) ring() {
	select {
	case w.bell <- struct{}{}:
	default:
	}
}

func (w *watcher) take() (links []bool, moved []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	links, moved = w.links, slices.Collect(maps.Keys(w.moved))
	w.links = nil
	clear(w.moved)
	return links, moved
}

// WatchGuests calls moved with the id of each guest whose life changed, and
// link(false) when the link to libvirt breaks (or is down at the start),
// link(true) when it is back. It returns when ctx ends. The calls come one after
// the other; while the link is down changes go untold.
func (h *Host) WatchGuests(ctx context.Context, moved func(id string), link func(up bool)) error {
	w := &watcher{bell: make(chan struct{}, 1), moved: map[string]struct{}{}}
	h.mu.Lock()
	if !h.up {
		w.links = []bool{false}
		w.ring()
	}
	h.watchers[w] = struct{}{}
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watchers, w)
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.bell:
		}
		links, ids := w.take()
		for _, up := range links {
			link(up)
		}
		for _, id := range ids {
			moved(id)
		}
	}
}

// tellLink tells of a connection that was greeted, or lost.
func (h *Host) tellLink(up bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.up = up
	for w := range h.watchers {
		w.mu.Lock()
		w.links = append(w.links, up)
		if len(w.links) > 2 { // only the last word and the one before it say something
			w.links = w.links[len(w.links)-2:]
		}
		w.mu.Unlock()
		w.ring()
	}
}

// tellMoved is told by libvirt's event loop and must not call libvirt.
func (h *Host) tellMoved(d *libvirt.Domain, what *libvirt.DomainEventLifecycle) {
	name, err := d.GetName() // kept in the handle
	if err != nil {
		return
	}
	id, ours := strings.CutPrefix(name, cloud.GuestName(""))
	if !ours {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if what != nil {
		h.strikes(id, *what)
	}
	for w := range h.watchers {
		w.mu.Lock()
		w.moved[id] = struct{}{}
		w.mu.Unlock()
		w.ring()
	}
}

// strikes remembers, with h.mu held, of which guest QEMU was ended by a signal: its
// reason to be off is that of a guest which has shut itself down, and only the
// event tells them apart. What libvirt itself ends has another reason.
// https://libvirt.org/html/libvirt-libvirt-domain.html#virDomainEventShutdownDetailType
func (h *Host) strikes(id string, what libvirt.DomainEventLifecycle) {
	switch what.Event {
	case libvirt.DOMAIN_EVENT_SHUTDOWN:
		if what.Detail == int(libvirt.DOMAIN_EVENT_SHUTDOWN_HOST) {
			h.struck[id] = struct{}{}
		}
	case libvirt.DOMAIN_EVENT_STARTED, libvirt.DOMAIN_EVENT_UNDEFINED:
		delete(h.struck, id)
	}
}

// outside says of a guest that was ended by a signal that it was no wish of its own.
func (h *Host) outside(guests map[string]cloud.Guest) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id := range h.struck {
		if g, there := guests[id]; there && g.OffReason == cloud.OffShutdown {
			g.OffReason = cloud.OffDestroyed
			guests[id] = g
		}
	}
}

// subscribe asks a new connection for lifecycle and reboot events. An event is
// filtered by name, for asking for its mark would be a call. deaf has to be called when the
// connection is lost, for each registration holds a reference to it. libvirt
// drops that one under a lock that freeing the connection takes too, so the last
// reference must be another: one is kept here.
// https://libvirt.org/html/libvirt-libvirt-domain.html#virConnectDomainEventRegisterAny
func (h *Host) subscribe(c *libvirt.Connect) (deaf func(), err error) {
	if err := c.Ref(); err != nil {
		return nil, err
	}
	life, err := c.DomainEventLifecycleRegister(nil, func(_ *libvirt.Connect, d *libvirt.Domain, what *libvirt.DomainEventLifecycle) {
		h.tellMoved(d, what)
	})
	if err != nil {
		_, _ = c.Close()
		return nil, err
	}
	reboot, err := c.DomainEventRebootRegister(nil, func(_ *libvirt.Connect, d *libvirt.Domain) { h.tellMoved(d, nil) })
	if err != nil {
		_ = c.DomainEventDeregister(life)
		_, _ = c.Close()
		return nil, err
	}
	return func() {
		_ = c.DomainEventDeregister(life)
		_ = c.DomainEventDeregister(reboot)
		_, _ = c.Close()
	}, nil
}

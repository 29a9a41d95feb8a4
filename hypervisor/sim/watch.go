package sim

import (
	"context"
	"sync"
)

// watcher collects what WatchGuests has to tell, each guest once.
type watcher struct {
	bell chan struct{}

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

func (w *watcher) tellLink(up bool) {
	w.mu.Lock()
	w.links = append(w.links, up)
	if len(w.links) > 2 {
		w.links = w.links[len(w.links)-2:]
	}
	w.mu.Unlock()
	w.ring()
}

func (w *watcher) tellMoved(id string) {
	w.mu.Lock()
	w.moved[id] = struct{}{}
	w.mu.Unlock()
	w.ring()
}

func (w *watcher) take() (links []bool, moved []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	links = w.links
	w.links = nil
	for id := range w.moved {
		moved = append(moved, id)
	}
	clear(w.moved)
	return links, moved
}

// WatchGuests calls moved with the id of each guest whose life changed and link
// when the link breaks (also when it is down at the start) or is back. It
// returns when ctx ends.
func (h *Host) WatchGuests(ctx context.Context, moved func(id string), link func(up bool)) error {
	w := &watcher{bell: make(chan struct{}, 1), moved: map[string]struct{}{}}
	h.mu.Lock()
	if h.down {
		w.tellLink(false)
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

// tellMoved tells the watchers of a change, unless the link is down. Called
// with the lock held.
func (h *Host) tellMoved(id string) {
	if h.down || h.deaf {
		return
	}
	for w := range h.watchers {
		w.tellMoved(id)
	}
}

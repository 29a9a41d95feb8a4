package store

import (
	"context"
	"sync"
)

// eventBell tells those who follow the events that there are more. A channel is
// closed once and not used again, so that any number of them hear the same
// ring, and one who is slow costs nothing.
type eventBell struct {
	mu sync.Mutex
	of map[string]chan struct{} // by tenant; everyTenant hears all
}

const everyTenant = ""

func newEventBell() *eventBell { return &eventBell{of: map[string]chan struct{}{}} }

func (b *eventBell) next(tenantID string) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, ok := b.of[tenantID]
	if !ok {
		c = make(chan struct{})
		b.of[tenantID] = c
	}
	return c
}

// ring is for the tenants that events were written for; what is of no tenant is
// for those who see all.
func (b *eventBell) ring(tenants map[string]bool) {
	if len(tenants) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.close(everyTenant)
	for id := range tenants {
		b.close(id)
	}
}

func (b *eventBell) close(tenantID string) {
	if c, ok := b.of[tenantID]; ok {
		delete(b.of, tenantID)
		close(c)
	}
}

// NextEvents closes after the next commit that wrote events of the tenant, ""
// of any. Whoever takes it before it reads misses nothing. It carries nothing:
// what happened is read with Events from the last sequence number on, which
// grow in the order of the commits, for there is one writer.
func (d *DB) NextEvents(tenantID string) <-chan struct{} { return d.events.next(tenantID) }

// LastEvent is the greatest sequence number of all events, 0 when there is none.
func (d *DB) LastEvent(ctx context.Context) (seq int64, err error) {
	err = d.read(ctx).row(`SELECT COALESCE(MAX(seq), 0) FROM event`).Scan(&seq)
	return seq, fail("read last event", err)
}

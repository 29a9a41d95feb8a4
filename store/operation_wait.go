package store

import (
	"context"
	"sync"
	"time"

	"lodge/cloud"
)

// How many may wait for operations at once: in all, and for one tenant, so that
// no tenant keeps the others from it. Operators count as one.
const (
	maxWaiters       = 1024
	maxTenantWaiters = 256
)

// operationBell wakes those who wait for an operation to end. It knows of ends
// that this process has committed; what another one ends is seen when the wait
// is over.
type operationBell struct {
	mu      sync.Mutex
	waits   map[string]*operationWait // by operation
	waiters int
	of      map[string]int // waiters by tenant
}

type operationWait struct {
	ended   chan struct{} // closed at the end
	waiters int
}

func newOperationBell() *operationBell {
	return &operationBell{waits: make(map[string]*operationWait), of: make(map[string]int)}
}

// join gives a channel that closes when the operation ends, and what to call
// when it is not listened to any more. Returns CodeRateLimited when too many wait.
func (b *operationBell) join(tenantID, id string) (ended <-chan struct{}, leave func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiters >= maxWaiters || b.of[tenantID] >= maxTenantWaiters {
		e := cloud.Errorf(cloud.CodeRateLimited, "Too many requests wait for operations already; ask without wait, or wait for fewer at a time.")
		e.RetryAfter = time.Second
		return nil, nil, e
	}
	w := b.waits[id]
	if w == nil {
		w = &operationWait{ended: make(chan struct{})}
		b.waits[id] = w
	}
	w.waiters++
	b.waiters++
	b.of[tenantID]++
	return w.ended, func() { b.leave(tenantID, id, w) }, nil
}

func (b *operationBell) leave(tenantID, id string, w *operationWait) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w.waiters--
	b.waiters--
	if b.of[tenantID]--; b.of[tenantID] == 0 {
		delete(b.of, tenantID)
	}
	if w.waiters == 0 && b.waits[id] == w {
		delete(b.waits, id)
	}
}

// ring wakes whoever waits for one of the operations.
func (b *operationBell) ring(ids []string) {
	if len(ids) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range ids {
		if w := b.waits[id]; w != nil {
			close(w.ended)
			delete(b.waits, id)
		}
	}
}

// WaitOperation returns the operation as soon as it has ended, and as it is then
// when ctx ends first, which is no error.
//
// Returns CodeNotFound when there is none that the caller may see, and
// CodeRateLimited when too many wait.
func (d *DB) WaitOperation(ctx context.Context, c cloud.Caller, id string) (cloud.Operation, error) {
	o, err := d.Operation(ctx, c, id)
	if err != nil || o.State != cloud.OperationRunning {
		return o, err
	}
	ended, leave, err := d.operations.join(c.TenantID, id)
	if err != nil {
		return o, err
	}
	defer leave()
	// What ended before the bell was listened to rings no more.
	if o, err = d.Operation(ctx, c, id); err != nil || o.State != cloud.OperationRunning {
		return o, err
	}
	select {
	case <-ended:
	case <-ctx.Done():
	}
	return d.Operation(ctx, c, id)
}

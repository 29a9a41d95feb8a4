package hypervisor

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"libvirt.org/go/libvirt"

	"lodge/cloud"
	"lodge/virt"
)

const (
	patience  = 30 * time.Second // for a call whose context has no deadline
	mostLinks = 20               // as many as libvirtd has workers for
)

// pool lends connections to libvirt, each to one call at a time. Before 10.0
// libvirt's client may fail to wake the thread that reads for all calls of a
// connection, so that a call beside a long one waits for that or for the next
// keep-alive message; and libvirtd stops reading a connection that has
// max_client_requests (5) calls under way. A call that hangs for one guest must
// stop no other, so it has its connection to itself.
type pool struct {
	uri   string
	watch *virt.Link // carries the events; says whether libvirt is there
	turn  chan struct{}

	mu    sync.Mutex
	free  []*virt.Link
	ended bool
}

func newPool(uri string, watch *virt.Link) *pool {
	return &pool{uri: uri, watch: watch, turn: make(chan struct{}, mostLinks)}
}

// take lends a link that is up. The caller holds a turn.
func (p *pool) take() *virt.Link {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.free) > 0 {
		l := p.free[len(p.free)-1]
		p.free = p.free[:len(p.free)-1]
		if up, _ := l.Up(); up {
			return l
		}
		go func() { _ = l.Close() }() // a fresh one is there sooner than this one dials again
	}
	return nil
}

func (p *pool) give(l *virt.Link) {
	p.mu.Lock()
	ended := p.ended
	if !ended {
		p.free = append(p.free, l)
	}
	p.mu.Unlock()
	if ended {
		_ = l.Close()
	}
	<-p.turn
}

func (p *pool) close() {
	p.mu.Lock()
	free := p.free
	p.free, p.ended = nil, true
	p.mu.Unlock()
	for _, l := range free {
		_ = l.Close()
	}
}

// call runs fn with a connection and gives back what it gives. Whatever went
// wrong comes back as a *cloud.Error: CodeHypervisor without a connection,
// CodeTimeout after the deadline of ctx or 30 s.
//
// libvirt's calls cannot be cancelled, so fn goes on behind a timeout; it has to
// look at its ctx before each further call that changes something, or it would
// act on a decision that is no longer anybody's.
func call[T any](ctx context.Context, p *pool, what string, fn func(ctx context.Context, c *libvirt.Connect) (T, error)) (T, error) {
	limit := patience
	if end, has := ctx.Deadline(); has {
		limit = time.Until(end)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	val, err := lend(ctx, p, limit, what, fn)
	var known *cloud.Error
	if err == nil || errors.As(err, &known) {
		return val, err
	}
	if ctx.Err() != nil {
		return val, cloud.Wrap(cloud.CodeTimeout, err, "The host's hypervisor did not answer in time.")
	}
	return val, cloud.Wrap(cloud.CodeHypervisor, err, "The host's hypervisor gave an answer that lodge does not understand.")
}

func lend[T any](ctx context.Context, p *pool, limit time.Duration, what string, fn func(ctx context.Context, c *libvirt.Connect) (T, error)) (T, error) {
	var none T
	if up, why := p.watch.Up(); !up {
		return none, cloud.Wrap(cloud.CodeHypervisor, why, "The host's hypervisor does not answer; lodge keeps trying.")
	}
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return none, ctx.Err()
	}
	link := p.take()
	if link == nil {
		link = virt.Open(virt.Options{URI: p.uri})
	}
	giveBack := sync.OnceFunc(func() { p.give(link) })
	var ran atomic.Bool
	val, err := virt.CallFor(ctx, link, limit, what, func(c *libvirt.Connect) (T, error) {
		ran.Store(true)
		defer giveBack() // however long it takes
		return fn(ctx, c)
	})
	if !ran.Load() {
		giveBack()
	}
	return val, err
}

// do is call for an act.
func (h *Host) do(ctx context.Context, what string, fn func(ctx context.Context, c *libvirt.Connect) error) error {
	_, err := call(ctx, h.pool, what, func(ctx context.Context, c *libvirt.Connect) (struct{}, error) {
		return struct{}{}, fn(ctx, c)
	})
	return err
}

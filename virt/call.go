package virt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"libvirt.org/go/libvirt"

	"lodge/cloud"
)

// Call runs f with a connection that nobody else uses meanwhile, and gives back
// what f gives.
//
// Errors of f come back as they are, so that the caller can sort them (Is,
// NotFound). A *cloud.Error with CodeHypervisor comes at once while libvirt is
// away, and when the connection breaks under f; one with CodeTimeout when f has
// not returned after the link's call timeout. f is left behind then, with its
// connection and its place among the calls: libvirt's calls cannot be
// interrupted. So f must keep its results to itself until it returns them, and
// must close nothing that others use.
func Call[T any](ctx context.Context, l *Link, what string, f func(*libvirt.Connect) (T, error)) (T, error) {
	return CallFor(ctx, l, l.o.CallTimeout, what, f)
}

// Do is Call for work that gives nothing back.
func Do(ctx context.Context, l *Link, what string, f func(*libvirt.Connect) error) error {
	_, err := Call(ctx, l, what, func(c *libvirt.Connect) (struct{}, error) { return struct{}{}, f(c) })
	return err
}

// CallFor is Call with a deadline of its own.
func CallFor[T any](ctx context.Context, l *Link, limit time.Duration, what string, f func(*libvirt.Connect) (T, error)) (v T, err error) {
	var none T
	ctx, end := l.o.Observe.Begin(ctx, cloud.WorkCall, kind(what), what)
	defer func() { end(err) }()
	if up, why := l.Up(); !up {
		return none, down(why)
	}
	p := patience{caller: ctx, limit: limit, what: what}
	defer p.begin()()
	select {
	case l.slots <- struct{}{}:
	case <-p.ctx.Done():
		return none, p.over(fmt.Errorf("%d calls are on their way and none returned", l.o.InFlight))
	}
	return await(p, func() (T, error) {
		defer func() { <-l.slots }()
		c, err := l.borrow()
		if err != nil {
			return none, err
		}
		defer l.giveBack(c)
		if p.ctx.Err() != nil { // nobody waits any more, so nothing is begun
			return none, p.over(nil)
		}
		v, err := f(c.conn)
		if err != nil && !alive(c.conn) {
			err = down(fmt.Errorf("%s: %w", what, err))
		}
		return v, err
	})
}

// patience is how long a call is waited for.
type patience struct {
	caller context.Context
	limit  time.Duration
	what   string
	ctx    context.Context // ends with the caller's, or after the limit
}

func (p *patience) begin() context.CancelFunc {
	var cancel context.CancelFunc
	p.ctx, cancel = context.WithTimeout(p.caller, p.limit)
	return cancel
}

// over is the error for whom it was too long.
func (p patience) over(why error) error {
	switch err := p.caller.Err(); {
	case errors.Is(err, context.DeadlineExceeded):
		return late(p.what, err)
	case err != nil:
		return fmt.Errorf("%s: %w", p.what, err)
	case why == nil:
		why = fmt.Errorf("no answer after %s", p.limit)
	}
	return late(p.what, why)
}

// await runs f, and leaves it behind when patience is over.
func await[T any](p patience, f func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	got := make(chan result, 1)
	go func() {
		v, err := f()
		got <- result{v, err}
	}()
	select {
	case r := <-got:
		return r.v, r.err
	case <-p.ctx.Done():
		var none T
		return none, p.over(nil)
	}
}

// alive asks the client side of the connection, which costs no round trip.
func alive(c *libvirt.Connect) bool {
	ok, err := c.IsAlive()
	return err == nil && ok
}

func late(what string, why error) error {
	return &cloud.Error{
		Code:    cloud.CodeTimeout,
		Message: "The host's libvirt did not finish in time; lodge looks again and goes on from there.",
		Cause:   fmt.Errorf("%s: %w", what, why),
	}
}

func down(why error) error {
	return &cloud.Error{
		Code:    cloud.CodeHypervisor,
		Message: "The host's libvirt does not answer; lodge goes on as soon as it does.",
		Cause:   why,
	}
}

package virt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"libvirt.org/go/libvirt"

	"lodge/cloud"
)

// Call runs f with the connection and gives back what f gives.
//
// Errors of f come back as they are, so that the caller can sort them (Is,
// NotFound). A *cloud.Error with CodeHypervisor comes at once when there is no
// connection, and when it breaks under f; one with CodeTimeout when f has not
// returned after the link's call timeout. f is left behind then: libvirt's
// calls cannot be interrupted. So f must keep its results to itself until it
// returns them, and must close nothing that others use.
func Call[T any](ctx context.Context, l *Link, what string, f func(*libvirt.Connect) (T, error)) (T, error) {
	return CallFor(ctx, l, l.o.CallTimeout, what, f)
}

// Do is Call for work that gives nothing back.
func Do(ctx context.Context, l *Link, what string, f func(*libvirt.Connect) error) error {
	_, err := Call(ctx, l, what, func(c *libvirt.Connect) (struct{}, error) { return struct{}{}, f(c) })
	return err
}

// CallFor is Call with a deadline of its own, for work that copies bytes.
func CallFor[T any](ctx context.Context, l *Link, limit time.Duration, what string, f func(*libvirt.Connect) (T, error)) (T, error) {
	var zero T
	t := time.NewTimer(limit)
	defer t.Stop()

	select {
	case l.slots <- struct{}{}:
	case <-ctx.Done():
		return zero, ended(ctx, what)
	case <-t.C:
		return zero, late(what, fmt.Errorf("%d calls are on their way and none returned", l.o.InFlight))
	}
	conn, gen, err := l.take()
	if err != nil {
		<-l.slots
		return zero, err
	}

	type result struct {
		v   T
		err error
	}
	got := make(chan result, 1)
	go func() {
		v, err := f(conn)
		if err != nil && !alive(conn) {
			l.drop(gen, err)
			err = down(fmt.Errorf("%s: %w", what, err))
		}
		_, _ = conn.Close()
		<-l.slots
		got <- result{v, err}
	}()
	select {
	case r := <-got:
		return r.v, r.err
	case <-ctx.Done():
		return zero, ended(ctx, what)
	case <-t.C:
		return zero, late(what, fmt.Errorf("no answer after %s", limit))
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

func ended(ctx context.Context, what string) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return late(what, ctx.Err())
	}
	return fmt.Errorf("%s: %w", what, ctx.Err())
}

// Follow calls up with every connection of the link, also the present one, and
// lost when it is gone. up runs within the call timeout and must return; it is
// the place to register for events. An error of up counts as a lost connection:
// it is dropped and dialled again. Follow returns when ctx or the link ends.
func (l *Link) Follow(ctx context.Context, up func(*libvirt.Connect) error, lost func(why error)) error {
	var seen uint64 // the connection that up was called with
	for {
		l.mu.Lock()
		conn, gen, why, changed := l.conn, l.gen, l.why, l.changed
		l.mu.Unlock()
		if seen != 0 && (conn == nil || gen != seen) {
			seen = 0
			lost(why)
		}
		if conn != nil && seen == 0 {
			err := Do(ctx, l, "follow the connection", func(c *libvirt.Connect) error {
				if c != conn {
					return errors.New("another connection came meanwhile")
				}
				return up(c)
			})
			if err == nil {
				seen = gen
				continue // it may have changed meanwhile
			}
			l.drop(gen, err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-l.ctx.Done():
			return l.ctx.Err()
		}
	}
}

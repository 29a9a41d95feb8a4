package virt

import (
	"context"
	"errors"

	"libvirt.org/go/libvirt"
)

// Follow calls up with every watching connection of the link, also the present
// one, and lost when it is gone, or when there is none to begin with. Calls have
// connections of their own, so that up is the place to register for events; it
// runs within the call timeout and must return. An error of up counts as a lost
// connection: it is dropped and dialled again, and lost hears of the first in a
// row. Follow returns when ctx or the link ends, which is no loss.
func (l *Link) Follow(ctx context.Context, up func(*libvirt.Connect) error, lost func(why error)) error {
	var seen uint64 // the connection that up was called with
	told := false   // that there is none
	for {
		if err := errors.Join(ctx.Err(), l.ctx.Err()); err != nil {
			return err
		}
		l.mu.Lock()
		conn, gen, why, changed := l.conn, l.gen, l.why, l.changed
		l.mu.Unlock()
		if !told && (conn == nil || seen != 0 && gen != seen) {
			told = true
			lost(why)
		}
		if conn != nil && (told || seen == 0) {
			err := l.greet(ctx, gen, up)
			if err == nil {
				seen, told = gen, false
				continue // it may have changed meanwhile
			}
			if ctx.Err() != nil {
				continue // it is not the connection's fault
			}
			l.drop(gen, err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
		case <-l.ctx.Done():
		}
	}
}

// greet runs up with watching connection number gen, of which it holds a
// reference meanwhile.
func (l *Link) greet(ctx context.Context, gen uint64, up func(*libvirt.Connect) error) error {
	l.mu.Lock()
	conn := l.conn
	if conn == nil || l.gen != gen {
		l.mu.Unlock()
		return errors.New("the connection was lost before it was greeted")
	}
	err := conn.Ref()
	l.mu.Unlock()
	if err != nil {
		return err
	}
	p := patience{caller: ctx, limit: l.o.CallTimeout, what: "greet the connection"}
	defer p.begin()()
	_, err = await(p, func() (struct{}, error) {
		defer hangUp(conn)
		return struct{}{}, up(conn)
	})
	return err
}

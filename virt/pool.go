package virt

import (
	"time"

	"libvirt.org/go/libvirt"
)

// keptIdle is how many connections wait for calls however long that takes. Each
// costs libvirtd and this process some memory and a sign of life every 5 s.
const keptIdle = 2

// loan is a connection that belongs to one call at a time. Before 10.0 libvirt's
// client may fail to wake the thread that reads for all calls of a connection,
// so that a call beside a long one waits for that or for the next keep-alive
// message; and libvirtd stops reading a connection that has max_client_requests
// (5) calls under way.
type loan struct {
	conn  *libvirt.Connect
	gen   uint64    // of the watching connection it was made beside
	since time.Time // it waits for a call
}

// borrow gives the connection that was used last, or a new one when none waits.
// It blocks for as long as libvirt's open does. The caller holds a slot.
func (l *Link) borrow() (loan, error) {
	for {
		c, gen, err := l.pop()
		if err != nil {
			return loan{}, err
		}
		if c.conn == nil {
			return l.dialLoan(gen)
		}
		if alive(c.conn) {
			l.lend(0)
			return c, nil
		}
		go hangUp(c.conn)
	}
}

// pop takes a waiting connection; without one, conn is nil.
func (l *Link) pop() (c loan, gen uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		return loan{}, 0, down(l.why)
	}
	if n := len(l.idle); n > 0 {
		c, l.idle = l.idle[n-1], l.idle[:n-1]
	}
	return c, l.gen, nil
}

func (l *Link) dialLoan(gen uint64) (loan, error) {
	conn, err := libvirt.NewConnect(l.o.URI)
	if err != nil {
		return loan{}, down(err)
	}
	_ = conn.SetKeepAlive(keepAliveSeconds, keepAliveCount)
	l.lend(1)
	return loan{conn: conn, gen: gen}, nil
}

// lend counts a connection that a call gets; dialed is 1 for a new one.
func (l *Link) lend(dialed int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lent++
	l.dialed += dialed
}

// giveBack lets the connection wait for the next call, unless it broke or
// libvirt went away meanwhile: whatever was dialled before that is of no use.
func (l *Link) giveBack(c loan) {
	fit := alive(c.conn)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lent--
	if !fit || l.conn == nil || l.gen != c.gen {
		go hangUp(c.conn)
		return
	}
	c.since = time.Now()
	l.idle = append(l.idle, c)
	l.trimLater()
}

// trimLater sees to it that trim runs while there are more connections than are
// kept. The caller holds the lock.
func (l *Link) trimLater() {
	if l.trimming || len(l.idle) <= keptIdle {
		return
	}
	l.trimming = true
	time.AfterFunc(l.o.IdleFor-time.Since(l.idle[0].since), l.trim)
}

// trim closes what has waited too long. The one that waits longest comes first,
// for the last one that came back is the first to be lent.
func (l *Link) trim() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trimming = false
	for len(l.idle) > keptIdle && time.Since(l.idle[0].since) >= l.o.IdleFor {
		go hangUp(l.idle[0].conn)
		l.idle = l.idle[1:]
	}
	l.trimLater()
}

// hangUp says good-bye to libvirtd, which is a call and takes as long as one.
func hangUp(c *libvirt.Connect) { _, _ = c.Close() }

package daemon

import (
	"container/list"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// The connections of tenants: enough for many, too few to take the memory of the
// guests. One address gets no more than its share.
const (
	maxConns        = 4096
	maxConnsAddress = 256
	// otherFiles are open besides: the database, libvirt, disks that are imported.
	otherFiles = 512
	fewConns   = 64
)

const (
	// writeStall is how long a client may take none of writePiece bytes of an
	// answer.
	writeStall = 30 * time.Second
	writePiece = 64 << 10
)

// places is how many connections there are files for. Go has raised the soft
// limit to the hard one by itself.
func places() (int, error) {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0, fmt.Errorf("how many files may be open: %w", err)
	}
	if r.Cur < otherFiles+fewConns {
		return 0, fmt.Errorf("only %d files may be open, and serving tenants takes %d; raise LimitNOFILE or ulimit -n", r.Cur, otherFiles+fewConns)
	}
	return int(min(r.Cur-otherFiles, maxConns)), nil
}

// bounded keeps connections to a number, all of them and those of one address (an
// IPv6 /64 is one: that is what a customer of a provider has). When all places are
// taken, whoever has shown no good token yet makes room, the longest there first:
// ten thousand that dawdle keep nobody out who knows a token.
type bounded struct {
	net.Listener
	most, each int

	mu        sync.Mutex
	all       int
	of        map[netip.Addr]int
	strangers *list.List // of *counted, the longest there first
}

func newBounded(l net.Listener, most, each int) *bounded {
	return &bounded{Listener: l, most: most, each: each, of: map[netip.Addr]int{}, strangers: list.New()}
}

func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		in := &counted{Conn: c, in: b, from: sourceOf(c.RemoteAddr())}
		ok, out := b.enter(in)
		if out != nil {
			_ = out.Conn.Close() // its server finds out
		}
		if ok {
			return in, nil
		}
		_ = c.Close()
	}
}

// enter gives a connection a place, if need be that of another, which is out.
func (b *bounded) enter(c *counted) (ok bool, out *counted) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.of[c.from] >= b.each {
		return false, nil
	}
	if b.all >= b.most {
		first := b.strangers.Front()
		if first == nil {
			return false, nil
		}
		out = first.Value.(*counted)
		b.drop(out)
	}
	b.all++
	b.of[c.from]++
	c.place, c.there = b.strangers.PushBack(c), true
	return true, out
}

// drop takes a connection's place away; once it is gone, nothing.
func (b *bounded) drop(c *counted) {
	if !c.there {
		return
	}
	c.there = false
	b.know(c)
	b.all--
	if b.of[c.from]--; b.of[c.from] == 0 {
		delete(b.of, c.from)
	}
}

// know takes a connection off the list of strangers.
func (b *bounded) know(c *counted) {
	if c.place != nil {
		b.strangers.Remove(c.place)
		c.place = nil
	}
}

// counted is a connection that has a place.
type counted struct {
	net.Conn
	in    *bounded
	from  netip.Addr
	place *list.Element // among the strangers; nil: known, or gone
	there bool
	known sync.Once

	writing sync.Mutex // of the deadline
	until   time.Time  // what the server has set; zero: nothing
}

func (c *counted) Close() error {
	c.in.mu.Lock()
	c.in.drop(c)
	c.in.mu.Unlock()
	return c.Conn.Close()
}

// welcome says that a good token came over the connection.
func (c *counted) welcome() {
	c.known.Do(func() {
		c.in.mu.Lock()
		defer c.in.mu.Unlock()
		c.in.know(c)
	})
}

// Write gives up on a client that does not read: its answer, and what made it,
// would stay in memory.
func (c *counted) Write(b []byte) (n int, err error) {
	for {
		if err := c.bound(); err != nil {
			return n, err
		}
		m, err := c.Conn.Write(b[n:min(n+writePiece, len(b))])
		if n += m; err != nil || n == len(b) {
			return n, err
		}
	}
}

func (c *counted) bound() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	until := time.Now().Add(writeStall)
	if !c.until.IsZero() && c.until.Before(until) {
		until = c.until
	}
	return c.Conn.SetWriteDeadline(until)
}

func (c *counted) SetWriteDeadline(t time.Time) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.until = t
	return c.Conn.SetWriteDeadline(t)
}

func (c *counted) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

type connKey struct{}

// withConn lets a request find its connection.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if in, ok := c.(*counted); ok {
		return context.WithValue(ctx, connKey{}, in)
	}
	return ctx
}

// welcome says that a good token came with a request.
func welcome(ctx context.Context) {
	if c, ok := ctx.Value(connKey{}).(*counted); ok {
		c.welcome()
	}
}

func sourceOf(a net.Addr) netip.Addr {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	addr := ap.Addr().Unmap()
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}

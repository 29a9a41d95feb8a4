package daemon

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"lodge/cert"
)

// The connections of tenants: enough for many, too few to take the memory of the
// guests. One address gets no more than its share.
const (
	maxConns        = 4096
	maxConnsAddress = 256
)

// openTCP opens the tenants' way in; nil when none is asked for.
func openTCP(cfg Config) (net.Listener, *cert.Source, error) {
	if cfg.Listen == "" {
		return nil, nil, nil
	}
	var source *cert.Source
	if cfg.PlainHTTP {
		if err := onlyLoopback(cfg.Listen); err != nil {
			return nil, nil, err
		}
	} else {
		o := cfg.TLS
		o.Dir, o.Now, o.Log = cfg.path("tls"), cfg.Now, cfg.Log
		var err error
		if source, err = cert.Open(o); err != nil {
			return nil, nil, fmt.Errorf("certificate: %w", err)
		}
	}
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, nil, fmt.Errorf("listen on %s: %w", cfg.Listen, err)
	}
	return &bounded{Listener: l, most: maxConns, each: maxConnsAddress, of: map[netip.Addr]int{}}, source, nil
}

// onlyLoopback refuses to send tokens over a wire in the clear.
func onlyLoopback(listen string) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", listen, err)
	}
	if a, err := netip.ParseAddr(host); err == nil && a.IsLoopback() {
		return nil
	}
	return fmt.Errorf("plain HTTP is for loopback addresses, as 127.0.0.1:8080, and %s is none; leave --plain-http out", listen)
}

// serveTCP answers tenants until the server is shut down.
func (d *Daemon) serveTCP() error {
	if d.certs == nil {
		return d.http.Serve(d.tcp)
	}
	return d.http.ServeTLS(d.tcp, "", "")
}

// bounded closes connections beyond a number, at once and of one address (an
// IPv6 /64 is one: that is what a customer of a provider has).
type bounded struct {
	net.Listener
	most, each int

	mu  sync.Mutex
	all int
	of  map[netip.Addr]int
}

func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := sourceOf(c.RemoteAddr())
		if b.enter(from) {
			return &counted{Conn: c, leave: sync.OnceFunc(func() { b.leave(from) })}, nil
		}
		_ = c.Close()
	}
}

func (b *bounded) enter(from netip.Addr) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all >= b.most || b.of[from] >= b.each {
		return false
	}
	b.all++
	b.of[from]++
	return true
}

func (b *bounded) leave(from netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all--
	if b.of[from]--; b.of[from] == 0 {
		delete(b.of, from)
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

type counted struct {
	net.Conn
	leave func()
}

func (c *counted) Close() error {
	c.leave()
	return c.Conn.Close()
}

// byTCP reports whether a request came the tenants' way.
func byTCP(r *http.Request) bool {
	a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return !ok || a.Network() != "unix"
}

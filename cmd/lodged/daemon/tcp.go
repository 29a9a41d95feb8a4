package daemon

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"

	"lodge/cert"
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
	most, err := places()
	if err != nil {
		return nil, nil, errors.Join(err, l.Close())
	}
	if most < maxConns {
		cfg.Log.Warn("few files may be open; raise LimitNOFILE", "connections", most, "usual", maxConns)
	}
	return newBounded(l, most, maxConnsAddress), source, nil
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

// byTCP reports whether a request came the tenants' way.
func byTCP(r *http.Request) bool {
	a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return !ok || a.Network() != "unix"
}

package cert

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"lodge/cert/pin"
	"lodge/cloud"
)

// clock is a clock that stands until it is set. Both ends of a test use it.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// logged is what a Source told its log.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), what)
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

const day = 24 * time.Hour

func mustOpen(t *testing.T, o Options) *Source {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wantCode(t *testing.T, err error, code cloud.Code) {
	t.Helper()
	if cloud.CodeOf(err) != code {
		t.Fatalf("got %v (%s), want %s", err, cloud.CodeOf(err), code)
	}
	if m := cloud.MessageOf(err); !strings.HasSuffix(m, ".") || strings.Contains(m, "inside lodge") {
		t.Errorf("no sentence for people: %q", m)
	}
}

// serve listens on a loopback port with the Source's certificate.
func serve(t *testing.T, s *Source) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, l, s)
	return l.Addr().String()
}

func serveOn(t *testing.T, l net.Listener, s *Source) {
	t.Helper()
	srv := &http.Server{
		TLSConfig: s.TLSConfig(),
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.Proto)) }),
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, 0),
	}
	go func() { _ = srv.ServeTLS(l, "", "") }()
	t.Cleanup(func() { _ = srv.Close() })
}

// meet makes one handshake and gives the certificates that the server sent.
func meet(addr string, c *tls.Config) ([]*x509.Certificate, error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 30 * time.Second}, "tcp", addr, c)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates, nil
}

func mustMeet(t *testing.T, addr string, c *tls.Config) *x509.Certificate {
	t.Helper()
	chain, err := meet(addr, c)
	if err != nil {
		t.Fatal(err)
	}
	return chain[0]
}

// pinned is a client that has accepted the Source's CA.
func pinned(t *testing.T, s *Source, c *clock) *tls.Config {
	t.Helper()
	b, ok := s.CA()
	if !ok {
		t.Fatal("no own CA")
	}
	cfg := pin.Config(b)
	if c != nil {
		cfg.Time = c.now
	}
	return cfg
}

func TestAClientThatPinnedTheCAConnectsByEveryHost(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir(), Hosts: []string{"API.example.com.", "127.0.0.1", "[::1]"}})
	addr := serve(t, s)
	for _, name := range []string{"", "api.example.com", "127.0.0.1", "::1"} {
		c := pinned(t, s, nil)
		c.ServerName = name
		chain, err := meet(addr, c)
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if len(chain) != 2 || fingerprint(chain[1]) != s.Fingerprint() {
			t.Errorf("%q: the CA is not sent along", name)
		}
	}
}

func TestAClientThatDidNotPinTheCAIsNotServed(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir(), Hosts: []string{"127.0.0.1"}})
	other := mustOpen(t, Options{Dir: t.TempDir(), Hosts: []string{"127.0.0.1"}})
	addr := serve(t, s)
	for name, c := range map[string]*tls.Config{"system's roots": {}, "another lodge's CA": pinned(t, other, nil), "no CA": pin.Config(nil)} {
		_, err := meet(addr, c)
		var unknown x509.UnknownAuthorityError
		if !errors.As(err, &unknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnotherHostNameIsNotBelieved(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir(), Hosts: []string{"api.example.com"}})
	addr := serve(t, s)
	for _, name := range []string{"", "api.example.org", "x.api.example.com"} {
		c := pinned(t, s, nil)
		c.ServerName = name
		_, err := meet(addr, c)
		var host x509.HostnameError
		if !errors.As(err, &host) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestTLSBefore12IsRefused(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir(), Hosts: []string{"127.0.0.1"}})
	addr := serve(t, s)
	for version, ok := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		c := pinned(t, s, nil)
		c.MinVersion, c.MaxVersion = version, version
		if _, err := meet(addr, c); (err == nil) != ok {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}

func TestHTTP2AndHTTP1AreSpoken(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir(), Hosts: []string{"127.0.0.1"}})
	addr := serve(t, s)
	for _, two := range []bool{false, true} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: pinned(t, s, nil), ForceAttemptHTTP2: two}}
		resp, err := client.Get("https://" + addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		client.CloseIdleConnections()
		if (resp.ProtoMajor == 2) != two {
			t.Errorf("HTTP/2 wanted %v, got %s", two, resp.Proto)
		}
	}
}

func TestTheCertificatesAreMadeForTheirPurposeOnly(t *testing.T) {
	c := newClock()
	s := mustOpen(t, Options{Dir: t.TempDir(), Hosts: []string{"127.0.0.1"}, Now: c.now})
	ca, leaf := s.ca.cert, s.present.Load().Leaf
	if !ca.IsCA || ca.MaxPathLen != 0 || !ca.MaxPathLenZero || ca.NotAfter.Sub(c.now()) < 3650*day {
		t.Errorf("CA: %v, path %d, until %s", ca.IsCA, ca.MaxPathLen, ca.NotAfter)
	}
	if leaf.IsCA || leaf.NotAfter.Sub(leaf.NotBefore) > 397*day || len(leaf.ExtKeyUsage) != 1 || leaf.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth {
		t.Errorf("leaf: %v, %s to %s, for %v", leaf.IsCA, leaf.NotBefore, leaf.NotAfter, leaf.ExtKeyUsage)
	}
	if leaf.SerialNumber.Cmp(ca.SerialNumber) == 0 || leaf.SerialNumber.BitLen() < 64 {
		t.Errorf("serial numbers %x and %x", leaf.SerialNumber, ca.SerialNumber)
	}
}

func TestTheFingerprintIsTheSameOnBothEnds(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir(), Hosts: []string{"127.0.0.1"}})
	b, _ := s.CA()
	ca, err := pin.Parse(b)
	if err != nil || pin.Fingerprint(ca) != s.Fingerprint() {
		t.Errorf("%v: %s here", err, s.Fingerprint())
	}
	if f := s.Fingerprint(); len(f) != 32*3-1 || strings.ToLower(f) != f || strings.Count(f, ":") != 31 {
		t.Errorf("written %s", f)
	}
}

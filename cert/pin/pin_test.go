package pin_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lodge/cert"
	"lodge/cert/pin"
)

func ctx(t *testing.T) context.Context {
	c, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return c
}

// listen accepts connections, makes the handshake and hangs up.
func listen(t *testing.T, c *tls.Config) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.(*tls.Conn).Handshake()
			_ = conn.Close()
		}
	}()
	return l.Addr().String()
}

// lodged listens as lodged does.
func lodged(t *testing.T, hosts ...string) (*cert.Source, string) {
	t.Helper()
	s, err := cert.Open(cert.Options{Dir: t.TempDir(), Hosts: hosts})
	if err != nil {
		t.Fatal(err)
	}
	return s, listen(t, s.TLSConfig())
}

func wantKind(t *testing.T, err, kind error) {
	t.Helper()
	var e *pin.Error
	if !errors.Is(err, kind) || !errors.As(err, &e) {
		t.Fatalf("got %v, want %v", err, kind)
	}
	if !strings.HasSuffix(e.Error(), ".") {
		t.Errorf("no sentence: %q", e.Error())
	}
}

func TestWhatAServerOffersCanBePinned(t *testing.T) {
	s, addr := lodged(t, "127.0.0.1")
	o, err := pin.Fetch(ctx(t), addr)
	if err != nil {
		t.Fatal(err)
	}
	own, _ := s.CA()
	if o.Fingerprint != s.Fingerprint() || string(o.CAPEM) != string(own) || o.Host != "127.0.0.1" || !o.CA.IsCA || o.Leaf.IsCA {
		t.Errorf("offer %s, server %s", o.Fingerprint, s.Fingerprint())
	}
	conn, err := tls.Dial("tcp", addr, pin.Config(o.CAPEM))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}

func TestAfterPinningAnotherServerInItsPlaceIsNotBelieved(t *testing.T) {
	_, first := lodged(t, "127.0.0.1")
	_, second := lodged(t, "127.0.0.1")
	o, err := pin.Fetch(ctx(t), first)
	if err != nil {
		t.Fatal(err)
	}
	_, err = tls.Dial("tcp", second, pin.Config(o.CAPEM))
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) {
		t.Error(err)
	}
}

func TestACertificateForAnotherHostIsNotOffered(t *testing.T) {
	_, addr := lodged(t, "api.example.com", "10.0.0.1")
	_, err := pin.Fetch(ctx(t), addr)
	wantKind(t, err, pin.ErrName)
	for _, part := range []string{"api.example.com", "10.0.0.1", "127.0.0.1"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s is not in %q", part, err)
		}
	}
}

// signed makes a certificate; by is who signs, nil the certificate itself.
func signed(t *testing.T, c *x509.Certificate, by *tls.Certificate) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.BasicConstraintsValid = true
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(time.Hour)
	}
	parent, parentKey := c, any(key)
	if by != nil {
		parent, parentKey = by.Leaf, by.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func authority(t *testing.T, name string, by *tls.Certificate) *tls.Certificate {
	return signed(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, KeyUsage: x509.KeyUsageCertSign}, by)
}

func server(ext x509.ExtKeyUsage, until time.Time) *x509.Certificate {
	return &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{ext}, NotAfter: until}
}

func TestOnlyAWholeChainUnderItsOwnAuthorityIsOffered(t *testing.T) {
	root, other := authority(t, "root", nil), authority(t, "root", nil)
	middle := authority(t, "middle", root)
	plain := signed(t, server(x509.ExtKeyUsageServerAuth, time.Time{}), nil)
	good := signed(t, server(x509.ExtKeyUsageServerAuth, time.Time{}), root)
	under := signed(t, server(x509.ExtKeyUsageServerAuth, time.Time{}), middle)
	over := signed(t, server(x509.ExtKeyUsageServerAuth, time.Now().Add(-time.Minute)), root)
	mail := signed(t, server(x509.ExtKeyUsageEmailProtection, time.Time{}), root)
	sentences := map[string]string{ // a clock is named only where it may be wrong
		"the authority of another":    "by another authority",
		"the one in between left out": "by another authority",
		"over":                        "check this machine's clock",
		"not for servers":             "ask its operator to put it right",
	}
	for name, c := range map[string]struct {
		leaf *tls.Certificate
		rest []*tls.Certificate
		kind error
	}{
		"certificate and authority":         {good, []*tls.Certificate{root}, nil},
		"with one in between":               {under, []*tls.Certificate{middle, root}, nil},
		"the certificate alone":             {good, nil, pin.ErrNoCA},
		"the root left out, as is usual":    {under, []*tls.Certificate{middle}, pin.ErrNoCA},
		"signed by itself and no authority": {plain, nil, pin.ErrNoCA},
		"the authority of another":          {good, []*tls.Certificate{other}, pin.ErrChain},
		"the one in between left out":       {under, []*tls.Certificate{root}, pin.ErrChain},
		"over":                              {over, []*tls.Certificate{root}, pin.ErrChain},
		"not for servers":                   {mail, []*tls.Certificate{root}, pin.ErrChain},
	} {
		t.Run(name, func(t *testing.T) {
			chain := *c.leaf
			for _, r := range c.rest {
				chain.Certificate = append(chain.Certificate[:len(chain.Certificate):len(chain.Certificate)], r.Leaf.Raw)
			}
			addr := listen(t, &tls.Config{Certificates: []tls.Certificate{chain}})
			o, err := pin.Fetch(ctx(t), addr)
			if says := sentences[name]; says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
				t.Errorf("got %v, which does not say %q", err, says)
			}
			if c.kind != nil {
				wantKind(t, err, c.kind)
				return
			}
			if err != nil || !o.CA.Equal(root.Leaf) {
				t.Fatal(err)
			}
			conn, err := tls.Dial("tcp", addr, pin.Config(o.CAPEM))
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.Close()
		})
	}
}

func TestWhatDoesNotAnswerAsAServerShouldIsNamed(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()
	old := listen(t, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11,
		Certificates: []tls.Certificate{*authority(t, "old", nil)}})
	for addr, kind := range map[string]error{
		"127.0.0.1":                  pin.ErrAddress,
		":443":                       pin.ErrAddress,
		"https://127.0.0.1:443":      pin.ErrAddress,
		"":                           pin.ErrAddress,
		gone.Addr().String():         pin.ErrUnreachable,
		silent.Addr().String():       pin.ErrUnreachable,
		web.Listener.Addr().String(): pin.ErrNoTLS,
		old:                          pin.ErrNoTLS,
	} {
		t.Run(addr, func(t *testing.T) {
			c, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			_, err := pin.Fetch(c, addr)
			wantKind(t, err, kind)
		})
	}
}

func TestBytesThatHoldNoAuthorityTrustNobody(t *testing.T) {
	_, addr := lodged(t, "127.0.0.1")
	leaf := signed(t, server(x509.ExtKeyUsageServerAuth, time.Time{}), nil)
	for name, b := range map[string][]byte{
		"nothing":        nil,
		"no PEM":         []byte("fingerprint"),
		"a broken block": []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
		"a server's":     pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Leaf.Raw}),
		"another block":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: leaf.Leaf.Raw}),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pin.Parse(b)
			wantKind(t, err, pin.ErrPEM)
			if conn, err := tls.Dial("tcp", addr, pin.Config(b)); err == nil {
				_ = conn.Close()
				t.Error("somebody was believed")
			}
		})
	}
}

func TestWithAPinTheSystemsAuthoritiesAreNotAsked(t *testing.T) {
	if c := pin.Config(nil); c.RootCAs == nil || c.InsecureSkipVerify || c.MinVersion != tls.VersionTLS12 {
		t.Error("without roots the system's would be taken")
	}
}

func TestNamesOfAStrangerAreQuotedForATerminal(t *testing.T) {
	root := authority(t, "root", nil)
	leaf := signed(t, &x509.Certificate{DNSNames: []string{"\x1b[2Jgotcha"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, root)
	leaf.Certificate = append(leaf.Certificate, root.Leaf.Raw)
	_, err := pin.Fetch(ctx(t), listen(t, &tls.Config{Certificates: []tls.Certificate{*leaf}}))
	if err == nil || strings.ContainsRune(err.Error(), '\x1b') {
		t.Errorf("%q", err)
	}
}

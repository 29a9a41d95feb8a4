package cert

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"golang.org/x/crypto/acme"
	"golang.org/x/net/dns/dnsmessage"

	"lodge/cloud"
)

// authorityAt runs an ACME authority that comes to these ports of 127.0.0.1 for
// every name. It gives its directory, whom to believe that it is it, and the
// root of the certificates it issues.
func authorityAt(t *testing.T, httpPort, tlsPort int) (directory string, itself, root *x509.CertPool) {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	quiet := log.New(io.Discard, "", 0)
	rows := db.NewMemoryStore()
	issuer := ca.New(quiet, rows, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: 7 * 24 * 3600}})
	judge := va.New(quiet, httpPort, tlsPort, true, names(t), rows)
	front := wfe.New(quiet, rows, judge, issuer, []string{"authority.test"}, true, false, 1, 1)
	srv := httptest.NewTLSServer(front.Handler())
	t.Cleanup(srv.Close)

	itself, root = x509.NewCertPool(), x509.NewCertPool()
	itself.AddCert(srv.Certificate())
	root.AppendCertsFromPEM(issuer.GetRootCert(0).PEM())
	return srv.URL + wfe.DirectoryPath, itself, root
}

// names is a name server, over TCP, that knows 127.0.0.1 for every name.
func names(t *testing.T) string {
	t.Helper()
	l := listen(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				answer(c)
			}()
		}
	}()
	return l.Addr().String()
}

func answer(c net.Conn) {
	var n uint16
	if binary.Read(c, binary.BigEndian, &n) != nil {
		return
	}
	b := make([]byte, n)
	var m dnsmessage.Message
	if _, err := io.ReadFull(c, b); err != nil || m.Unpack(b) != nil || len(m.Questions) != 1 {
		return
	}
	q := m.Questions[0]
	reply := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true}, Questions: m.Questions}
	if q.Type == dnsmessage.TypeA {
		reply.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1},
			Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
		}}
	}
	out, err := reply.AppendPack(make([]byte, 2))
	if err != nil {
		return
	}
	binary.BigEndian.PutUint16(out, uint16(len(out)-2))
	_, _ = c.Write(out)
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

func client(name string, roots *x509.CertPool) *tls.Config {
	return &tls.Config{ServerName: name, RootCAs: roots, NextProtos: []string{"h2", "http/1.1"}}
}

func TestAnACMEAuthorityIssuesThroughTheAPIsOwnPort(t *testing.T) {
	api := listen(t)
	directory, itself, root := authorityAt(t, 1, port(api))
	o := Options{Dir: t.TempDir(), ACME: &ACMEOptions{
		Directory: directory, Email: "ops@lodge.test", Hosts: []string{"API.lodge.test"}, RootCAs: itself,
	}}
	s := mustOpen(t, o)
	serveOn(t, api, s)
	addr := api.Addr().String()

	first := mustMeet(t, addr, client("api.lodge.test", root))
	if !slices.Equal(hostsOf(first), []string{"api.lodge.test"}) {
		t.Errorf("for %v", hostsOf(first))
	}
	if again := mustMeet(t, addr, client("api.lodge.test", root)); !again.Equal(first) {
		t.Error("a second handshake got another certificate")
	}
	if _, ok := s.CA(); ok || s.Fingerprint() != "" {
		t.Error("there is nothing to pin with ACME")
	}
	for _, name := range []string{"other.lodge.test", ""} {
		c := client(name, root)
		c.InsecureSkipVerify = true
		if _, err := meet(addr, c); err == nil {
			t.Errorf("%q was served", name)
		}
	}

	// The next start has it in its folder, and needs no authority.
	o.ACME.Directory = "https://127.0.0.1:1/gone"
	if kept := mustMeet(t, serve(t, mustOpen(t, o)), client("api.lodge.test", root)); !kept.Equal(first) {
		t.Error("a restart got another certificate")
	}
	keysAreShut(t, filepath.Join(o.Dir, "acme"))
}

func keysAreShut(t *testing.T, dir string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		if !d.IsDir() {
			files++
		}
		return err
	})
	if err != nil || files < 2 {
		t.Errorf("%d files with account key and certificate, %v", files, err)
	}
}

func TestAnACMEAuthorityIssuesThroughPlainHTTPWhereThatIsServed(t *testing.T) {
	plain := listen(t)
	// Nothing answers where tls-alpn-01 is tried.
	directory, itself, root := authorityAt(t, port(plain), 1)
	s := mustOpen(t, Options{Dir: t.TempDir(), ACME: &ACMEOptions{
		Directory: directory, Hosts: []string{"api.lodge.test"}, RootCAs: itself,
	}})
	srv := &http.Server{Handler: s.HTTPHandler(nil)}
	go func() { _ = srv.Serve(plain) }()
	t.Cleanup(func() { _ = srv.Close() })

	mustMeet(t, serve(t, s), client("api.lodge.test", root))
	resp, err := http.Get("http://" + plain.Addr().String() + "/v1/instances")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("the API is served without TLS: %s", resp.Status)
	}
}

func TestAnAuthorityThatCannotBeReachedFailsTheHandshakeOnly(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir(), ACME: &ACMEOptions{Directory: "https://127.0.0.1:1/dir", Hosts: []string{"api.lodge.test"}}})
	addr := serve(t, s)
	for range 2 {
		if _, err := meet(addr, client("api.lodge.test", nil)); err == nil {
			t.Fatal("there is no certificate to serve")
		}
	}
}

func TestACMEOptionsAreJudgedAtTheStart(t *testing.T) {
	hosts := []string{"api.lodge.test"}
	for name, o := range map[string]ACMEOptions{
		"no hosts":     {},
		"an address":   {Hosts: []string{"192.0.2.1"}},
		"a wildcard":   {Hosts: []string{"*.lodge.test"}},
		"a short name": {Hosts: []string{"localhost"}},
		"no name":      {Hosts: []string{"https://api.lodge.test"}},
		"plain http":   {Hosts: hosts, Directory: "http://authority.test/dir"},
		"no URL":       {Hosts: hosts, Directory: "authority.test"},
		"a broken URL": {Hosts: hosts, Directory: "https://%zz"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(Options{Dir: t.TempDir(), ACME: &o})
			wantCode(t, err, cloud.CodeInvalid)
		})
	}
	_, err := Open(Options{ACME: &ACMEOptions{Hosts: hosts}})
	wantCode(t, err, cloud.CodeInvalid)
}

func TestWithACMETheProtocolOfTheChallengeIsSpoken(t *testing.T) {
	cache := filepath.Join(t.TempDir(), "cache")
	s := mustOpen(t, Options{ACME: &ACMEOptions{Hosts: []string{"api.lodge.test"}, CacheDir: cache}})
	c := s.TLSConfig()
	if !slices.Equal(c.NextProtos, []string{"h2", "http/1.1", acme.ALPNProto}) || c.MinVersion != tls.VersionTLS12 {
		t.Errorf("%v, %s", c.NextProtos, tls.VersionName(c.MinVersion))
	}
	if info, err := os.Stat(cache); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	if !strings.HasPrefix(s.acme.Client.DirectoryURL, "https://acme-v02.api.letsencrypt.org/") {
		t.Errorf("asks %s", s.acme.Client.DirectoryURL)
	}
}

func TestWithoutACMEOnlyTheFallbackAnswersPlainHTTP(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir(), Hosts: []string{"127.0.0.1"}})
	for fallback, want := range map[http.Handler]int{
		nil: http.StatusNotFound,
		http.RedirectHandler("https://api.lodge.test/", http.StatusFound): http.StatusFound,
	} {
		w := httptest.NewRecorder()
		s.HTTPHandler(fallback).ServeHTTP(w, httptest.NewRequest("GET", "/.well-known/acme-challenge/x", nil))
		if w.Code != want {
			t.Errorf("%d, want %d", w.Code, want)
		}
	}
}

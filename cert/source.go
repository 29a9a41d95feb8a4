package cert

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"lodge/cloud"
)

// Options say where the certificate comes from: CertFile and KeyFile if given,
// else ACME if given, else lodge's own CA. Zero values take the defaults.
type Options struct {
	// Dir is the folder of the own CA; it is made if missing and gets mode 0700.
	// One process at a time may use it. Files given need none.
	Dir string

	// Hosts are the DNS names and IP addresses of a certificate by the own CA.
	// Default: the host's name, localhost, the loopback addresses and the
	// addresses of the host's own interfaces, as they are at the time.
	Hosts []string

	CertFile string // PEM, the server's certificate first, then those between it and the root
	KeyFile  string // PEM, the key to it

	ACME *ACMEOptions

	Now func() time.Time // default time.Now; ACME always goes by the real clock
	Log *slog.Logger     // default: none
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// keeper looks after a certificate.
type keeper interface {
	// look gives the certificate to serve from now on; nil leaves the present
	// one. With an error there may be one, too: it serves although something
	// about it is not as it should be.
	look(now time.Time) (*tls.Certificate, error)
}

// Source gives the present certificate. It is safe for use by many goroutines
// and needs no closing.
type Source struct {
	o       Options
	ca      *authority        // nil: no CA of its own
	acme    *autocert.Manager // nil: a keeper
	keeper  keeper
	every   time.Duration // between two looks
	present atomic.Pointer[tls.Certificate]

	mu     sync.Mutex // held by whoever looks
	looked time.Time
}

// Open makes a Source ready to serve; with the own CA that includes making the
// CA and the certificate where they are missing. Returns CodeInvalid when the
// options or the files they name are of no use, CodeConflict when the own CA is
// damaged, incomplete or over, CodeDiskFull and CodeStorage when its folder cannot
// be read or written.
func Open(o Options) (*Source, error) { return open(o, machineHosts) }

func open(o Options, machine func() []string) (*Source, error) {
	s := &Source{o: o.withDefaults()}
	var err error
	switch {
	case o.CertFile != "" || o.KeyFile != "":
		if o.ACME != nil {
			s.o.Log.Warn("acme is not used, for a certificate file is given", "cert_file", o.CertFile)
		}
		s.keeper, err = newFiles(o.CertFile, o.KeyFile)
		s.every = filesEvery
	case o.ACME != nil:
		s.acme, err = newACME(*o.ACME, o.Dir)
		return s, err
	default:
		s.ca, s.keeper, err = newOwn(s.o, machine)
		s.every = ownEvery
	}
	if err != nil {
		return nil, err
	}
	s.looked = s.o.Now()
	c, err := s.keeper.look(s.looked)
	if err != nil {
		return nil, err
	}
	s.present.Store(c)
	if end := c.Leaf.NotAfter; !s.looked.Before(end) {
		s.o.Log.Warn("certificate is over", "since", end)
	}
	return s, nil
}

// certificate gives the present certificate, after a look whether it still is
// the right one. Only one caller looks; the others are served meanwhile.
func (s *Source) certificate() *tls.Certificate {
	if s.mu.TryLock() {
		s.look()
		s.mu.Unlock()
	}
	return s.present.Load()
}

func (s *Source) look() {
	now := s.o.Now()
	// A clock that was set back must not put the next look off.
	if since := now.Sub(s.looked); since >= 0 && since < s.every {
		return
	}
	s.looked = now
	c, err := s.keeper.look(now)
	if err != nil {
		s.o.Log.Warn("certificate not as it should be", "error", err)
	}
	if c == nil || c == s.present.Load() {
		return
	}
	s.present.Store(c)
	s.o.Log.Info("certificate replaced", "until", c.Leaf.NotAfter)
}

// TLSConfig gives what a server listens with: TLS 1.2 or later, HTTP/2 and
// HTTP/1.1, and the certificate as it is at each handshake.
func (s *Source) TLSConfig() *tls.Config {
	c := &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.certificate(), nil
		},
	}
	if s.acme != nil {
		c.NextProtos = append(c.NextProtos, acme.ALPNProto)
		c.GetCertificate = s.acme.GetCertificate
	}
	return c
}

// HTTPHandler answers http-01 challenges of an ACME authority, which come to
// port 80, and leaves every other request to fallback; nil answers them with
// 404. With no ACME it is the fallback alone. Calling it is what makes http-01
// be tried, after tls-alpn-01.
func (s *Source) HTTPHandler(fallback http.Handler) http.Handler {
	if fallback == nil {
		fallback = http.NotFoundHandler()
	}
	if s.acme == nil {
		return fallback
	}
	return s.acme.HTTPHandler(fallback)
}

// CA gives the own CA's certificate in PEM, for clients to pin; ok is false when
// the certificate is not by an own CA.
func (s *Source) CA() (caPEM []byte, ok bool) {
	if s.ca == nil {
		return nil, false
	}
	return pem.EncodeToMemory(&pem.Block{Type: blockCert, Bytes: s.ca.cert.Raw}), true
}

// Fingerprint gives the SHA-256 of the own CA's certificate, else of the
// certificate in the given files, in hexadecimal with colons, for people to
// compare. It is "" with ACME, where the system's trust decides.
func (s *Source) Fingerprint() string {
	switch {
	case s.acme != nil:
		return ""
	case s.ca != nil:
		return fingerprint(s.ca.cert)
	}
	return fingerprint(s.certificate().Leaf)
}

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	parts := make([]string, len(sum))
	for i := range sum {
		parts[i] = hex.EncodeToString(sum[i : i+1])
	}
	return strings.Join(parts, ":")
}

func invalid(cause error, format string, args ...any) error {
	e := cloud.Errorf(cloud.CodeInvalid, format, args...)
	e.Cause = cause
	return e
}

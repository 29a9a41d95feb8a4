package cert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// ACMEOptions say which authority issues for which names. Naming one is taken
// as consent to its terms of service.
type ACMEOptions struct {
	Directory string   // URL; default Let's Encrypt's
	Email     string   // where the authority sends warnings; may be ""
	Hosts     []string // DNS names, each with a dot; others are refused at the handshake
	CacheDir  string   // of account key, certificates and keys, 0700; default acme below Options.Dir

	RootCAs *x509.CertPool // whom to believe that it is the authority; default the system's
}

// newACME checks the options and makes the cache. It asks the authority nothing:
// that happens at the first handshake for a name, which waits for it.
func newACME(o ACMEOptions, dir string) (*autocert.Manager, error) {
	if o.Directory == "" {
		o.Directory = autocert.DefaultACMEDirectory
	}
	u, err := url.Parse(o.Directory)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, invalid(err, "The ACME directory %q is no https URL; give the one that the authority documents.", o.Directory)
	}
	hosts, err := acmeHosts(o.Hosts)
	if err != nil {
		return nil, err
	}
	if o.CacheDir == "" && dir == "" {
		return nil, invalid(nil, "ACME needs a folder for its certificates; name one.")
	}
	if o.CacheDir == "" {
		o.CacheDir = filepath.Join(dir, "acme")
	}
	// Without it every start would ask for new certificates, until the authority
	// refuses.
	if err := os.MkdirAll(o.CacheDir, 0o700); err != nil {
		return nil, diskError(err, o.CacheDir)
	}
	return &autocert.Manager{
		Prompt:     autocert.AcceptTOS,
		Cache:      autocert.DirCache(o.CacheDir),
		HostPolicy: onlyHosts(hosts),
		Email:      o.Email,
		Client:     &acme.Client{DirectoryURL: o.Directory, HTTPClient: acmeClient(o.RootCAs), UserAgent: "lodge"},
	}, nil
}

// onlyHosts lets certificates be asked for these names alone. A client chooses
// what it says, and the authority takes a limited number of requests.
func onlyHosts(hosts []string) autocert.HostPolicy {
	listed := autocert.HostWhitelist(hosts...)
	return func(ctx context.Context, host string) error {
		// A challenge over plain HTTP names its port where that is not 80.
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		return listed(ctx, host)
	}
}

func acmeClient(roots *x509.CertPool) *http.Client {
	return &http.Client{
		Timeout: 30 * time.Second, // of one request; issuing takes several
		Transport: &http.Transport{
			Proxy:             http.ProxyFromEnvironment,
			TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2: true,
			IdleConnTimeout:   time.Minute,
		},
	}
}

// acmeHosts checks names by what the challenges at hand can prove.
func acmeHosts(hosts []string) ([]string, error) {
	if len(hosts) == 0 {
		return nil, invalid(nil, "ACME needs the names to get certificates for; give at least one.")
	}
	hosts, err := normal(hosts)
	if err != nil {
		return nil, err
	}
	for _, h := range hosts {
		_, notIP := netip.ParseAddr(h)
		if notIP == nil || strings.HasPrefix(h, "*.") || !strings.Contains(h, ".") {
			return nil, invalid(nil, "No certificate for %q can be had through ACME here; give a full DNS name, as api.example.com, without a wildcard.", h)
		}
	}
	return hosts, nil
}

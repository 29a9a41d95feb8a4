package cert

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"slices"
	"time"

	"lodge/cloud"
)

const (
	ownEvery = 30 * time.Second
	// Clients of today refuse a certificate for more than 398 days, whoever
	// issued it.
	leafLife    = 365 * 24 * time.Hour
	leafOverlap = time.Hour // before its making that it is valid
)

// own keeps a certificate by the own CA.
type own struct {
	f     folder
	ca    *authority
	hosts func() []string  // as normal gives them
	have  *tls.Certificate // nil: none yet
}

func newOwn(o Options, machine func() []string) (*authority, *own, error) {
	hosts := func() []string {
		h, err := normal(machine())
		if err != nil {
			h = []string{"127.0.0.1", "::1", "localhost"}
		}
		return h
	}
	if len(o.Hosts) > 0 {
		fixed, err := normal(o.Hosts)
		if err != nil {
			return nil, nil, err
		}
		hosts = func() []string { return fixed }
	}
	f, err := openFolder(o.Dir, o.Log)
	if err != nil {
		return nil, nil, err
	}
	ca, err := openAuthority(f, o.Now())
	if err != nil {
		return nil, nil, err
	}
	k := &own{f: f, ca: ca, hosts: hosts}
	if k.have, err = k.load(); err != nil {
		return nil, nil, err
	}
	return ca, k, nil
}

// load reads the certificate; nil when there is none that can be used. One
// that is damaged is made anew: nobody has pinned it.
func (k *own) load() (*tls.Certificate, error) {
	b, err := k.f.readKey(serverFile)
	if b == nil || err != nil {
		return nil, err
	}
	c, err := tls.X509KeyPair(b, b)
	if err == nil {
		err = c.Leaf.CheckSignatureFrom(k.ca.cert)
	}
	if err != nil {
		k.f.log.Warn("certificate of no use, making another", "path", k.f.path(serverFile), "error", err)
		return nil, nil
	}
	c.Certificate = [][]byte{c.Leaf.Raw, k.ca.cert.Raw}
	return &c, nil
}

// look renews the certificate when it is due. One that cannot be written serves
// all the same: the next start makes another.
func (k *own) look(now time.Time) (*tls.Certificate, error) {
	hosts := k.hosts()
	if k.have != nil && !due(k.have.Leaf, k.ca.cert, hosts, now) {
		return k.have, nil
	}
	c, b, err := k.ca.issue(hosts, now)
	if err != nil {
		return nil, err
	}
	err = k.f.write(serverFile, b, 0o600)
	k.have = c
	return c, err
}

// due reports whether a certificate is to be replaced.
func due(leaf, ca *x509.Certificate, hosts []string, now time.Time) bool {
	switch {
	case !slices.Equal(hostsOf(leaf), hosts):
		return true
	case now.Before(leaf.NotBefore):
		return true // made while the clock was ahead
	case !leaf.NotAfter.Before(ca.NotAfter):
		return false // another would not last longer
	}
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	return leaf.NotAfter.Sub(now) < life/3
}

// issue makes a certificate with a key of its own, and the PEM of both. Returns
// CodeConflict when the CA is over.
func (a *authority) issue(hosts []string, now time.Time) (*tls.Certificate, []byte, error) {
	end := now.Add(leafLife)
	if end.After(a.cert.NotAfter) {
		end = a.cert.NotAfter
	}
	if !now.Before(end) {
		return nil, nil, cloud.Errorf(cloud.CodeConflict, "The certificate authority of lodge is over; move its folder away to get a new one, which every client then has to accept again.")
	}
	key, keyPEM, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	t := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "lodged"},
		NotBefore:             now.Add(-leafOverlap),
		NotAfter:              end,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("issue certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("issue certificate: %w", err)
	}
	// The CA goes along although a client that trusts it needs it not: one that
	// does not yet learns it from here.
	c := &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key, Leaf: leaf}
	return c, append(pem.EncodeToMemory(&pem.Block{Type: blockCert, Bytes: der}), keyPEM...), nil
}

package cert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"lodge/cloud"
)

const (
	caYears   = 10
	caNotice  = 365 * 24 * time.Hour // from when on the log tells of a CA's end
	caOverlap = 24 * time.Hour       // before its making that a CA is valid, for clients whose clock is behind

	blockCert = "CERTIFICATE"
	blockKey  = "PRIVATE KEY"
)

// authority is the own CA.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// openAuthority reads the CA, and makes it where a first start did not come to
// its end. Returns CodeConflict when there is one that cannot be used.
func openAuthority(f folder, now time.Time) (*authority, error) {
	keyPEM, err := f.readKey(caKeyFile)
	if err != nil {
		return nil, err
	}
	certPEM, err := f.read(caCertFile)
	if err != nil {
		return nil, err
	}
	served, err := f.read(serverFile)
	if err != nil {
		return nil, err
	}
	switch {
	// The order of writing makes these two impossible after a kill: somebody
	// removed a file, and there are clients that know the certificate.
	case keyPEM == nil && (certPEM != nil || served != nil):
		return nil, f.damaged(caKeyFile, "missing", nil)
	case certPEM == nil && served != nil:
		return nil, f.damaged(caCertFile, "missing", nil)
	}
	key, err := f.authorityKey(keyPEM)
	if err != nil {
		return nil, err
	}
	if certPEM == nil {
		return f.makeAuthority(key, now)
	}
	a := &authority{key: key}
	if a.cert, err = parseCert(certPEM); err != nil {
		return nil, f.damaged(caCertFile, "damaged", err)
	}
	if err := a.check(); err != nil {
		return nil, f.damaged(caCertFile, "of no use", err)
	}
	if now.After(a.cert.NotAfter) {
		return nil, f.damaged(caCertFile, "over since "+a.cert.NotAfter.Format(time.DateOnly), nil)
	}
	if now.Add(caNotice).After(a.cert.NotAfter) {
		f.log.Warn("certificate authority ends within a year", "until", a.cert.NotAfter)
	}
	if now.Before(a.cert.NotBefore) {
		f.log.Warn("certificate authority is not valid yet, see to the clock", "from", a.cert.NotBefore)
	}
	return a, nil
}

// authorityKey reads the CA's key, or makes one when there is none.
func (f folder) authorityKey(keyPEM []byte) (crypto.Signer, error) {
	if keyPEM != nil {
		key, err := parseKey(keyPEM)
		if err != nil {
			return nil, f.damaged(caKeyFile, "damaged", err)
		}
		return key, nil
	}
	key, b, err := newKey()
	if err != nil {
		return nil, err
	}
	return key, f.write(caKeyFile, b, 0o600)
}

func (f folder) makeAuthority(key crypto.Signer, now time.Time) (*authority, error) {
	id, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("make certificate authority: %w", err)
	}
	sum := sha256.Sum256(id)
	t := &x509.Certificate{
		// The name tells two hosts' authorities apart in a list of trusted ones.
		Subject:               pkix.Name{CommonName: "lodge CA " + hex.EncodeToString(sum[:4])},
		NotBefore:             now.Add(-caOverlap),
		NotAfter:              now.AddDate(caYears, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make certificate authority: %w", err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make certificate authority: %w", err)
	}
	b := pem.EncodeToMemory(&pem.Block{Type: blockCert, Bytes: der})
	if err := f.write(caCertFile, b, 0o644); err != nil {
		return nil, err
	}
	f.log.Info("certificate authority made", "path", f.path(caCertFile), "until", c.NotAfter)
	return &authority{cert: c, key: key}, nil
}

// check tells why the two halves make no CA.
func (a *authority) check() error {
	pub, ok := a.cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !pub.Equal(a.key.Public()) {
		return errors.New("certificate and key do not belong together")
	}
	if !a.cert.BasicConstraintsValid || !a.cert.IsCA {
		return errors.New("not the certificate of an authority")
	}
	// The last bits of the file are the signature, which nothing else looks at.
	return a.cert.CheckSignatureFrom(a.cert)
}

func (f folder) damaged(name, how string, cause error) error {
	e := cloud.Errorf(cloud.CodeConflict,
		"The certificate authority's file %s is %s; restore it from a backup, or move the folder %s away to get a new authority, which every client then has to accept again.",
		f.path(name), how, f.dir)
	e.Cause = cause
	return e
}

// newKey makes a key, with its PEM.
func newKey() (crypto.Signer, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("make key: %w", err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: blockKey, Bytes: der}), nil
}

func parseKey(b []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != blockKey {
		return nil, errors.New("no PEM block " + blockKey)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("not a key to sign with")
	}
	return signer, nil
}

func parseCert(b []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != blockCert {
		return nil, errors.New("no PEM block " + blockCert)
	}
	return x509.ParseCertificate(block.Bytes)
}

package pin

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"strings"
)

// What goes wrong, for errors.Is. Each comment says when it is returned.
var (
	ErrAddress     = errors.New("pin: not an address")          // the address is not host:port
	ErrUnreachable = errors.New("pin: no connection")           // nobody answers there, or not in time
	ErrNoTLS       = errors.New("pin: no TLS")                  // somebody answers, and not as TLS 1.2 or later demands
	ErrNoCA        = errors.New("pin: no authority")            // the server sends no authority of its own to pin
	ErrChain       = errors.New("pin: broken chain")            // the certificate is not by that authority, over or not for servers
	ErrName        = errors.New("pin: certificate for another") // the certificate is not for the host asked for
	ErrPEM         = errors.New("pin: no certificate")          // the bytes hold no certificate authority in PEM
)

// Error is what this package returns: its kind for programs, a sentence for
// people, the cause for whoever looks deeper.
type Error struct {
	Kind    error // one of the above
	Message string
	Cause   error // may be nil
}

func (e *Error) Error() string { return e.Message }

// Unwrap gives the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

// Config gives a client's configuration that believes servers whose certificate
// is by the authority in caPEM, and no others: the system's are not asked. With
// bytes that hold none it believes nobody; Parse tells so beforehand.
func Config(caPEM []byte) *tls.Config {
	roots := x509.NewCertPool()
	if ca, err := Parse(caPEM); err == nil {
		roots.AddCert(ca)
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// Parse gives the authority in caPEM, which is its first certificate. Returns
// ErrPEM when there is none.
func Parse(caPEM []byte) (*x509.Certificate, error) {
	for rest := caPEM; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, &Error{Kind: ErrPEM, Message: "There is no certificate in PEM; give the file that the operator of lodge hands out."}
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		ca, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, &Error{Kind: ErrPEM, Cause: err, Message: "The certificate is damaged; get it anew from the operator of lodge."}
		}
		if !isAuthority(ca) {
			return nil, &Error{Kind: ErrPEM, Message: "The certificate is not one of an authority; give the file that the operator of lodge hands out."}
		}
		return ca, nil
	}
}

// isAuthority reports whether a certificate is one of an authority that vouches
// for itself.
func isAuthority(c *x509.Certificate) bool {
	return c.BasicConstraintsValid && c.IsCA && c.CheckSignatureFrom(c) == nil
}

// Fingerprint gives the SHA-256 of a certificate in lower-case hexadecimal with
// colons, as lodged shows it.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	parts := make([]string, len(sum))
	for i := range sum {
		parts[i] = hex.EncodeToString(sum[i : i+1])
	}
	return strings.Join(parts, ":")
}

package pin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
)

// fetchTime is what a handshake may take when the caller's context has no
// earlier end.
const fetchTime = 15 * time.Second

// maxNames of a certificate are told in an error.
const maxNames = 10

// Offer is what a server shows of itself. Nothing in it is proven but that the
// server has the key to Leaf: whoever sits in between could show another.
type Offer struct {
	Host        string            // as asked for, and Leaf is for it
	CAPEM       []byte            // the authority, for Config
	Fingerprint string            // of the authority, for people to compare
	CA          *x509.Certificate // the authority
	Leaf        *x509.Certificate // the server's own certificate, by CA
}

// Fetch makes one handshake with the server at addr, host:port, and gives the
// authority that the server sends with its certificate. It believes nobody, and
// sends nothing but the handshake. Returns an *Error whose kind is ErrAddress,
// ErrUnreachable, ErrNoTLS, ErrNoCA, ErrChain or ErrName.
func Fetch(ctx context.Context, addr string) (Offer, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" || port == "" {
		return Offer{}, &Error{Kind: ErrAddress, Cause: err, Message: fmt.Sprintf("%q is no address of a server; give it as host:port.", addr)}
	}
	chain, err := handshake(ctx, addr, host)
	if err != nil {
		return Offer{}, err
	}
	return offer(host, addr, chain)
}

// handshake gives the certificates that a server sends.
func handshake(ctx context.Context, addr, host string) ([]*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, &Error{Kind: ErrUnreachable, Cause: err, Message: unreachable(addr, err)}
	}
	defer conn.Close()
	// Unverified on purpose: what it is to be verified against comes with it.
	// offer verifies the chain afterwards.
	c := tls.Client(conn, &tls.Config{
		ServerName:         host,
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"h2", "http/1.1"},
		InsecureSkipVerify: true,
	})
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, handshakeError(ctx, addr, err)
	}
	return c.ConnectionState().PeerCertificates, nil
}

func unreachable(addr string, err error) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return fmt.Sprintf("The host name in %s cannot be resolved; check how it is written.", addr)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("Nothing listens at %s; check the port and that lodged runs.", addr)
	}
	return fmt.Sprintf("There is no answer from %s; check the address and the network.", addr)
}

func handshakeError(ctx context.Context, addr string, err error) error {
	var notTLS tls.RecordHeaderError
	e := &Error{Kind: ErrNoTLS, Cause: err}
	switch {
	case ctx.Err() != nil:
		e.Kind, e.Message = ErrUnreachable, fmt.Sprintf("The server at %s did not answer in time; check the address and the network.", addr)
	case errors.As(err, &notTLS) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET):
		e.Message = fmt.Sprintf("The server at %s does not speak TLS; check the port, or use http:// if lodged serves without TLS.", addr)
	default:
		e.Message = fmt.Sprintf("The server at %s refuses the TLS handshake; ask its operator which names and versions it serves.", addr)
	}
	return e
}

// offer judges the certificates that a server sent.
func offer(host, addr string, chain []*x509.Certificate) (Offer, error) {
	leaf, ca := chain[0], chain[len(chain)-1]
	if !isAuthority(ca) {
		return Offer{}, &Error{Kind: ErrNoCA, Message: fmt.Sprintf(
			"The server at %s sends no certificate authority of its own to accept; ask its operator for the authority's certificate.", addr)}
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(ca)
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between}); err != nil {
		return Offer{}, &Error{Kind: ErrChain, Cause: err, Message: broken(addr, err)}
	}
	if err := leaf.VerifyHostname(host); err != nil {
		return Offer{}, &Error{Kind: ErrName, Cause: err, Message: fmt.Sprintf(
			"The certificate of %s is not for %s but for %s; use one of these, or ask the operator to add yours.", addr, host, strings.Join(names(leaf), ", "))}
	}
	return Offer{
		Host:        host,
		CAPEM:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}),
		Fingerprint: Fingerprint(ca),
		CA:          ca,
		Leaf:        leaf,
	}, nil
}

// broken says why a certificate is not good under the authority that comes with it.
func broken(addr string, err error) string {
	var stranger x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &stranger):
		return fmt.Sprintf("The certificate of %s is by another authority than the one that comes with it; ask its operator to put the chain right.", addr)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("The certificate of %s is over or not valid yet; check this machine's clock, and ask its operator.", addr)
	}
	return fmt.Sprintf("The certificate of %s is not valid under the authority that comes with it; ask its operator to put it right.", addr)
}

// names gives the hosts of a certificate. They come from a stranger and end up
// on a terminal, so what is no plain name is quoted.
func names(c *x509.Certificate) []string {
	var out []string
	for _, n := range c.DNSNames {
		if q := fmt.Sprintf("%q", n); q != `"`+n+`"` {
			n = q
		}
		out = append(out, n)
	}
	for _, ip := range c.IPAddresses {
		out = append(out, ip.String())
	}
	if len(out) == 0 {
		out = []string{"no host at all"}
	}
	if more := len(out) - maxNames; more > 0 {
		out = append(out[:maxNames], fmt.Sprintf("%d more", more))
	}
	return out
}

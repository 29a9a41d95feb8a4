package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"strings"
	"time"

	"lodge/cert/pin"
)

// trust gives the authority to believe, "" for the system's. A new one is a
// person's choice, or the fingerprint's.
func (a *app) trust(ctx context.Context, w way, fingerprint string) (ca string, err error) {
	u, err := url.Parse(w.url)
	if err != nil {
		return "", err
	}
	want, err := readFingerprint(fingerprint)
	if err != nil {
		return "", err
	}
	if u.Scheme != "https" {
		if want != "" {
			return "", usagef("--fingerprint is for https; %s has no certificate.", w.url)
		}
		return "", nil
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	addr := net.JoinHostPort(u.Hostname(), port)
	if want == "" && a.systemTrusts(ctx, addr) {
		return "", nil
	}
	offer, err := pin.Fetch(ctx, addr)
	if err != nil {
		return "", offerError(err)
	}
	sum, _ := readFingerprint(offer.Fingerprint)
	before, parseErr := pin.Parse([]byte(w.ca))
	switch {
	case want != "" && want != sum:
		return "", refusedf("%s has not the fingerprint you gave but %s; ask its operator which is right, and do not log in until then.", addr, offer.Fingerprint)
	case want != "":
		return string(offer.CAPEM), nil
	case parseErr == nil && before.Equal(offer.CA):
		return w.ca, nil
	case parseErr == nil:
		return "", codedError{exitRefused, w.otherAuthority()}
	}
	return string(offer.CAPEM), a.acceptOffer(ctx, addr, offer)
}

// systemTrusts reports whether the authorities of this machine vouch for addr.
func (a *app) systemTrusts(ctx context.Context, addr string) bool {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: &tls.Config{RootCAs: a.roots, MinVersion: tls.VersionTLS12}}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// readFingerprint gives a fingerprint without its colons.
func readFingerprint(s string) (string, error) {
	sum := strings.ToLower(strings.TrimSpace(s))
	sum = strings.ReplaceAll(strings.TrimPrefix(sum, "sha256:"), ":", "")
	if s != "" && (len(sum) != 64 || strings.Trim(sum, "0123456789abcdef") != "") {
		return "", usagef("--fingerprint %q is none; it has 64 hexadecimal digits, as lodged shows it at its first start.", s)
	}
	return sum, nil
}

func offerError(err error) error {
	var e *pin.Error
	switch {
	case !errors.As(err, &e):
		return err
	case errors.Is(err, pin.ErrAddress):
		return usageError{e.Message}
	case errors.Is(err, pin.ErrUnreachable), errors.Is(err, pin.ErrNoTLS):
		return codedError{exitUnavailable, e.Message}
	}
	return codedError{exitRefused, e.Message}
}

// acceptOffer asks whether an authority that nobody has seen before is the right
// one.
func (a *app) acceptOffer(ctx context.Context, addr string, offer pin.Offer) error {
	if !a.ttyIn {
		return usagef("%s has a certificate authority of its own, and there is no terminal to ask on whether it is the right one; give its --fingerprint, which lodged shows at its first start.", addr)
	}
	a.note("%s has a certificate authority of its own, which is new to this machine.", addr)
	a.note("  host         %s\n  fingerprint  %s", offer.Host, offer.Fingerprint)
	a.note("lodged has shown the fingerprint at its first start; where another one is shown here, somebody sits in between.")
	answer, err := a.ask(ctx, "Is it the same? [yes/no] ")
	if err != nil {
		return err
	}
	if answer := strings.ToLower(answer); answer != "yes" && answer != "y" {
		return codedError{exitError, "Nobody is logged in, and nothing was saved."}
	}
	return nil
}

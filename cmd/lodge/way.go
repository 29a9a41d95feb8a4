package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"lodge/api/client"
	"lodge/api/wire"
	"lodge/cert/pin"
)

// way is how lodged is reached, and as whom.
type way struct {
	socket  string // "" for a URL
	url     string
	ca      string // PEM; "": the system's authorities
	token   string
	tenant  string
	context string // that says so; "" for the environment
	current bool   // the context is
	// passedOver says that there are contexts and none is current.
	passedOver bool
	expires    wire.Time
}

// choose finds the way. The nearest word wins: a socket, a context, a URL in the
// environment, the current context, the socket of this host.
func (a *app) choose(ctx context.Context) (way, error) {
	if socket := cmp.Or(a.socket, a.getenv("LODGE_SOCKET")); socket != "" {
		if a.context != "" {
			return way{socket: socket}, usagef("--context goes without a socket; leave --socket out and unset LODGE_SOCKET.")
		}
		return way{socket: socket}, nil
	}
	name := cmp.Or(a.context, a.getenv("LODGE_CONTEXT"))
	if target := a.getenv("LODGE_URL"); name == "" && target != "" {
		return a.wayOfEnvironment(ctx, target)
	}
	all, err := a.readContexts()
	if err != nil {
		return way{}, err
	}
	if name = cmp.Or(name, all.Current); name == "" {
		return way{socket: a.ownSocket(), passedOver: len(all.Contexts) > 0}, nil
	}
	c, err := all.find(name)
	if err != nil {
		return way{}, err
	}
	if c.URL == "" {
		return way{}, a.brokenContext(name, "it has no url")
	}
	return way{url: c.URL, ca: c.CA, token: c.Token, tenant: c.Tenant, context: name, current: name == all.Current, expires: c.ExpiresAt}, nil
}

func (a *app) ownSocket() string {
	pretend := filepath.Join(a.home, ".local", "share", "lodge-sim", "lodge.sock")
	real := cmp.Or(a.real, defaultSocket)
	if !exists(real) && exists(pretend) {
		return pretend
	}
	return real
}

func (a *app) wayOfEnvironment(ctx context.Context, target string) (way, error) {
	w := way{url: target, token: strings.TrimSpace(a.getenv("LODGE_TOKEN"))}
	if w.token == "" {
		return w, usagef("LODGE_URL is set and LODGE_TOKEN is not; set both, or neither and run `lodge login`.")
	}
	if !goodToken(w.token) {
		return w, usagef("LODGE_TOKEN is no token: it has a blank, a line break or a character that no token has; set it to the token alone.")
	}
	path := a.getenv("LODGE_CA")
	if path == "" {
		return w, nil
	}
	b, err := readFile(ctx, path, keyFileMost)
	if errors.Is(err, errUnanswered) {
		return w, err
	}
	if err != nil {
		return w, usagef("LODGE_CA: %v.", err)
	}
	if _, err := pin.Parse(b); err != nil {
		return w, usagef("LODGE_CA: %v", err)
	}
	w.ca = string(b)
	return w, nil
}

// goodToken reports whether a token can stand in a header.
func goodToken(token string) bool {
	return token != "" && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
}

// stranger says that what answers is no lodged.
func (w way) stranger() error {
	return codedError{exitError, fmt.Sprintf("What answers at %s is no lodged, or one that this lodge does not understand; check the URL. Nobody is logged in, and nothing was saved.", w.url)}
}

// client is a client for who was settled on.
func (a *app) client() (*client.Client, error) {
	if a.wayErr != nil {
		return nil, a.wayErr
	}
	if a.way.passedOver {
		a.way.passedOver = false // once is enough
		a.note("No context is current, so lodged on this host is asked; `lodge context use NAME` chooses one of those in %s.", a.contextFile())
	}
	if a.way.socket == "" && a.way.token == "" {
		return nil, refusedf("You are not logged in at %s; run `%s`.", a.way.url, a.way.login())
	}
	return a.connect(a.way)
}

// connect makes a client for the way; it need not have a token.
func (a *app) connect(w way) (*client.Client, error) {
	agent := client.WithUserAgent("lodge/" + version)
	if w.socket != "" {
		target := w.socket
		if !strings.Contains(target, "://") {
			target = "unix://" + target // a relative path is a socket too
		}
		c, err := client.New(target, agent)
		if err != nil {
			return nil, usagef("--socket: %v.", err)
		}
		return c, nil
	}
	c, err := client.New(w.url, agent, client.WithToken(w.token), client.WithCA([]byte(w.ca)), client.WithTenant(a.tenant))
	if err != nil && w.context != "" {
		return nil, a.brokenContext(w.context, err.Error())
	}
	if err != nil {
		return nil, usagef("The URL of lodged: %v.", err)
	}
	return c, nil
}

// brokenContext says what is wrong with a context, and where.
func (a *app) brokenContext(name, why string) error {
	return codedError{exitError, fmt.Sprintf("The context %s in %s cannot be used: %s; put it right, or run `lodge context delete %s` and log in again.", name, a.contextFile(), why, name)}
}

// login is the command that renews the way.
func (w way) login() string {
	cmd := "lodge login " + w.url
	if w.context != "" && !w.current {
		cmd += " --context " + w.context
	}
	return cmd
}

// loginAgain says why lodged does not know the caller any more.
func (w way) loginAgain(now time.Time) string {
	switch {
	case w.context == "":
		return fmt.Sprintf("lodged at %s does not take the token in LODGE_TOKEN; set another one, or unset LODGE_URL and run `%s`.", w.url, w.login())
	case !w.expires.IsZero() && !now.Before(w.expires.Time):
		return fmt.Sprintf("Your session at %s has ended; log in again with `%s`.", w.url, w.login())
	}
	return fmt.Sprintf("lodged at %s does not take the token of the context %s any more; log in again with `%s`.", w.url, w.context, w.login())
}

// broken says why no answer came from a URL.
func (w way) broken(call *url.Error) (code int, text string) {
	var stranger x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var bad *tls.CertificateVerificationError
	switch {
	case errors.As(call, &stranger) && w.ca != "":
		return exitRefused, w.otherAuthority()
	case errors.As(call, &stranger):
		return exitRefused, fmt.Sprintf("The certificate of %s is by no authority that this machine knows; run `%s` to look at it, or name the authority's file with LODGE_CA.", w.url, w.login())
	case errors.As(call, &name):
		return exitRefused, fmt.Sprintf("The certificate at %s is for another host; use the name or address that it is for, or ask the operator to add yours.", w.url)
	case errors.As(call, &invalid) && invalid.Reason == x509.Expired:
		return exitRefused, fmt.Sprintf("The certificate of %s is over or not valid yet; check this machine's clock, and ask its operator.", w.url)
	case errors.As(call, &bad):
		return exitRefused, fmt.Sprintf("The certificate of %s is not good: %v.", w.url, bad.Err)
	case errors.Is(call, syscall.ECONNREFUSED):
		return exitUnavailable, fmt.Sprintf("Nobody answers at %s; check the port and that lodged runs.", w.url)
	}
	return exitUnavailable, fmt.Sprintf("lodged cannot be reached at %s: %v.", w.url, call.Err)
}

// otherAuthority says that the pin does not hold.
func (w way) otherAuthority() string {
	what := "than the one you accepted"
	todo := fmt.Sprintf("run `%s --fingerprint SUM` with it", w.login())
	if w.context == "" {
		what, todo = "than the one in LODGE_CA", "get its certificate anew"
	}
	return fmt.Sprintf("%s shows another certificate authority %s: lodged was set up anew, or somebody sits in between; ask the operator for the fingerprint, and %s.", w.url, what, todo)
}

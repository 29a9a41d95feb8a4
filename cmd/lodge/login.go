package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lodge/api/client"
	"lodge/api/wire"
	"lodge/cert/pin"
)

// loginFlags are what a login is told. The tenant and the context are the root's
// flags, taken only when they are given: the login makes what they would choose.
type loginFlags struct {
	user, fingerprint         string
	passwordStdin, tokenStdin bool
	tenant, context           string

	oidc, device, noBrowser bool
	callbackPort            int
}

func (a *app) loginCommand() *cobra.Command {
	var f loginFlags
	cmd := &cobra.Command{
		Use: "login URL", Short: "Log in to a lodged and make it the current context",
		Long: "login makes a session, or takes a token that somebody gave you, and keeps it in a context of the file\n" +
			"~/.config/lodge/config.yaml, which only you can read.\n\n" +
			"A lodged with a certificate authority of its own shows the fingerprint of that at its first start. login\n" +
			"shows it too and asks; a script gives it with --fingerprint. From then on that authority is believed and no\n" +
			"other. A password is asked for or read from standard input, and never taken from the command line.\n\n" +
			"With --oidc the login is at the identity provider of lodged, in a browser of this machine; with --device in\n" +
			"one of any other.",
		Example: `  lodge login https://lodge.example:8443 --user ada
  lodge login https://lodge.example:8443 --user ada --fingerprint SUM --password-stdin < password
  lodge login https://lodge.example:8443 --oidc
  lodge login https://lodge.example:8443 --context ci --token-stdin < token`,
		Args: takes(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.tenant, f.context = "", a.context
			if cmd.Flags().Changed("tenant") {
				f.tenant = a.tenant
			}
			return a.login(cmd.Context(), strings.TrimRight(args[0], "/"), f)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&f.user, "user", "", "log in as (asked for otherwise)")
	fs.StringVar(&f.fingerprint, "fingerprint", "", "fingerprint that lodged's certificate authority must have")
	fs.BoolVar(&f.passwordStdin, "password-stdin", false, "read the password from standard input, one line")
	fs.BoolVar(&f.tokenStdin, "token-stdin", false, "read a token from standard input, one line, in place of a password")
	fs.BoolVar(&f.oidc, "oidc", false, "log in at the identity provider, in a browser of this machine")
	fs.BoolVar(&f.device, "device", false, "log in at the identity provider, in a browser of another machine")
	fs.BoolVar(&f.noBrowser, "no-browser", false, "with --oidc: only print the page, and open no browser")
	fs.IntVar(&f.callbackPort, "callback-port", 0, "with --oidc: port of this machine that the browser comes back to (default any)")
	return cmd
}

func (a *app) login(ctx context.Context, target string, f loginFlags) error {
	if f.tokenStdin && (f.passwordStdin || f.user != "") {
		return usagef("--token-stdin goes without --user and --password-stdin: the token says who you are.")
	}
	if err := f.checkOIDC(); err != nil {
		return err
	}
	target, err := a.plainURL(target)
	if err != nil {
		return err
	}
	all, err := a.readContexts()
	if err != nil {
		return err
	}
	name, err := all.nameFor(target, f.context)
	if err != nil {
		return err
	}
	known := all.known(target, name)
	a.tenant = f.tenant
	a.way = way{url: target, ca: known.CA, context: name, current: f.context == ""}
	if a.way.ca, err = a.trust(ctx, a.way, f.fingerprint); err != nil {
		return err
	}
	made, err := a.identify(ctx, known, f)
	if err != nil {
		return err
	}
	made.URL, made.CA = target, a.way.ca
	var view contextView
	err = a.changeContexts(func(all *contexts) error {
		if _, err := all.nameFor(target, name); err != nil { // made meanwhile
			return err
		}
		all.Contexts[name], all.Current = &made, name
		view = a.view(all, name)
		return nil
	})
	if err != nil {
		return err
	}
	for _, env := range []string{"LODGE_SOCKET", "LODGE_CONTEXT", "LODGE_URL"} {
		if v := a.getenv(env); v != "" && (env != "LODGE_CONTEXT" || v != name) {
			a.note("%s is set and goes before the current context; unset it to use this one.", env)
		}
	}
	return a.print(view, func() writer { return line(a.loggedIn(view)) })
}

// plainURL is the URL of lodged as every context has it, and refuses what is none
// before anything is asked or sent. Letters of scheme and host have no case: the
// same lodged must not be two.
func (a *app) plainURL(target string) (string, error) {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" {
		return "", usagef("Give the URL of lodged, as https://lodge.example:8443.")
	}
	c, err := a.connect(way{url: target})
	if err != nil {
		return "", err
	}
	c.Close()
	return u.Scheme + "://" + strings.ToLower(u.Host) + u.EscapedPath(), nil
}

func (a *app) loggedIn(v contextView) string {
	text := "Logged in at " + v.URL
	if v.User != "" {
		text += " as " + v.User
	}
	if v.Tenant != "" {
		text += " for the tenant " + v.Tenant
	}
	if !v.ExpiresAt.IsZero() {
		text += " until " + a.until(v.ExpiresAt)
	}
	return text + "; the context " + v.Name + " is current."
}

// known is what there is of a context. A new one believes the authority that
// another one at the same URL does.
func (f *contexts) known(target, name string) place {
	if c := f.Contexts[name]; c != nil {
		return *c
	}
	p := place{URL: target}
	for _, c := range f.Contexts {
		if c.URL == target && c.CA != "" && (p.CA == "" || c == f.Contexts[f.Current]) {
			p.CA = c.CA
		}
	}
	return p
}

// nameFor is the context that a login at target is for: the one that is named,
// else one that has the URL already, the current before others, else one by the
// host's name.
func (f *contexts) nameFor(target, named string) (string, error) {
	if named == "" {
		var same []string
		for name, c := range f.Contexts {
			if c.URL == target {
				same = append(same, name)
			}
		}
		switch {
		case slices.Contains(same, f.Current):
			return f.Current, nil
		case len(same) == 1:
			return same[0], nil
		case len(same) > 1:
			slices.Sort(same)
			return "", usagef("The contexts %s are at %s; say which with --context.", join(same), target)
		}
		u, err := url.Parse(target)
		if err != nil || u.Host == "" {
			return "", usagef("Give the URL of lodged, as https://lodge.example:8443.")
		}
		named = u.Host
	}
	if err := checkContextName(named); err != nil {
		return "", err
	}
	if c := f.Contexts[named]; c != nil && c.URL != target {
		return "", refusedf("The context %s is at %s; choose another name with --context, or delete it first.", named, c.URL)
	}
	return named, nil
}

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

// identify gets a token and says for whom and which tenant it is.
func (a *app) identify(ctx context.Context, known place, f loginFlags) (place, error) {
	if f.tokenStdin {
		return a.takeToken(ctx, f.tenant)
	}
	c, err := a.connect(a.way)
	if err != nil {
		return place{}, err
	}
	defer c.Close()
	var s wire.Session
	if f.oidc || f.device {
		s, err = a.signOn(ctx, c, f)
	} else {
		s, err = a.passwordLogin(ctx, c, f)
	}
	if client.IsUnauthorized(err) {
		return place{}, codedError{exitRefused, err.Error()} // and not that the session has ended
	}
	if err != nil {
		return place{}, err
	}
	if known.User != s.User.Name {
		known.Tenant = ""
	}
	made := place{User: s.User.Name, Token: s.Token, ExpiresAt: s.ExpiresAt}
	if made.Tenant, err = a.homeTenant(s.User, f.tenant, known.Tenant); err != nil {
		a.dropSession(ctx, s)
		return place{}, err
	}
	return made, nil
}

func (a *app) passwordLogin(ctx context.Context, c *client.Client, f loginFlags) (s wire.Session, err error) {
	if f.user == "" {
		if !a.ttyIn {
			return s, usagef("Say --user, for there is no terminal to ask on.")
		}
		if f.user, err = a.ask(ctx, "User: "); err != nil {
			return s, err
		}
		if f.user == "" {
			return s, usagef("The user is empty.")
		}
	}
	password, err := a.password(ctx, "Password: ", f.passwordStdin)
	if err != nil {
		return s, err
	}
	return c.Login(ctx, wire.Login{User: f.user, Password: password})
}

// homeTenant is the tenant that a context is for: the one that is named, the one
// it was for before, the only one. An operator needs none.
func (a *app) homeTenant(u wire.User, named, before string) (string, error) {
	in := func(tenant string) bool {
		return u.Operator || slices.ContainsFunc(u.Memberships, func(m wire.Membership) bool { return m.TenantName == tenant || m.TenantID == tenant })
	}
	names := make([]string, 0, len(u.Memberships))
	for _, m := range u.Memberships {
		names = append(names, m.TenantName)
	}
	switch {
	case named != "" && !in(named):
		return "", notFoundf("%s is in no tenant %s; ask an admin of it for `lodge member add`.", u.Name, shown(named))
	case named != "":
		return named, nil
	case before != "" && in(before):
		return before, nil
	case u.Operator:
		return "", nil
	case len(names) == 1:
		return names[0], nil
	case len(names) == 0:
		a.note("%s is in no tenant yet; an admin of one has to run `lodge member add %s`.", u.Name, u.Name)
		return "", nil
	}
	return "", usagef("%s is in the tenants %s; say with --tenant which one this context is for.", u.Name, join(names))
}

// dropSession ends a session that is not kept, if it can.
func (a *app) dropSession(ctx context.Context, s wire.Session) {
	w := a.way
	w.token = s.Token
	a.tenant = ""
	if len(s.User.Memberships) > 0 {
		a.tenant = s.User.Memberships[0].TenantID
	}
	if c, err := a.connect(w); err == nil {
		_ = c.Logout(ctx)
		c.Close()
	}
}

// takeToken keeps a token that was given, when lodged takes it.
func (a *app) takeToken(ctx context.Context, tenant string) (place, error) {
	token, err := a.lineOf("token")
	if err != nil {
		return place{}, err
	}
	w := a.way
	w.token = strings.TrimSpace(token)
	c, err := a.connect(w)
	if err != nil {
		return place{}, err
	}
	defer c.Close()
	me, err := c.Whoami(ctx)
	if client.IsUnauthorized(err) {
		return place{}, codedError{exitRefused, err.Error()}
	}
	if err != nil {
		return place{}, err
	}
	if tenant == "" && !me.Operator {
		tenant = me.TenantID
		for _, m := range me.Memberships {
			if m.TenantID == me.TenantID {
				tenant = m.TenantName
			}
		}
	}
	return place{User: me.UserName, Token: w.token, Tenant: tenant}, nil
}

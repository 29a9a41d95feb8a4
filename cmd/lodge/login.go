package main

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
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
	if err := a.contextsKeepable(); err != nil { // and not after a session is open
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
		if !f.tokenStdin {
			a.dropSession(ctx, made.Token, made.Tenant)
		}
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

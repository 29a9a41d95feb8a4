package main

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	"lodge/api/client"
	"lodge/api/wire"
)

// callbackPath is where the browser comes back to; lodged takes no other.
const callbackPath = "/callback"

// checkOIDC refuses flags that say two things.
func (f loginFlags) checkOIDC() error {
	switch {
	case (f.oidc || f.device) && (f.user != "" || f.passwordStdin || f.tokenStdin):
		return usagef("--oidc and --device go without --user, --password-stdin and --token-stdin: the identity provider says who you are.")
	case f.device && (f.noBrowser || f.callbackPort != 0):
		return usagef("--device goes without --no-browser and --callback-port: no browser comes back to this machine.")
	case !f.oidc && (f.noBrowser || f.callbackPort != 0):
		return usagef("--no-browser and --callback-port go with --oidc.")
	case f.callbackPort < 0 || f.callbackPort > 65535:
		return usagef("--callback-port %d: use 1 to 65535.", f.callbackPort)
	}
	return nil
}

// signOn logs in at the identity provider of lodged.
func (a *app) signOn(ctx context.Context, c *client.Client, f loginFlags) (wire.Session, error) {
	if f.device {
		return a.signOnElsewhere(ctx, c)
	}
	return a.signOnHere(ctx, c, f)
}

// signOnHere lets a browser of this machine come back with a code: RFC 8252.
func (a *app) signOnHere(ctx context.Context, c *client.Client, f loginFlags) (wire.Session, error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(f.callbackPort)))
	if err != nil {
		return wire.Session{}, codedError{exitError, fmt.Sprintf("The browser cannot come back to port %d: %v; choose another --callback-port, or use --device.", f.callbackPort, err)}
	}
	defer l.Close()
	begun, err := c.StartSignOn(ctx, wire.StartSignOn{RedirectURI: "http://" + l.Addr().String() + callbackPath})
	if err != nil {
		return wire.Session{}, err
	}
	if err := checkPage(begun.URL); err != nil {
		return wire.Session{}, err
	}
	a.note("Open this page in a browser of this machine to log in:\n\n  %s\n", begun.URL)
	if !f.noBrowser && a.browse != nil {
		a.browse(begun.URL)
	}
	code, err := a.awaitCode(ctx, l, begun)
	if err != nil {
		return wire.Session{}, err
	}
	s, still, err := c.FinishSignOn(ctx, wire.FinishSignOn{Login: begun.Login, State: begun.State, Code: code})
	if err == nil && still != nil {
		err = refusedf("lodged does not say whether the login is good; start it again.")
	}
	return s, err
}

// checkPage refuses what is no page to send a person to.
func checkPage(page string) error {
	u, err := url.Parse(page)
	if err == nil && u.Host != "" && u.User == nil && shown(page) == page {
		a, _ := netip.ParseAddr(u.Hostname())
		if u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || a.IsLoopback()) {
			return nil
		}
	}
	return refusedf("lodged names a page for the login that is not https: %s; ask its operator.", shown(page))
}

// awaitCode waits until the browser comes back.
func (a *app) awaitCode(ctx context.Context, l net.Listener, begun wire.SignOn) (string, error) {
	back := &callback{state: begun.State, got: make(chan url.Values, 1)}
	mux := http.NewServeMux()
	mux.Handle("GET "+callbackPath, back)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 32 << 10}
	server.SetKeepAlivesEnabled(false)
	go func() { _ = server.Serve(l) }()
	defer func() { // and let the page arrive
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = server.Shutdown(last)
	}()
	late := time.NewTimer(begun.ExpiresAt.Sub(a.now()))
	defer late.Stop()
	select {
	case q := <-back.got:
		if why := q.Get("error"); why != "" {
			return "", refusedf("The identity provider refuses the login (%s); try again, or ask its operator.", shown(why))
		}
		return q.Get("code"), nil
	case <-late.C:
		return "", waitf("Nobody has logged in in time; run lodge login again.")
	case <-ctx.Done():
		return "", errUnanswered
	}
}

// callback takes the one request that knows the state; any page can send others,
// and they shall not end the login.
type callback struct {
	state string
	got   chan url.Values
}

func (b *callback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	q := r.URL.Query()
	if subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(b.state)) != 1 || q.Get("code") == "" && q.Get("error") == "" {
		http.Error(w, "This is not the login that lodge waits for.", http.StatusBadRequest)
		return
	}
	select {
	case b.got <- q:
		fmt.Fprintln(w, "Go back to the terminal: lodge goes on there. This page may be closed.")
	default:
		http.Error(w, "The browser has come back already.", http.StatusConflict)
	}
}

// slowest is the longest time between two looks at a login on another machine.
const slowest = time.Minute

// signOnElsewhere lets a browser of any machine answer: RFC 8628.
func (a *app) signOnElsewhere(ctx context.Context, c *client.Client) (wire.Session, error) {
	begun, err := c.StartSignOn(ctx, wire.StartSignOn{Device: true})
	if err != nil {
		return wire.Session{}, err
	}
	if err := checkPage(begun.URL); err != nil {
		return wire.Session{}, err
	}
	a.note("Open this page in a browser of any machine:\n\n  %s\n\nand enter the code  %s\n", begun.URL, shown(begun.UserCode))
	if begun.WholeURL != "" && checkPage(begun.WholeURL) == nil {
		a.note("Or open this one, and look whether it shows the same code:\n\n  %s\n", begun.WholeURL)
	}
	wait := time.Duration(begun.IntervalSeconds) * time.Second
	for {
		look := time.NewTimer(max(wait, time.Second))
		select {
		case <-look.C:
		case <-ctx.Done():
			look.Stop()
			return wire.Session{}, errUnanswered
		}
		if !a.now().Before(begun.ExpiresAt.Time) {
			return wire.Session{}, waitf("Nobody has logged in in time; run lodge login again.")
		}
		s, still, err := c.FinishSignOn(ctx, wire.FinishSignOn{Login: begun.Login})
		switch {
		case err != nil && passing(err):
			wait = min(2*wait, slowest)
		case err != nil:
			return wire.Session{}, err
		case still == nil:
			return s, nil
		default:
			begun.Login, wait = still.Login, max(wait, time.Duration(still.IntervalSeconds)*time.Second)
		}
	}
}

// passing reports whether an error may be over at the next look.
func passing(err error) bool {
	switch client.CodeOf(err) {
	case "unavailable", "rate_limited", "locked_out":
		return true
	}
	var lost net.Error
	return errors.As(err, &lost) && lost.Timeout()
}

// openBrowser shows a page in the browser of whoever sits here, if there is one;
// the page is printed in any case.
func openBrowser(getenv func(string) string) func(page string) {
	return func(page string) {
		program := "xdg-open"
		switch {
		case runtime.GOOS == "darwin":
			program = "open"
		case getenv("DISPLAY") == "" && getenv("WAYLAND_DISPLAY") == "":
			return
		}
		cmd := exec.Command(program, page)
		if cmd.Start() == nil {
			go func() { _ = cmd.Wait() }()
		}
	}
}

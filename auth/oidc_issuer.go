package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"lodge/cloud"
)

const (
	issuerTime    = 10 * time.Second // for one request to the issuer
	issuerMaxBody = 1 << 20          // bytes of one of its answers

	lookAgain = 5 * time.Second // after an issuer that did not answer
	lookFresh = 24 * time.Hour  // after one that did: its endpoints may move
)

// issuer is what discovery told.
type issuer struct {
	provider *oidc.Provider
	keys     oidc.KeySet
	endpoint oauth2.Endpoint
}

// lookup is the last discovery.
type lookup struct {
	at    time.Time
	found *issuer // the last that was found, even when a later look failed
	err   error   // of the last look
}

// stands reports whether the lookup needs no repetition.
func (l lookup) stands(now time.Time) bool {
	limit := lookFresh
	if l.err != nil {
		limit = lookAgain
	}
	age := now.Sub(l.at)
	return !l.at.IsZero() && age >= 0 && age < limit // a clock that was set back repeats it
}

// issuer looks for the issuer unless it is known. One caller looks, others wait
// for it; after a failure all are told so for a few seconds, so that they do not
// queue before an issuer that is down.
func (o *OIDC) issuer(ctx context.Context, now time.Time) (*issuer, error) {
	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	case <-ctx.Done():
		return nil, o.away(ctx.Err())
	}
	if !o.look.stands(now) {
		found, err := o.discover(ctx)
		if err != nil && ctx.Err() != nil {
			return nil, o.away(err) // the caller went away, which says nothing about the issuer
		}
		o.look.at, o.look.err = now, err
		if err == nil {
			o.look.found = found
		}
	}
	if o.look.found != nil {
		return o.look.found, nil
	}
	return nil, o.away(o.look.err)
}

// Look asks the issuer who it is. Returns CodeUnavailable when it does not answer.
func (o *OIDC) Look(ctx context.Context, now time.Time) error {
	_, err := o.issuer(ctx, now)
	return err
}

// away is CodeUnavailable, with the sentence that fits the cause.
func (o *OIDC) away(cause error) error {
	var other *oidc.IssuerMismatchError
	if errors.As(cause, &other) {
		return cloud.Wrap(cloud.CodeUnavailable, cause, "The identity provider calls itself another issuer than %s; tell the operator.", o.o.Issuer)
	}
	return cloud.Wrap(cloud.CodeUnavailable, cause, "The identity provider %s does not answer as it should; try again later.", o.o.Issuer)
}

func (o *OIDC) discover(ctx context.Context) (*issuer, error) {
	ctx = oidc.ClientContext(ctx, o.client)
	p, err := oidc.NewProvider(ctx, o.o.Issuer)
	if err != nil {
		return nil, fmt.Errorf("discover %s: %w", o.o.Issuer, err)
	}
	var more struct {
		Keys    string   `json:"jwks_uri"`
		Methods []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := p.Claims(&more); err != nil {
		return nil, fmt.Errorf("discover %s: %w", o.o.Issuer, err)
	}
	e := p.Endpoint()
	urls := []string{e.AuthURL, e.TokenURL, more.Keys}
	if info := p.UserInfoEndpoint(); info != "" {
		urls = append(urls, info)
	}
	if e.DeviceAuthURL != "" {
		urls = append(urls, e.DeviceAuthURL)
	}
	for _, u := range urls {
		if !o.mayAsk(u) {
			return nil, fmt.Errorf("discover %s: endpoint %q is none to be trusted", o.o.Issuer, u)
		}
	}
	// Left to itself, the library would send a code twice to find out, and an
	// issuer may take the second time for a theft.
	e.AuthStyle = oauth2.AuthStyleInParams
	if o.o.ClientSecret != "" && (len(more.Methods) == 0 || slices.Contains(more.Methods, "client_secret_basic")) {
		e.AuthStyle = oauth2.AuthStyleInHeader
	}
	return &issuer{provider: p, endpoint: e, keys: oidc.NewRemoteKeySet(ctx, more.Keys)}, nil
}

// mayAsk refuses an endpoint that is less protected than the issuer itself.
func (o *OIDC) mayAsk(endpoint string) bool {
	of, err := url.Parse(o.o.Issuer)
	if err != nil {
		return false
	}
	u, err := url.Parse(endpoint)
	return err == nil && u.Host != "" && (u.Scheme == "https" || (u.Scheme == "http" && of.Scheme == "http"))
}

// checkIssuer returns CodeInvalid unless s is an https URL, or an http one on
// this machine.
func checkIssuer(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return cloud.Errorf(cloud.CodeInvalid, "The issuer %q is not a URL without user, query and fragment.", s)
	}
	if u.Scheme == "https" || (u.Scheme == "http" && onLoopback(u.Hostname())) {
		return nil
	}
	return cloud.Errorf(cloud.CodeInvalid, "The issuer %q is not https.", s)
}

func onLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && a.IsLoopback())
}

// keySet remembers whether the keys could not be had, which the library tells
// only in the text of its error.
type keySet struct {
	oidc.KeySet
	unreachable error
}

func (k *keySet) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, jwt)
	if err != nil && errors.Unwrap(err) != nil { // only a failed fetch has a cause
		k.unreachable = err
	}
	return payload, err
}

// boundedClient is c with a limit to the time and the bytes of an answer: the
// library reads whatever comes.
func boundedClient(c *http.Client) *http.Client {
	bounded := http.Client{}
	if c != nil {
		bounded = *c
	}
	if bounded.Timeout == 0 {
		bounded.Timeout = issuerTime
	}
	if bounded.Transport == nil {
		bounded.Transport = http.DefaultTransport
	}
	bounded.Transport = boundedTransport{bounded.Transport}
	return &bounded
}

type boundedTransport struct{ http.RoundTripper }

func (t boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, issuerMaxBody), resp.Body}
	return resp, nil
}

package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"lodge/cloud"
)

const (
	// LoginTime is how long somebody may take between Start and Finish.
	LoginTime = 10 * time.Minute

	clockSkew    = time.Minute // between lodge's clock and the issuer's
	maxCode      = 4 << 10     // bytes
	maxIDToken   = 64 << 10    // bytes
	maxSubject   = 255         // OpenID Connect Core section 2
	maxClaimText = 254         // bytes of a name, an address or a group
)

// algorithms may sign an ID token. What the issuer announces is not asked: "none"
// and the symmetric ones stay out whatever it says.
var algorithms = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512,
	oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA,
}

// OIDCOptions say which issuer is trusted and with which words.
type OIDCOptions struct {
	Issuer       string   // as the issuer writes it, https; http on a loopback address only
	ClientID     string   // what lodge is called there
	ClientSecret string   // "": a public client, which PKCE alone protects
	Scopes       []string // default openid, profile, email; openid is always asked for

	NameClaim      string   // default preferred_username, then a verified email
	GroupsClaim    string   // "": no groups are read
	AllowedDomains []string // of a verified email; empty: everybody the issuer knows

	RedirectURL string // one https URL beside the loopback ones of the command line; "" for none

	// StateKey seals what the client keeps between Start and Finish: 32 random
	// bytes that outlive a restart.
	StateKey []byte

	HTTPClient *http.Client // default one of its own; a Timeout of 0 becomes 10 s
}

// Person is somebody as the issuer knows them. Issuer and Subject together are
// who it is. Name, Email and Groups may change, and some issuers let people choose
// them: never find a user by them.
type Person struct {
	Issuer        string
	Subject       string
	Name          string // "" when the issuer tells none
	Email         string
	EmailVerified bool
	Groups        []string
}

// OIDC logs people in at one OpenID issuer. It is safe for use by many
// goroutines, and keeps nothing of a login on its way.
type OIDC struct {
	o      OIDCOptions
	client *http.Client
	seal   sealer

	turn chan struct{} // held by whoever reads or looks for the fields below
	look lookup
}

// NewOIDC makes the login at an issuer. The issuer is not asked before the first
// login, so that it may be down when lodge starts.
// Returns CodeInvalid for options that cannot work.
func NewOIDC(o OIDCOptions) (*OIDC, error) {
	if err := checkIssuer(o.Issuer); err != nil {
		return nil, err
	}
	if o.ClientID == "" {
		return nil, cloud.Errorf(cloud.CodeInvalid, "The OpenID client has no id; take the one that the issuer gave.")
	}
	if o.RedirectURL != "" {
		u, err := url.Parse(o.RedirectURL)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
			return nil, cloud.Errorf(cloud.CodeInvalid, "The redirect URL %q is not an https URL without user and fragment.", o.RedirectURL)
		}
	}
	if len(o.Scopes) == 0 {
		o.Scopes = []string{oidc.ScopeOpenID, "profile", "email"}
	}
	if !slices.Contains(o.Scopes, oidc.ScopeOpenID) {
		o.Scopes = append([]string{oidc.ScopeOpenID}, o.Scopes...)
	}
	seal, err := newSealer(o.StateKey, o.Issuer, o.ClientID)
	if err != nil {
		return nil, err
	}
	o.StateKey = nil
	return &OIDC{o: o, client: boundedClient(o.HTTPClient), seal: seal, turn: make(chan struct{}, 1)}, nil
}

// Pending is a login that has begun. The client keeps it to itself.
type Pending struct {
	Sealed    string // for Finish; says nothing to whoever has no key
	State     string // what the redirect must bring back
	ExpiresAt time.Time
}

// Start begins a login: the person opens authURL, and the issuer sends the browser
// on to redirectURI with a code and the state.
//
// Returns CodeInvalid for a redirectURI that is neither the configured one nor one
// of the command line's (RFC 8252 section 7.3), and CodeUnavailable when the issuer
// does not answer.
func (o *OIDC) Start(ctx context.Context, now time.Time, redirectURI string) (authURL string, p Pending, err error) {
	if err := o.checkRedirect(redirectURI); err != nil {
		return "", p, err
	}
	is, err := o.issuer(ctx, now)
	if err != nil {
		return "", p, err
	}
	in := pending{
		State:    rand.Text(),
		Nonce:    rand.Text(),
		Verifier: oauth2.GenerateVerifier(),
		Redirect: redirectURI,
		Expires:  now.Add(LoginTime).Unix(),
	}
	p = Pending{Sealed: o.seal.close(in), State: in.State, ExpiresAt: time.Unix(in.Expires, 0).UTC()}
	return o.config(is, redirectURI).AuthCodeURL(in.State, oidc.Nonce(in.Nonce), oauth2.S256ChallengeOption(in.Verifier)), p, nil
}

// Finish ends a login with what Start gave and the redirect brought.
//
// Returns CodeUnauthorized when the login is not one of lodge's, took too long, or
// the code or the token behind it is not good; CodeForbidden for somebody whose
// domain is not allowed; CodeUnavailable when the issuer does not answer.
func (o *OIDC) Finish(ctx context.Context, now time.Time, sealed, state, code string) (Person, error) {
	in, err := o.seal.open(now, sealed)
	if err != nil {
		return Person{}, err
	}
	if in.Device != "" || subtle.ConstantTimeCompare([]byte(state), []byte(in.State)) != 1 {
		return Person{}, cloud.Errorf(cloud.CodeUnauthorized, "The login that came back is not the one that was started; start again.")
	}
	if code == "" || len(code) > maxCode {
		return Person{}, cloud.Errorf(cloud.CodeUnauthorized, "The identity provider gave no code; start the login again.")
	}
	is, err := o.issuer(ctx, now)
	if err != nil {
		return Person{}, err
	}
	ctx = oidc.ClientContext(ctx, o.client)
	token, err := o.config(is, in.Redirect).Exchange(ctx, code, oauth2.VerifierOption(in.Verifier))
	if err != nil {
		return Person{}, o.exchangeError(err)
	}
	return o.holder(ctx, now, is, token, func(id *oidc.IDToken) error { return checkNonce(id, in.Nonce) })
}

// holder is the person whom the issuer has given the tokens for.
func (o *OIDC) holder(ctx context.Context, now time.Time, is *issuer, token *oauth2.Token, bound func(*oidc.IDToken) error) (Person, error) {
	raw, _ := token.Extra("id_token").(string)
	id, c, err := o.verify(ctx, now, is, raw)
	if err != nil {
		return Person{}, err
	}
	if err := bound(id); err != nil {
		return Person{}, err
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(token.AccessToken); err != nil {
			return Person{}, badToken(err)
		}
	}
	if c, err = o.complete(ctx, is, token, id, c); err != nil {
		return Person{}, err
	}
	return o.person(id.Subject, c)
}

// VerifyIDToken is the person whom an ID token is about. The nonce is that of the
// request which the token answers, and never empty. What the token does not tell
// stays empty; the issuer is asked for its keys only.
//
// Returns CodeUnauthorized for a token that is not good, CodeForbidden for
// somebody whose domain is not allowed, and CodeUnavailable when the issuer does
// not answer.
func (o *OIDC) VerifyIDToken(ctx context.Context, now time.Time, raw, nonce string) (Person, error) {
	is, err := o.issuer(ctx, now)
	if err != nil {
		return Person{}, err
	}
	id, c, err := o.verify(ctx, now, is, raw)
	if err != nil {
		return Person{}, err
	}
	if err := checkNonce(id, nonce); err != nil {
		return Person{}, err
	}
	return o.person(id.Subject, c)
}

func (o *OIDC) verify(ctx context.Context, now time.Time, is *issuer, raw string) (*oidc.IDToken, claims, error) {
	if raw == "" || len(raw) > maxIDToken {
		return nil, nil, badToken(errors.New("no ID token, or one that is too long"))
	}
	keys := &keySet{KeySet: is.keys}
	id, err := oidc.NewVerifier(o.o.Issuer, keys, &oidc.Config{
		ClientID:             o.o.ClientID,
		SupportedSigningAlgs: algorithms,
		Now:                  func() time.Time { return now.Add(-clockSkew) },
	}).Verify(ctx, raw)
	if keys.unreachable != nil {
		return nil, nil, o.away(keys.unreachable)
	}
	if err != nil {
		return nil, nil, badToken(err)
	}
	if id.Subject == "" || len(id.Subject) > maxSubject {
		return nil, nil, badToken(errors.New("no subject, or one that is too long"))
	}
	var c claims
	if err := id.Claims(&c); err != nil {
		return nil, nil, badToken(err)
	}
	// A token for several audiences may have been given to another of them:
	// OpenID Connect Core section 3.1.3.7, steps 4 and 5.
	azp, named := c["azp"]
	if (named && azp != o.o.ClientID) || (!named && len(id.Audience) > 1) {
		return nil, nil, badToken(errors.New("the token was given to another client"))
	}
	return id, c, nil
}

// checkNonce refuses a token that answers another request.
func checkNonce(id *oidc.IDToken, nonce string) error {
	if nonce == "" || subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(nonce)) != 1 {
		return badToken(errors.New("the nonce is another one"))
	}
	return nil
}

func badToken(cause error) error {
	return cloud.Wrap(cloud.CodeUnauthorized, cause, "The identity provider's token is not good for lodge, or not any more; start the login again.")
}

func (o *OIDC) config(is *issuer, redirectURI string) *oauth2.Config {
	return &oauth2.Config{
		ClientID:     o.o.ClientID,
		ClientSecret: o.o.ClientSecret,
		Endpoint:     is.endpoint,
		RedirectURL:  redirectURI,
		Scopes:       o.o.Scopes,
	}
}

// exchangeError tells a code that is not good from an issuer that has a problem.
func (o *OIDC) exchangeError(err error) error {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) || refused.Response == nil {
		return o.away(err)
	}
	status := refused.Response.StatusCode
	switch {
	case refused.ErrorCode == "invalid_client" || refused.ErrorCode == "unauthorized_client":
		return cloud.Wrap(cloud.CodeUnavailable, err, "The identity provider does not know lodge under its client id and secret; tell the operator.")
	case status >= 500 || status == http.StatusTooManyRequests:
		return o.away(err)
	}
	return cloud.Wrap(cloud.CodeUnauthorized, err, "The identity provider's code is not good, or not any more; start the login again.")
}

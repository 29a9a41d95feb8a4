package api

import (
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"lodge/api/wire"
	"lodge/cloud"
)

// signOn is CodeNotFound where nobody set an identity provider.
func (s *server) signOn(r *http.Request) (SignOn, error) {
	if q := parseQuery(r); q.err != nil {
		return nil, q.err
	}
	if s.SignOn == nil {
		return nil, cloud.Errorf(cloud.CodeNotFound, "This lodge has no single sign-on; log in with a password or a token.")
	}
	return s.SignOn, nil
}

func (s *server) getSignOn(w http.ResponseWriter, r *http.Request, _ cloud.Caller) error {
	on, err := s.signOn(r)
	if err != nil {
		return err
	}
	issuer, clientID := on.Provider()
	return reply(w, http.StatusOK, wire.SignOnProvider{Issuer: issuer, ClientID: clientID})
}

func (s *server) startSignOn(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	on, err := s.signOn(r)
	if err != nil {
		return err
	}
	var body wire.StartSignOn
	if err := decode(w, r, &body); err != nil {
		return err
	}
	if body.Device == (body.RedirectURI != "") {
		return invalid("redirect_uri", "Give the redirect_uri of a browser, or device: true without one.")
	}
	begun, err := on.StartSignOn(r.Context(), c, s.Now(), body.RedirectURI)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, wireSignOn(begun))
}

func (s *server) finishSignOn(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	on, err := s.signOn(r)
	if err != nil {
		return err
	}
	var body wire.FinishSignOn
	if err := decode(w, r, &body); err != nil {
		return err
	}
	if body.Login == "" || (body.State == "") != (body.Code == "") {
		return invalid("login", "The end of a login needs the login, and the state and the code that the browser brought.")
	}
	secret, k, still, err := on.FinishSignOn(r.Context(), c, s.Now(), body.Login, body.State, body.Code)
	if err != nil {
		return err
	}
	if still != nil {
		return reply(w, http.StatusAccepted, wireSignOn(*still))
	}
	return s.replySession(w, r, secret, k)
}

func wireSignOn(o cloud.SignOn) wire.SignOn {
	return wire.SignOn{
		Login: o.Login, State: o.State, URL: o.URL, WholeURL: o.WholeURL, UserCode: o.UserCode,
		IntervalSeconds: int(o.Interval / time.Second), ExpiresAt: wireTime(o.ExpiresAt),
	}
}

func (s *server) linkUser(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	name, err := pathUser(r)
	if err != nil {
		return err
	}
	var body wire.LinkUser
	if err := decode(w, r, &body); err != nil {
		return err
	}
	if err := cloud.Invalid(append(badIssuer(body.Issuer), badSubject(body.Subject)...)); err != nil {
		return err
	}
	u, err := s.Users.LinkUser(r.Context(), c, s.Now(), name, body.Issuer, body.Subject)
	if err != nil {
		return err
	}
	etag(w, u.Tag())
	return reply(w, http.StatusOK, wireUser(u))
}

func (s *server) unlinkUser(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	name, err := pathUser(r)
	if err != nil {
		return err
	}
	if _, err := s.Users.LinkUser(r.Context(), c, s.Now(), name, "", ""); err != nil {
		return err
	}
	return noContent(w)
}

const maxIssuer = 512 // bytes

// badIssuer finds what no issuer is called: the name is compared as it is, so that
// a slash too many is another issuer, but that nobody can see here.
func badIssuer(issuer string) []cloud.FieldError {
	u, err := url.Parse(issuer)
	if err == nil && len(issuer) <= maxIssuer && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == "" {
		return nil
	}
	return []cloud.FieldError{{Field: "issuer", Message: "The issuer is the URL that the identity provider calls itself, as https://id.example.com."}}
}

const maxSubject = 255 // OpenID Connect Core section 2

func badSubject(subject string) []cloud.FieldError {
	odd := func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsPrint(r) }
	if subject != "" && len(subject) <= maxSubject && !strings.ContainsFunc(subject, odd) {
		return nil
	}
	return []cloud.FieldError{{Field: "subject", Message: "The subject is what the identity provider calls the person in \"sub\": up to 255 ASCII characters."}}
}

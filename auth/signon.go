package auth

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"lodge/cloud"
)

// People keeps who is who at the identity provider.
type People interface {
	// SignIn opens the session of a person. Returns CodeUnauthorized for a login
	// that was ended before, CodeForbidden for somebody who is no user,
	// CodeNameTaken when the name of a new one is somebody else's.
	SignIn(ctx context.Context, c cloud.Caller, now time.Time, p cloud.SignIn, n cloud.NewToken, hash string) (cloud.Token, error)
}

// SignOn lets users in whom an identity provider knows.
type SignOn struct {
	OIDC        *OIDC
	People      People
	Refusals    Refusals
	AllowCreate bool // make users at their first login
	NewID       func() string

	limiter *Limiter // of its own: a password that is guessed slows nobody here
	gate    *Gate    // before the issuer
}

// NewSignOn makes a SignOn with the default bounds.
func NewSignOn(o *OIDC, people People, refusals Refusals, newID func() string) *SignOn {
	return &SignOn{
		OIDC: o, People: people, Refusals: refusals, NewID: newID,
		limiter: NewLimiter(LimitOptions{}), gate: NewGate(16, 64),
	}
}

// viaOIDC is the way in for the audit log.
const viaOIDC = "oidc"

// Provider says where people log in, and what lodge is called there. It asks
// nobody.
func (s *SignOn) Provider() (issuer, clientID string) { return s.OIDC.o.Issuer, s.OIDC.o.ClientID }

// StartSignOn begins a login. The redirect comes back to redirectURI; without one
// the person is somewhere else, and the caller looks from time to time.
//
// Returns what OIDC.Start and OIDC.StartDevice return, CodeLockedOut for an
// address that began too many, CodeRateLimited when too many come at once.
func (s *SignOn) StartSignOn(ctx context.Context, c cloud.Caller, now time.Time, redirectURI string) (out cloud.SignOn, err error) {
	err = s.limited(ctx, c, now, func() error {
		if redirectURI == "" {
			var d Device
			d, err = s.OIDC.StartDevice(ctx, now)
			out = cloud.SignOn{Login: d.Sealed, URL: d.URL, WholeURL: d.WholeURL, UserCode: d.UserCode, Interval: d.Interval, ExpiresAt: d.ExpiresAt}
			return err
		}
		var p Pending
		out.URL, p, err = s.OIDC.Start(ctx, now, redirectURI)
		out.Login, out.State, out.ExpiresAt = p.Sealed, p.State, p.ExpiresAt
		return err
	})
	if err != nil {
		return cloud.SignOn{}, err
	}
	return out, nil
}

// FinishSignOn ends a login with what the redirect brought, or looks whether the
// person has answered: then state and code are empty, and still is set while
// there is no answer.
//
// Returns what OIDC.Finish and People.SignIn return, CodeLockedOut and
// CodeRateLimited.
func (s *SignOn) FinishSignOn(ctx context.Context, c cloud.Caller, now time.Time, login, state, code string) (secret string, k cloud.Token, still *cloud.SignOn, err error) {
	c.Via = viaOIDC
	var who Person
	err = s.limited(ctx, c, now, func() error {
		if state == "" && code == "" {
			who, err = s.OIDC.FinishDevice(ctx, now, login)
		} else {
			who, err = s.OIDC.Finish(ctx, now, login, state, code)
		}
		if err == nil {
			secret, k, err = s.open(ctx, c, now, login, who)
		}
		return err
	})
	var wait *StillPending
	switch {
	case err == nil:
		s.forgive(c, now) // its start, and this
		s.forgive(c, now)
		return secret, k, nil, nil
	case errors.As(err, &wait):
		s.forgive(c, now)
		return "", k, &cloud.SignOn{Login: wait.Sealed, Interval: wait.Interval, ExpiresAt: wait.ExpiresAt}, nil
	}
	return "", cloud.Token{}, nil, s.refused(ctx, c, now, who, err)
}

func (s *SignOn) open(ctx context.Context, c cloud.Caller, now time.Time, login string, who Person) (string, cloud.Token, error) {
	in, err := s.OIDC.seal.read(login)
	if err != nil {
		return "", cloud.Token{}, err
	}
	p := cloud.SignIn{
		Issuer: who.Issuer, Subject: who.Subject, Name: who.Name, Create: s.AllowCreate, UserID: s.NewID(),
		Login: in.State, LoginEnds: time.Unix(in.Expires, 0),
	}
	if who.EmailVerified {
		p.Email = who.Email
	}
	secret := NewSecret()
	k, err := s.People.SignIn(ctx, c, now, p, cloud.NewToken{ID: s.NewID(), Name: "login", ExpiresAt: now.Add(SessionLife)}, HashSecret(secret))
	return secret, k, err
}

// limited does f within the bounds. What f was refused for stays counted; an
// issuer that is away is nobody's fault.
func (s *SignOn) limited(ctx context.Context, c cloud.Caller, now time.Time, f func() error) error {
	addr, _ := netip.ParseAddr(c.Address)
	if wait, ok := s.limiter.Allow(now, "", addr); !ok {
		return lockedOut(wait)
	}
	leave, err := s.gate.Enter(ctx)
	if err == nil {
		defer leave()
		err = f()
	}
	switch cloud.CodeOf(err) {
	case cloud.CodeUnavailable, cloud.CodeRateLimited, cloud.CodeDiskFull:
		s.forgive(c, now)
	}
	return err
}

func (s *SignOn) forgive(c cloud.Caller, now time.Time) {
	addr, _ := netip.ParseAddr(c.Address)
	s.limiter.Forgive(now, "", addr)
}

// refused writes down who was not let in.
func (s *SignOn) refused(ctx context.Context, c cloud.Caller, now time.Time, who Person, err error) error {
	code := cloud.CodeOf(err)
	switch code {
	case cloud.CodeUnauthorized, cloud.CodeForbidden, cloud.CodeNameTaken:
	default:
		return err
	}
	name := who.Name
	if name == "" {
		name = who.Subject
	}
	if e := s.Refusals.RecordRefusal(ctx, c, now, cloud.AuditEntry{Action: "session.open", Name: short(name), Result: string(code)}); e != nil {
		return e
	}
	return err
}

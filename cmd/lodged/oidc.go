package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"lodge/auth"
	"lodge/cloud"
	"lodge/cmd/lodged/daemon"
)

// oidcFlags say where people log in who have no password here.
type oidcFlags struct {
	issuer, clientID string
	secretFile       string
	nameClaim        string
	domains          []string
	allowCreate      bool
}

func (f *oidcFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.issuer, "oidc-issuer", "", "OpenID issuer that people log in at, as it writes itself: https://id.example.com")
	fs.StringVar(&f.clientID, "oidc-client-id", "", "what lodge is called there")
	fs.StringVar(&f.secretFile, "oidc-client-secret-file", "", "file with the client's secret; without it lodge is a public client, with PKCE")
	fs.StringVar(&f.nameClaim, "oidc-username-claim", "", "claim that names a new user (default preferred_username, then a verified email)")
	fs.StringSliceVar(&f.domains, "oidc-domains", nil, "let in only people with a verified email in these domains")
	fs.BoolVar(&f.allowCreate, "oidc-allow-create", false, "make a user of whoever logs in first; else an operator links known ones")
}

// config is nil where no issuer is set.
func (f *oidcFlags) config() (*daemon.OIDCConfig, error) {
	if f.issuer == "" {
		if f.clientID != "" || f.secretFile != "" || f.nameClaim != "" || len(f.domains) > 0 || f.allowCreate {
			return nil, errors.New("--oidc-issuer is missing; the other --oidc settings are about it")
		}
		return nil, nil
	}
	if f.clientID == "" {
		return nil, errors.New("--oidc-client-id is missing; take the one that the issuer gave to lodge")
	}
	c := &daemon.OIDCConfig{AllowCreate: f.allowCreate, Options: auth.OIDCOptions{
		Issuer: f.issuer, ClientID: f.clientID, NameClaim: f.nameClaim, AllowedDomains: f.domains,
	}}
	if f.secretFile == "" {
		return c, nil
	}
	var err error
	if c.Options.ClientSecret, err = daemon.ReadSecret(f.secretFile); err != nil {
		return nil, fmt.Errorf("--oidc-client-secret-file: %w", err)
	}
	return c, nil
}

// oidcFacts are what the issuer answered.
type oidcFacts struct {
	issuer      string
	err         error
	allowCreate bool
	domains     bool
}

func probeOIDC(ctx context.Context, f *oidcFlags) oidcFacts {
	facts := oidcFacts{issuer: f.issuer, allowCreate: f.allowCreate, domains: len(f.domains) > 0}
	c, err := f.config()
	if err == nil {
		c.Options.StateKey = []byte(rand.Text() + rand.Text())[:32] // seals nothing here
		var o *auth.OIDC
		if o, err = auth.NewOIDC(c.Options); err == nil {
			err = o.Look(ctx, time.Now())
		}
	}
	facts.err = err
	return facts
}

func judgeOIDC(f oidcFacts) finding {
	switch {
	case cloud.CodeOf(f.err) == cloud.CodeInvalid:
		return fail(cloud.MessageOf(f.err), "Write --oidc-issuer as the issuer calls itself in its .well-known/openid-configuration.")
	case f.err != nil:
		return warn(fmt.Sprintf("The OpenID issuer %s cannot be used: %v.", f.issuer, strings.TrimSuffix(causeOf(f.err).Error(), ".")),
			"Nobody logs in there until it answers; passwords and tokens work. Check its name, to the letter, and the network.")
	case f.allowCreate && !f.domains:
		return ok("People log in at %s; whoever has an account there becomes a user, in no tenant.", f.issuer)
	case f.allowCreate:
		return ok("People of the allowed domains log in at %s and become users, in no tenant.", f.issuer)
	}
	return ok("People whom an operator has linked log in at %s.", f.issuer)
}

// causeOf is what an issuer's error is about, which its sentence leaves out.
func causeOf(err error) error {
	var e *cloud.Error
	if errors.As(err, &e) && e.Cause != nil {
		return e.Cause
	}
	return err
}

package auth

import (
	"context"
	"errors"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"lodge/cloud"
)

// claims are what an issuer tells about somebody.
type claims map[string]any

// text is a claim's text; "" when it is none, too long, or not for one line.
func (c claims) text(name string) string {
	s, _ := c[name].(string)
	if len(s) > maxClaimText || !utf8.ValidString(s) || strings.ContainsFunc(s, notPrintable) {
		return ""
	}
	return strings.TrimSpace(s)
}

func notPrintable(r rune) bool { return !unicode.IsPrint(r) }

// verified reports whether the issuer vouches for the email. Some write the word.
func (c claims) verified() bool {
	return c["email_verified"] == true || c["email_verified"] == "true"
}

func (c claims) name(claim string) string {
	if claim == "email" && !c.verified() {
		return ""
	}
	if claim != "" {
		return c.text(claim)
	}
	if s := c.text("preferred_username"); s != "" {
		return s
	}
	if c.verified() {
		return c.text("email")
	}
	return ""
}

// groups reads a list of names, or a single one.
func (c claims) groups(claim string) []string {
	var all []string
	add := func(v any) {
		if s := (claims{"": v}).text(""); s != "" && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	list, ok := c[claim].([]any)
	if !ok {
		add(c[claim])
	}
	for _, v := range list {
		add(v)
	}
	return all
}

// with adds what c lacks. An email and its mark stay together: a mark from one
// source says nothing about the email of another.
func (c claims) with(more claims) claims {
	all := claims{}
	for k, v := range more {
		all[k] = v
	}
	if _, ok := c["email"]; ok {
		delete(all, "email_verified")
	}
	for k, v := range c {
		if _, hasEmail := c["email"]; k == "email_verified" && !hasEmail {
			continue
		}
		all[k] = v
	}
	return all
}

// complete asks the issuer for what the ID token lacks. Many tell no more than the
// subject there when they also give an access token, as OpenID Connect Core
// section 5.4 has it.
func (o *OIDC) complete(ctx context.Context, is *issuer, token *oauth2.Token, id *oidc.IDToken, c claims) (claims, error) {
	if !o.lacks(c) || is.provider.UserInfoEndpoint() == "" {
		return c, nil
	}
	info, err := is.provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return nil, o.away(err)
	}
	if info.Subject != id.Subject { // section 5.3.4: a token may have been swapped
		return nil, badToken(errors.New("the user info is about somebody else"))
	}
	var more claims
	if err := info.Claims(&more); err != nil {
		return nil, o.away(err)
	}
	return c.with(more), nil
}

func (o *OIDC) lacks(c claims) bool {
	_, hasGroups := c[o.o.GroupsClaim]
	return c.name(o.o.NameClaim) == "" ||
		(c.text("email") == "" && slices.Contains(o.o.Scopes, "email")) ||
		(o.o.GroupsClaim != "" && !hasGroups)
}

// person is CodeForbidden for somebody whose domain is not allowed.
func (o *OIDC) person(subject string, c claims) (Person, error) {
	p := Person{
		Issuer:  o.o.Issuer, // Google's tokens write it in two ways
		Subject: subject,
		Name:    c.name(o.o.NameClaim),
		Email:   c.text("email"),
	}
	p.EmailVerified = p.Email != "" && c.verified()
	if o.o.GroupsClaim != "" {
		p.Groups = c.groups(o.o.GroupsClaim)
	}
	if len(o.o.AllowedDomains) == 0 {
		return p, nil
	}
	at := strings.LastIndex(p.Email, "@")
	for _, allowed := range o.o.AllowedDomains {
		if p.EmailVerified && at > 0 && strings.EqualFold(p.Email[at+1:], allowed) {
			return p, nil
		}
	}
	return Person{}, cloud.Errorf(cloud.CodeForbidden, "Your account at the identity provider has no verified address in a domain that may log in here; ask the operator.")
}

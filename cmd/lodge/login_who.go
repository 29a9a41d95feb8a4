package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"lodge/api/client"
	"lodge/api/wire"
)

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
	if !goodToken(s.Token) || s.User.Name == "" || s.ExpiresAt.IsZero() {
		return place{}, a.way.stranger()
	}
	if known.User != s.User.Name {
		known.Tenant = ""
	}
	made := place{User: s.User.Name, Token: s.Token, ExpiresAt: s.ExpiresAt}
	if made.Tenant, err = a.homeTenant(s.User, f.tenant, known.Tenant); err != nil {
		anyTenant := ""
		if len(s.User.Memberships) > 0 {
			anyTenant = s.User.Memberships[0].TenantID
		}
		a.dropSession(ctx, s.Token, anyTenant)
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

// dropSession ends a session that is not kept, if it can, also after an
// interrupt.
func (a *app) dropSession(ctx context.Context, token, tenant string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	w := a.way
	w.token, a.tenant = token, tenant
	if c, err := a.connect(w); err == nil {
		_ = c.Logout(ctx)
		c.Close()
	}
}

// takeToken keeps a token that was given, when lodged takes it.
func (a *app) takeToken(ctx context.Context, tenant string) (place, error) {
	token, err := a.lineOf(ctx, "token")
	if err != nil {
		return place{}, err
	}
	w := a.way
	if w.token = strings.TrimSpace(token); !goodToken(w.token) {
		return place{}, usagef("The line of standard input is no token: it has a blank or a character that no token has.")
	}
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
	if me.Role == "" {
		return place{}, a.way.stranger()
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

package main

import (
	"context"

	"github.com/spf13/cobra"

	"lodge/api/client"
	"lodge/api/wire"
)

func (a *app) logoutCommand() *cobra.Command {
	return &cobra.Command{
		Use: "logout", Short: "End the session and forget its token",
		Long: "logout ends the session of the context and takes the token out of the file. A token that was given with\n" +
			"--token-stdin is only taken out; `lodge token revoke` ends it.",
		Example: "  lodge logout\n  lodge logout --context prod",
		Args:    takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case a.wayErr != nil:
				return a.wayErr
			case a.way.context == "":
				return refusedf("There is no session to end: no context is used here.")
			case a.way.token == "":
				a.say("The context %s is not logged in.", a.way.context)
				return nil
			}
			return a.logout(cmd.Context(), a.way)
		},
	}
}

func (a *app) logout(ctx context.Context, w way) error {
	session := !w.expires.IsZero()
	var lasts error // what keeps the session from ending
	if session {
		c, err := a.connect(w)
		if err == nil {
			err = c.Logout(ctx)
			c.Close()
		}
		if !client.IsUnauthorized(err) {
			lasts = err
		}
	}
	// A token here is worth more to a thief than to whoever logs out: it goes in
	// any case.
	err := a.changeContexts(func(f *contexts) error {
		c, err := f.find(w.context)
		if err == nil && c.Token == w.token { // and not that of a login meanwhile
			c.Token, c.ExpiresAt = "", wire.Time{}
		}
		return err
	})
	if err != nil {
		return err
	}
	if lasts != nil {
		code, text := a.explain(lasts)
		return codedError{code, "The token is forgotten here, but its session lasts until " + a.until(w.expires) + ": " + text}
	}
	if !session {
		a.say("The token is forgotten here; `lodge token revoke` ends it.")
		return nil
	}
	a.say("Logged out of %s.", w.url)
	return nil
}

func (a *app) whoamiCommand() *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: "Show who you are to lodged",
		Example: "  lodge whoami\n  lodge whoami -o json | jq -r .role",
		Args:    takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			me, err := c.Whoami(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(me, func() writer { return a.whoamiFields(me) })
		},
	}
}

func (a *app) whoamiFields(me wire.Whoami) *fields {
	f := &fields{}
	f.set("User", me.UserName)
	f.set("Role", me.Role)
	f.set("Scope", me.Scope)
	for _, m := range me.Memberships {
		f.set("Tenant", membership(m, me.TenantID))
	}
	if len(me.Memberships) == 0 {
		f.set("Tenant", me.TenantID)
	}
	f.set("Via", me.Via)
	f.set("Lodged", a.way.socket+a.way.url)
	f.set("Context", a.way.context)
	return f
}

// membership writes a tenant with the role there, and whether it is the one that
// is worked for.
func membership(m wire.Membership, current string) string {
	text := m.TenantName + " (" + m.Role + ")"
	if m.TenantID == current {
		text += ", here"
	}
	return text
}

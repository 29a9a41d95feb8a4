package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"lodge/api/client"
	"lodge/api/wire"
)

func (a *app) tokenCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Make, list and revoke tokens for programs"}
	cmd.AddCommand(a.tokenCreateCommand(),
		listing(a, "token", tokenTable, func(ctx context.Context, c *client.Client) ([]wire.Token, error) {
			return c.AllTokens(ctx, client.Query{Tenant: a.tenant})
		}),
		a.tokenRevokeCommand())
	return group(cmd)
}

func (a *app) tokenCreateCommand() *cobra.Command {
	var in wire.CreateToken
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a token and print its secret, this once",
		Long: "create prints the secret alone on standard output, so that a script can take it as it is; what is said\n" +
			"about it goes to standard error. With -o json or yaml the secret is the field \"secret\" of the token.",
		Example: `  LODGE_TOKEN=$(lodge token create ci --role member --expires-in 30d)
  lodge token create billing --scope usage --tenant acme -o json`,
		Args: takes(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name, in.Tenant = args[0], a.tenant
			c, err := a.client()
			if err != nil {
				return err
			}
			key := rand.Text() + rand.Text()
			k, err := c.CreateTokenOnce(cmd.Context(), key, in)
			if err != nil && cmd.Context().Err() != nil {
				return a.unanswered(cmd.Context(), c, key, in)
			}
			if err != nil {
				return err
			}
			text := "The token " + k.Name + " is good"
			if !k.ExpiresAt.IsZero() {
				text += " until " + a.until(k.ExpiresAt)
			}
			a.note("%s; its secret is shown this once.", text)
			signal.Ignore(syscall.SIGPIPE) // who reads may have gone, and a secret that nobody has must end
			if err := a.print(k, func() writer { return line(k.Secret) }); err != nil {
				return a.unshown(cmd.Context(), c, k, err)
			}
			return nil
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&in.Role, "role", "", "at most this role: viewer, member or admin; operator for the installation (default your own)")
	fs.StringVar(&in.Scope, "scope", "", "all, read or usage (default all)")
	fs.StringVar(&in.ExpiresIn, "expires-in", "", "how long it is good, as 12h or 30d (default 90d)")
	a.complete(cmd, "role", append([]string{"operator"}, roles...)...)
	a.complete(cmd, "scope", "all", "read", "usage")
	return cmd
}

// unanswered ends a token whose making was interrupted before the answer: asked again
// with its key lodged says which it is.
func (a *app) unanswered(ctx context.Context, c *client.Client, key string, in wire.CreateToken) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	k, err := c.CreateTokenOnce(ctx, key, in)
	if err == nil {
		err = c.RevokeToken(ctx, k.ID)
	}
	if err != nil {
		return codedError{exitInterrupted, fmt.Sprintf("Interrupted, and a token named %[1]s may have been made, whose secret nobody has (%[2]v); `lodge token list` shows it, `lodge token revoke %[1]s` ends it.", in.Name, err)}
	}
	return codedError{exitInterrupted, fmt.Sprintf("Interrupted; the token %s was revoked, for nobody has its secret.", in.Name)}
}

// unshown ends a token whose secret could not be written.
func (a *app) unshown(ctx context.Context, c *client.Client, k wire.Token, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := c.RevokeToken(ctx, k.ID); err != nil {
		return codedError{exitError, fmt.Sprintf("The secret of the token %s could not be written (%v), and the token is still good; end it with `lodge token revoke %s`.", k.Name, why, k.ID)}
	}
	return codedError{exitError, fmt.Sprintf("The secret of the token %s could not be written (%v), so the token was revoked; make it again.", k.Name, why)}
}

func tokenTable(a *app, items []wire.Token, tenant owner) *table {
	t := &table{header: []string{"NAME", "ID", "KIND", "USER", "TENANT", "ROLE", "SCOPE", "EXPIRES", "LAST USED"}}
	for _, k := range items {
		of, expires, used := "", "never", ""
		if k.TenantID != "" {
			of = tenant(k.TenantID)
		}
		if !k.ExpiresAt.IsZero() {
			expires = a.until(k.ExpiresAt)
		}
		if !k.LastUsedAt.IsZero() {
			used = age(a.now(), k.LastUsedAt.Time) + " ago"
		}
		t.add(k.Name, k.ID, k.Kind, k.UserName, of, k.Role, k.Scope, expires, used)
	}
	return t
}

func (a *app) tokenRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "revoke NAME...", Aliases: []string{"delete", "rm"}, Short: "End tokens, by name or id",
		Example: "  lodge token revoke ci",
		Args:    takes(1, -1), ValidArgsFunction: a.names(-1, a.tokenNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			ids := make([]string, 0, len(args))
			for _, arg := range args {
				id, err := a.tokenID(cmd.Context(), c, arg)
				if err != nil {
					return err
				}
				ids = append(ids, id)
			}
			for _, id := range ids {
				if err := c.RevokeToken(cmd.Context(), id); err != nil {
					return err
				}
			}
			a.say("%s revoked.", join(args))
			return nil
		},
	}
}

// tokenID finds a token; several may have one name.
func (a *app) tokenID(ctx context.Context, c *client.Client, arg string) (string, error) {
	if uuid.MatchString(arg) {
		return strings.ToLower(arg), nil
	}
	items, err := c.AllTokens(ctx, client.Query{Tenant: a.tenant, Name: arg})
	if err != nil {
		return "", err
	}
	if len(items) > 1 {
		return "", usagef("%d tokens have the name %s; give the id, which `lodge token list` shows.", len(items), shown(arg))
	}
	k, err := one("token", arg, items)
	return k.ID, err
}

func (a *app) tokenNames(ctx context.Context, c *client.Client) ([]string, error) {
	items, err := c.AllTokens(ctx, client.Query{Tenant: a.tenant})
	return pick(items, err, func(k wire.Token) string { return k.Name })
}

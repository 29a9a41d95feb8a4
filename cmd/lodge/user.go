package main

import (
	"context"

	"github.com/spf13/cobra"

	"lodge/api/client"
	"lodge/api/wire"
)

func (a *app) userCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "user", Short: "Make, list and delete users, and set passwords"}
	find := func(ctx context.Context, c *client.Client, name string) (wire.User, error) { return c.User(ctx, name) }
	remove := deleting(a, "user", a.userNames, find, func(ctx context.Context, c *client.Client, u wire.User) error { return c.DeleteUser(ctx, u.ID) })
	remove.Short = "Delete users and end their tokens"
	cmd.AddCommand(a.userCreateCommand(),
		narrowed(a, "user", userTable, func(ctx context.Context, c *client.Client, q client.Query) ([]wire.User, error) {
			return c.AllUsers(ctx, q)
		}),
		showing(a, "user", a.userNames, find, a.userFields), remove, a.userPasswordCommand(),
		a.userLinkCommand(), a.userUnlinkCommand())
	return group(cmd)
}

func (a *app) userCreateCommand() *cobra.Command {
	var in wire.CreateUser
	var stdin, none bool
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a user",
		Long: "create makes a user. With --tenant it joins that tenant, as a member unless --role says otherwise. The\n" +
			"password, of at least 12 characters, is asked for, or read from standard input.",
		Example: `  lodge user create ada --email ada@example.com --tenant acme --role admin
  lodge user create bob --password-stdin < password
  lodge user create robot --no-password --tenant acme`,
		Args: takes(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if stdin && none {
				return usagef("Say --password-stdin or --no-password, not both.")
			}
			in.Name, in.Tenant = args[0], a.tenant
			c, err := a.client()
			if err != nil {
				return err
			}
			if !none {
				if in.Password, err = a.newPassword(cmd.Context(), stdin); err != nil {
					return err
				}
			}
			u, err := c.CreateUser(cmd.Context(), in)
			if err != nil {
				return err
			}
			return a.print(u, func() writer { return line("The user " + u.Name + " is there.") })
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&in.Email, "email", "", "address of the user")
	fs.BoolVar(&in.Operator, "operator", false, "may do everything in the installation")
	fs.StringVar(&in.Role, "role", "", "role in the tenant: viewer, member or admin (default member)")
	fs.BoolVar(&stdin, "password-stdin", false, "read the password from standard input, one line")
	fs.BoolVar(&none, "no-password", false, "no password: OpenID or tokens only")
	a.complete(cmd, "role", roles...)
	return cmd
}

// roles are those in a tenant.
var roles = []string{"viewer", "member", "admin"}

func userTable(a *app, items []wire.User, _ owner) *table {
	t := &table{header: []string{"NAME", "EMAIL", "OPERATOR", "PASSWORD", "AGE"}}
	for _, u := range items {
		t.add(u.Name, u.Email, yesNo(u.Operator), yesNo(u.HasPassword), age(a.now(), u.CreatedAt.Time))
	}
	return t
}

func (a *app) userFields(u wire.User, _ owner) *fields {
	f := &fields{}
	f.set("Name", u.Name)
	f.set("Id", u.ID)
	f.set("Email", u.Email)
	f.set("Operator", yesNo(u.Operator))
	f.set("Password", yesNo(u.HasPassword))
	f.set("Issuer", u.Issuer)
	f.set("Subject", u.Subject)
	for _, m := range u.Memberships {
		f.set("Tenant", membership(m, ""))
	}
	f.set("Created", a.when(u.CreatedAt))
	return f
}

func (a *app) userNames(ctx context.Context, c *client.Client) ([]string, error) {
	items, err := c.AllUsers(ctx, client.Query{})
	return pick(items, err, func(u wire.User) string { return u.Name })
}

func (a *app) userPasswordCommand() *cobra.Command {
	var stdin bool
	cmd := &cobra.Command{
		Use: "password [NAME]", Short: "Set a password, your own unless a user is named",
		Long: "password sets a password and ends all sessions of the user. An operator sets anybody's; all others say\n" +
			"their present one first. With --password-stdin each is a line: the present one where it is needed, then\n" +
			"the new one.",
		Example: "  lodge user password\n  lodge user password ada\n  lodge user password ada --password-stdin < password",
		Args:    takes(0, 1), ValidArgsFunction: a.names(1, a.userNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			me, err := c.Whoami(cmd.Context())
			if err != nil {
				return err
			}
			name := me.UserName
			if len(args) > 0 {
				name = args[0]
			}
			if name == "" {
				return usagef("Say whose password; you are no user here.")
			}
			var in wire.SetPassword
			if !me.Operator {
				if in.Current, err = a.password(cmd.Context(), "Present password: ", stdin); err != nil {
					return err
				}
			}
			if in.Password, err = a.newPassword(cmd.Context(), stdin); err != nil {
				return err
			}
			if err := c.SetPassword(cmd.Context(), name, in); err != nil {
				return err
			}
			a.say("The password of %s is set, and its sessions have ended.", name)
			if (name == me.UserName || name == me.UserID) && me.UserID != "" && !a.way.expires.IsZero() {
				a.note("Log in again with `%s`.", a.way.login())
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from standard input, one line")
	return cmd
}

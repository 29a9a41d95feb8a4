package main

import (
	"cmp"
	"context"
	"strings"

	"github.com/spf13/cobra"

	"lodge/api/client"
	"lodge/api/wire"
)

func (a *app) memberCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "member", Short: "Say who is in a tenant, and as what"}
	cmd.AddCommand(a.memberListCommand(), a.memberAddCommand(), a.memberRemoveCommand())
	return group(cmd)
}

// memberTenant is the tenant whose members are meant: the one that is said, or
// the only one there is for the caller.
func (a *app) memberTenant(ctx context.Context, c *client.Client) (id, name string, err error) {
	if uuid.MatchString(a.tenant) {
		return strings.ToLower(a.tenant), a.tenant, nil
	}
	if a.tenant != "" {
		t, err := a.findTenant(ctx, c, a.tenant)
		return t.ID, t.Name, err
	}
	me, err := c.Whoami(ctx)
	if err != nil {
		return "", "", err
	}
	if me.TenantID == "" {
		return "", "", usagef("Say which tenant with --tenant.")
	}
	for _, m := range me.Memberships {
		if m.TenantID == me.TenantID {
			name = m.TenantName
		}
	}
	return me.TenantID, cmp.Or(name, me.TenantID), nil
}

func (a *app) memberListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List who is in the tenant",
		Example: "  lodge member list\n  lodge --tenant acme member list -o json",
		Args:    takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			id, _, err := a.memberTenant(cmd.Context(), c)
			if err != nil {
				return err
			}
			items, err := c.Members(cmd.Context(), id)
			if err != nil {
				return err
			}
			return a.print(list(items), func() writer {
				t := &table{header: []string{"USER", "ROLE", "AGE"}}
				for _, m := range items {
					t.add(m.UserName, m.Role, age(a.now(), m.CreatedAt.Time))
				}
				return t
			})
		},
	}
}

func (a *app) memberAddCommand() *cobra.Command {
	var role string
	cmd := &cobra.Command{
		Use: "add USER", Short: "Change a member's role; as an operator also put a user into the tenant",
		Example: "  lodge member add ada --role admin\n  lodge --tenant acme member add bob --role viewer",
		Args:    takes(1, 1), ValidArgsFunction: a.names(1, a.userNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if role == "" {
				return usagef("Say --role: viewer, member or admin.")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			id, _, err := a.memberTenant(cmd.Context(), c)
			if err != nil {
				return err
			}
			m, err := c.SetMember(cmd.Context(), id, args[0], wire.SetMember{Role: role})
			if err != nil {
				return err
			}
			return a.print(m, func() writer { return line(m.UserName + " is in the tenant " + m.TenantName + " as " + m.Role + ".") })
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "viewer, member or admin (needed)")
	a.complete(cmd, "role", roles...)
	return cmd
}

func (a *app) memberRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove USER...", Aliases: []string{"rm"}, Short: "Take users out of the tenant, or leave it; their tokens for it end",
		Example: "  lodge member remove bob",
		Args:    takes(1, -1), ValidArgsFunction: a.names(-1, a.userNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			id, name, err := a.memberTenant(cmd.Context(), c)
			if err != nil {
				return err
			}
			for _, user := range args {
				if err := c.RemoveMember(cmd.Context(), id, user); err != nil {
					return err
				}
			}
			a.say("%s removed from the tenant %s.", join(args), name)
			return nil
		},
	}
}

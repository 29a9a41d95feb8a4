package main

import (
	"github.com/spf13/cobra"

	"lodge/api/wire"
)

func (a *app) userLinkCommand() *cobra.Command {
	var in wire.LinkUser
	cmd := &cobra.Command{
		Use: "link NAME", Short: "Let somebody at the identity provider log in as a user",
		Long: "link says who a user is at the identity provider. The subject is what the provider calls the person in\n" +
			"\"sub\"; who is refused a login is told it. The issuer is the one that lodged uses unless another is named.\n" +
			"When the user was somebody else there before, its sessions end.",
		Example: "  lodge user link ada --subject 7d2f9a1c\n  lodge user link ada --subject 7d2f9a1c --issuer https://id.example.com",
		Args:    takes(1, 1), ValidArgsFunction: a.names(1, a.userNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if in.Subject == "" {
				return usagef("Say --subject: what the identity provider calls the person.")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if in.Issuer == "" {
				p, err := c.SignOnProvider(cmd.Context())
				if err != nil {
					return err
				}
				in.Issuer = p.Issuer
			}
			u, err := c.LinkUser(cmd.Context(), args[0], in)
			if err != nil {
				return err
			}
			return a.print(u, func() writer {
				return line("The user " + u.Name + " is " + shown(u.Subject) + " at " + shown(u.Issuer) + ".")
			})
		},
	}
	cmd.Flags().StringVar(&in.Subject, "subject", "", "what the identity provider calls the person")
	cmd.Flags().StringVar(&in.Issuer, "issuer", "", "the identity provider, as it writes itself (default lodged's)")
	return cmd
}

func (a *app) userUnlinkCommand() *cobra.Command {
	return &cobra.Command{
		Use: "unlink NAME", Short: "Let nobody at the identity provider log in as a user",
		Long:    "unlink ends the sessions of the user, and its logins at the identity provider. Its tokens and its password stay.",
		Example: "  lodge user unlink ada",
		Args:    takes(1, 1), ValidArgsFunction: a.names(1, a.userNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if err := c.UnlinkUser(cmd.Context(), args[0]); err != nil {
				return err
			}
			a.say("The user %s is nobody at the identity provider any more, and its sessions have ended.", args[0])
			return nil
		},
	}
}

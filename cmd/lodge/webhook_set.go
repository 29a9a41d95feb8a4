package main

import (
	"time"

	"github.com/spf13/cobra"

	"lodge/api/wire"
)

func (a *app) webhookSetCommand() *cobra.Command {
	var name, url string
	var dryRun bool
	cmd := &cobra.Command{
		Use: "set WEBHOOK", Short: "Change a webhook",
		Long:    "set changes the name or the URL. What was not told yet is told at the new one.",
		Example: "  lodge webhook set chat --url https://hooks.example.com/other\n  lodge webhook set chat --name pager --dry-run",
		Args:    takes(1, 1), ValidArgsFunction: a.names(1, a.webhookNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			var want wire.UpdateWebhook
			if cmd.Flags().Changed("name") {
				want.Name = &name
			}
			if cmd.Flags().Changed("url") {
				want.URL = &url
			}
			if want.Name == nil && want.URL == nil {
				return usagef("Say what to change: --name or --url.")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			h, err := a.webhook(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			if dryRun {
				got, err := c.TryUpdateWebhook(cmd.Context(), h.ID, want)
				return a.printTry(got, err)
			}
			if h, err = c.UpdateWebhook(cmd.Context(), h.ID, want); err != nil {
				return err
			}
			return a.print(h, func() writer { return line("The webhook " + h.Name + " is changed.") })
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "another name")
	f.StringVar(&url, "url", "", "where it is told from now on")
	f.BoolVar(&dryRun, "dry-run", false, "check everything and say what would be, but change nothing")
	return cmd
}

func (a *app) webhookRotateCommand() *cobra.Command {
	var overlap time.Duration
	cmd := &cobra.Command{
		Use: "rotate WEBHOOK", Short: "Give a webhook a new secret",
		Long: "rotate makes a new secret, and shows it once. The one before signs beside it for --overlap, so that the receiver can take\n" +
			"over the new one in between; with 0 it ends at once.",
		Example: "  lodge webhook rotate chat\n  lodge webhook rotate chat --overlap 0", Args: takes(1, 1), ValidArgsFunction: a.names(1, a.webhookNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if overlap < 0 || overlap%time.Second != 0 {
				return usagef("An overlap is whole seconds, as 24h or 90s.")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			h, err := a.webhook(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			seconds := int64(overlap / time.Second)
			if h, err = c.RotateWebhook(cmd.Context(), h.ID, wire.NewSecret{OverlapSeconds: &seconds}); err != nil {
				return err
			}
			return a.print(h, func() writer {
				text := "The webhook " + h.Name + " has a new secret. It is shown only now:\n" + h.Secret
				if !h.OldSecretUntil.IsZero() {
					text += "\nThe one before signs too until " + secondText(h.OldSecretUntil) + "."
				}
				return line(text)
			})
		},
	}
	cmd.Flags().DurationVar(&overlap, "overlap", 24*time.Hour, "how long the secret before signs too; at most 168h")
	return cmd
}

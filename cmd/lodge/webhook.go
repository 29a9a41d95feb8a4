package main

import (
	"context"
	"fmt"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"lodge/api/client"
	"lodge/api/wire"
)

func (a *app) webhookCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "webhook", Short: "Say whom budgets tell"}
	cmd.AddCommand(a.webhookListCommand(), a.webhookShowCommand(), a.webhookCreateCommand(), a.webhookSetCommand(), a.webhookRotateCommand(), a.webhookDeleteCommand())
	return group(cmd)
}

func (a *app) webhook(ctx context.Context, c *client.Client, arg string) (wire.Webhook, error) {
	if uuid.MatchString(arg) {
		return c.Webhook(ctx, strings.ToLower(arg))
	}
	items, err := c.Webhooks(ctx, a.tenant)
	if err != nil {
		return wire.Webhook{}, err
	}
	return one("webhook", arg, named(items, arg, func(h wire.Webhook) string { return h.Name }))
}

func (a *app) webhookNames(ctx context.Context, c *client.Client) ([]string, error) {
	items, err := c.Webhooks(ctx, a.tenant)
	return namesOf(items, func(h wire.Webhook) string { return h.Name }), err
}

func (a *app) webhookListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List webhooks", Example: "  lodge webhook list",
		Args: takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			items, err := c.Webhooks(cmd.Context(), a.tenant)
			if err != nil {
				return err
			}
			return a.print(list(items), func() writer {
				t := &table{header: []string{"NAME", "URL", "ID"}}
				for _, h := range items {
					t.add(h.Name, h.URL, h.ID)
				}
				return t
			})
		},
	}
}

func (a *app) webhookShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show WEBHOOK", Short: "Show what a webhook was told", Example: "  lodge webhook show chat",
		Args: takes(1, 1), ValidArgsFunction: a.names(1, a.webhookNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			h, err := a.webhook(cmd.Context(), c, args[0])
			if err == nil {
				h, err = c.Webhook(cmd.Context(), h.ID)
			}
			if err != nil {
				return err
			}
			return a.print(h, func() writer {
				t := &table{header: []string{"MESSAGE", "MADE", "ATTEMPTS", "ANSWER", "STATE"}}
				for _, m := range h.Deliveries {
					answer := "-"
					if m.LastStatus > 0 {
						answer = fmt.Sprint(m.LastStatus)
					}
					t.add(m.Type, secondText(m.CreatedAt), fmt.Sprint(m.Attempts), answer, deliveryState(m))
				}
				return t
			})
		},
	}
}

func deliveryState(m wire.Delivery) string {
	switch {
	case !m.DeliveredAt.IsZero():
		return "taken at " + secondText(m.DeliveredAt)
	case !m.GivenUpAt.IsZero():
		return "given up: " + m.LastError
	case m.LastError != "":
		return "again at " + secondText(m.NextAt) + ": " + m.LastError
	}
	return "to be sent"
}

func (a *app) webhookCreateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "create NAME URL", Short: "Make a webhook",
		Long:    "create makes a webhook, and shows its secret once: messages are signed with it as www.standardwebhooks.com says.",
		Example: "  lodge webhook create chat https://hooks.example.com/lodge", Args: takes(2, 2), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			h, err := c.CreateWebhook(cmd.Context(), wire.CreateWebhook{Tenant: a.tenant, Name: args[0], URL: args[1]})
			if err != nil {
				return err
			}
			signal.Ignore(syscall.SIGPIPE) // as of a token: a secret that nobody has must end
			err = a.print(h, func() writer {
				return line("The webhook " + h.Name + " is made. Its secret is shown only now:\n" + h.Secret)
			})
			if err != nil {
				return a.unshownWebhook(cmd.Context(), c, h, err)
			}
			return nil
		},
	}
}

// unshownWebhook deletes a webhook whose secret could not be written.
func (a *app) unshownWebhook(ctx context.Context, c *client.Client, h wire.Webhook, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := c.DeleteWebhook(ctx, h.ID); err != nil {
		return codedError{exitError, fmt.Sprintf("The secret of the webhook %s could not be written (%v), and the webhook is still there; delete it with `lodge webhook delete %s`.", h.Name, why, h.ID)}
	}
	return codedError{exitError, fmt.Sprintf("The secret of the webhook %s could not be written (%v), so the webhook was deleted; make it again.", h.Name, why)}
}

func (a *app) webhookDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete WEBHOOK", Aliases: []string{"rm"}, Short: "Delete a webhook", Example: "  lodge webhook delete chat",
		Args: takes(1, 1), ValidArgsFunction: a.names(1, a.webhookNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			h, err := a.webhook(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			if err := c.DeleteWebhook(cmd.Context(), h.ID); err != nil {
				return err
			}
			return a.print(h, func() writer { return line("The webhook " + h.Name + " is deleted.") })
		},
	}
}

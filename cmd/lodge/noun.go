package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"lodge/api/client"
)

// What every small noun has: list, show, delete.

func listing[T any](a *app, noun string, human func(*app, []T, owner) *table, ask func(context.Context, *client.Client) ([]T, error)) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List " + noun + "s",
		Example: "  lodge " + noun + " list\n  lodge " + noun + " list -o json",
		Args:    takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			items, err := ask(cmd.Context(), c)
			if err != nil {
				return err
			}
			return a.print(list(items), func() writer { return human(a, items, a.owner(cmd.Context(), c)) })
		},
	}
}

// finder finds an object by id or name.
type finder[T any] func(context.Context, *client.Client, string) (T, error)

type namer = func(context.Context, *client.Client) ([]string, error)

func showing[T any](a *app, noun string, names namer, find finder[T], human func(T, owner) *fields) *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show one " + noun, Example: "  lodge " + noun + " show NAME -o yaml",
		Args: takes(1, 1), ValidArgsFunction: a.names(1, names),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			found, err := find(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			return a.print(found, func() writer { return human(found, a.owner(cmd.Context(), c)) })
		},
	}
}

func deleting[T any](a *app, noun string, names namer, find finder[T], remove func(context.Context, *client.Client, T) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete NAME...", Aliases: []string{"rm"}, Short: "Delete " + noun + "s that nothing uses",
		Example: "  lodge " + noun + " delete NAME",
		Args:    takes(1, -1), ValidArgsFunction: a.names(-1, names),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			found := make([]T, 0, len(args))
			for _, arg := range args {
				one, err := find(cmd.Context(), c, arg)
				if err != nil {
					return err
				}
				found = append(found, one)
			}
			for _, one := range found {
				if err := remove(cmd.Context(), c, one); err != nil {
					return err
				}
			}
			a.say("%s deleted.", strings.Join(args, ", "))
			return nil
		},
	}
	cmd.Flags().BoolP("yes", "y", false, "nothing is asked here anyway; for who says it to every delete")
	return cmd
}

func join(words []string) string { return strings.Join(words, ", ") }

package main

import (
	"context"

	"github.com/spf13/cobra"

	"lodge/api/client"
)

// narrow adds the flags of a list to its command. labels says whether its
// objects have some.
func (a *app) narrow(cmd *cobra.Command, q *client.Query, labels bool) {
	fs := cmd.Flags()
	if labels {
		fs.StringVarP(&q.Label, "label", "l", "", "only what has such labels: env=prod,tier!=db,zone in (a,b),owner,!legacy")
	}
	fs.StringVar(&q.NamePrefix, "name-prefix", "", "only what has a name that begins so")
	fs.StringVar(&q.CreatedAfter, "created-after", "", "only what was made after this time, day or month, as 2026-11-05 (UTC)")
	fs.StringVar(&q.CreatedBefore, "created-before", "", "only what was made before this time, day or month")
	fs.StringVar(&q.Sort, "sort", "", "order: created_at, name, -created_at or -name (default created_at)")
	fs.StringVar(&q.Fields, "fields", "", "with -o json or yaml: only these fields, as id,name,state")
	a.complete(cmd, "sort", "created_at", "-created_at", "name", "-name")
}

// parts prints a list as lodged cut it down, for --fields.
func (a *app) parts(ctx context.Context, c *client.Client, noun string, q client.Query) error {
	if a.output == outputTable {
		return usagef("--fields goes with -o json or -o yaml.")
	}
	items, err := c.AllParts(ctx, noun, q)
	if err != nil {
		return err
	}
	return a.print(items, nil)
}

// narrowed is listing for a noun whose list can be narrowed.
func narrowed[T any](a *app, noun string, human func(*app, []T, owner) *table, ask func(context.Context, *client.Client, client.Query) ([]T, error)) *cobra.Command {
	var q client.Query
	cmd := listing(a, noun, human, func(ctx context.Context, c *client.Client) ([]T, error) { return ask(ctx, c, q) })
	whole := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if q.Fields == "" {
			return whole(cmd, args)
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		if noun != "tenant" && noun != "user" { // those lists are of all that the caller sees
			q.Tenant = a.tenant
		}
		return a.parts(cmd.Context(), c, noun+"s", q)
	}
	a.narrow(cmd, &q, noun != "user")
	return cmd
}

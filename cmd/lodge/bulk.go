package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"lodge/api/client"
	"lodge/api/wire"
)

// many are the flags that mean instances by their labels in place of names.
type many struct {
	query  client.Query
	dryRun bool
	tries  bool // one that is named can be tried too
}

func (m *many) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVarP(&m.query.Label, "label", "l", "", "all instances of the tenant with such labels, in place of NAME: env=test,!keep")
	if m.tries {
		fs.BoolVar(&m.dryRun, "dry-run", false, "check everything and say what would be, but change nothing")
	} else {
		fs.BoolVar(&m.dryRun, "dry-run", false, "with --label: only say which")
	}
	named := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		switch {
		case m.query.Label != "" && len(args) > 0:
			return usagef("Give names or --label, not both.")
		case m.query.Label != "":
			return nil
		case m.dryRun && !m.tries:
			return usagef("--dry-run goes with --label.")
		}
		return named(cmd, args)
	}
}

// bulkCall is one request about many instances.
type bulkCall func(context.Context, client.Bulk) (wire.BulkResult, error)

// changeMany does to all that have the labels what ask asks for: after a look at
// which they are, and a question where question is not empty. When their number
// is another by then, nothing is changed. It repeats until nothing remains.
func (a *app) changeMany(ctx context.Context, m many, question string, yes, force bool, ask bulkCall) (done wire.BulkResult, err error) {
	m.query.Tenant = a.tenant
	b := client.Bulk{Query: m.query, DryRun: true, Force: force}
	seen, err := ask(ctx, b)
	if seen.DryRun = m.dryRun; err != nil || m.dryRun || seen.Matched == 0 {
		return seen, err
	}
	if question != "" {
		what := itemNames(seen.Instances)
		if len(seen.Instances) > 10 || seen.Remaining > 0 {
			what = fmt.Sprintf("%d instances, as %s", seen.Matched, itemNames(seen.Instances[:min(10, len(seen.Instances))]))
		}
		if err := a.confirm(ctx, fmt.Sprintf(question, what), yes); err != nil {
			return seen, err
		}
	}
	b.DryRun, b.Expect = false, seen.Matched
	for {
		part, err := ask(ctx, b)
		if err != nil {
			return done, err
		}
		done.Matched = seen.Matched
		done.Instances = append(done.Instances, part.Instances...)
		done.Skipped, done.Remaining = append(done.Skipped, part.Skipped...), part.Remaining
		if part.Remaining == 0 || len(part.Instances) == 0 || len(part.Skipped) > 0 {
			return done, nil
		}
		b.Expect = part.Remaining
	}
}

func itemNames(items []wire.BulkItem) string {
	names := make([]string, 0, len(items))
	for _, i := range items {
		names = append(names, i.Name)
	}
	return join(names)
}

// printMany prints what was done to many; doing is "will be deleted". What was
// refused makes the command fail, after it was said.
func (a *app) printMany(r wire.BulkResult, dryRun bool, doing string) error {
	if r.Instances == nil {
		r.Instances = []wire.BulkItem{}
	}
	if r.Skipped == nil {
		r.Skipped = []wire.BulkSkipped{}
	}
	err := a.print(r, func() writer {
		var out strings.Builder
		switch {
		case r.Matched == 0:
			out.WriteString("There is no such instance.")
		case dryRun:
			fmt.Fprintf(&out, "%s with these labels: %s.", count(r.Matched, "instance"), itemNames(r.Instances))
		case len(r.Instances) > 0:
			fmt.Fprintf(&out, "%s %s.", itemNames(r.Instances), doing)
		}
		if r.Remaining > 0 {
			fmt.Fprintf(&out, " %d more.", r.Remaining)
		}
		return line(strings.TrimSpace(out.String()))
	})
	for _, s := range r.Skipped {
		a.note("%s: %s", s.Name, s.Detail)
	}
	if err == nil && len(r.Skipped) > 0 {
		return codedError{exitError, fmt.Sprintf("%s refused.", count(len(r.Skipped), "instance"))}
	}
	return err
}

// deleteMany is `delete --label`.
func (a *app) deleteMany(cmd *cobra.Command, c *client.Client, m many, yes bool, w waiting) error {
	ctx := cmd.Context()
	r, err := a.changeMany(ctx, m, "Delete %s and all data on them?", yes, false, c.DeleteInstances)
	if err != nil {
		return err
	}
	if m.dryRun {
		return a.printMany(r, true, "")
	}
	doing := "will be deleted"
	for _, i := range r.Instances {
		a.forgetHost(i.ID)
		if !w.wait {
			continue
		}
		if err := a.awaitGone(ctx, c, wire.Instance{ID: i.ID, Name: i.Name}, w.timeout); err != nil {
			return err
		}
		doing = "deleted"
	}
	return a.printMany(r, false, doing)
}

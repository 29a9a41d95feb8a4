package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"lodge/api/client"
	"lodge/api/wire"
)

// power is a command that changes the power of an instance.
type power struct {
	use, short, long, example string
	force                     string // help of --force, "" without
	ssh                       bool   // can wait for SSH
	till                      string // what --wait waits for
	doing                     string
	done                      string                        // "started"
	askMany                   func(*client.Client) bulkCall // nil: one at a time
	ask                       func(ctx context.Context, c *client.Client, id string, force bool) (wire.Instance, error)
}

func (a *app) startCommand() *cobra.Command {
	return a.powerCommand(power{
		use: "start NAME", short: "Start an instance", example: "  lodge start web1 --wait-for ssh\n  lodge start -l role=worker",
		ssh: true, till: waitRunning, doing: "is being started", done: "started",
		askMany: func(c *client.Client) bulkCall { return c.StartInstances },
		ask: func(ctx context.Context, c *client.Client, id string, _ bool) (wire.Instance, error) {
			return c.StartInstance(ctx, id)
		},
	})
}

func (a *app) stopCommand() *cobra.Command {
	return a.powerCommand(power{
		use: "stop NAME", short: "Stop an instance", example: "  lodge stop web1 --wait\n  lodge stop web1 --force\n  lodge stop -l env=test --dry-run",
		long: "stop asks the guest to shut down, and switches it off when it does not in time. Its disk and\n" +
			"address stay.",
		force: "pull the plug at once", till: waitStopped, doing: "is being stopped", done: "stopped",
		askMany: func(c *client.Client) bulkCall { return c.StopInstances },
		ask: func(ctx context.Context, c *client.Client, id string, force bool) (wire.Instance, error) {
			return c.StopInstance(ctx, id, force)
		},
	})
}

func (a *app) rebootCommand() *cobra.Command {
	return a.powerCommand(power{
		use: "reboot NAME", short: "Reboot an instance", example: "  lodge reboot web1 --wait-for ssh",
		force: "push the reset button", ssh: true, till: waitRunning, doing: "is being rebooted",
		ask: func(ctx context.Context, c *client.Client, id string, force bool) (wire.Instance, error) {
			return c.RebootInstance(ctx, id, force)
		},
	})
}

func (a *app) powerCommand(p power) *cobra.Command {
	var w waiting
	var force bool
	var m many
	cmd := &cobra.Command{
		Use: p.use, Short: p.short, Long: p.long, Example: p.example,
		Args:              takes(1, 1),
		ValidArgsFunction: a.names(1, a.instanceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := w.check(); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if m.query.Label != "" {
				if w.wanted(p.till) != "" {
					return usagef("--label goes without --wait; look with `lodge list --label`.")
				}
				r, err := a.changeMany(cmd.Context(), m, "", true, force, p.askMany(c))
				if err != nil {
					return err
				}
				return a.printMany(r, m.dryRun, "will be "+p.done)
			}
			in, err := a.instance(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			if in, err = p.ask(cmd.Context(), c, in.ID, force); err != nil {
				return err
			}
			return a.settleOn(cmd, c, in, w, p.till, p.doing)
		},
	}
	if p.askMany != nil {
		m.register(cmd)
	}
	if p.force != "" {
		cmd.Flags().BoolVar(&force, "force", false, p.force)
	}
	if p.ssh {
		w.registerFor(a, cmd)
	} else {
		w.register(cmd, stateOf(p.till))
	}
	return cmd
}

func (a *app) deleteCommand() *cobra.Command {
	var w waiting
	var yes bool
	m := many{tries: true}
	cmd := &cobra.Command{
		Use:     "delete NAME...",
		Aliases: []string{"rm"},
		Short:   "Delete instances with their disks",
		Long: "delete asks for the end of instances: guest, root disk, address. There is no way back, so it asks\n" +
			"first; without a terminal it wants --yes.",
		Example:           "  lodge delete web1\n  lodge delete job1 job2 job3 --yes --wait\n  lodge delete web1 --dry-run\n  lodge delete -l env=test --dry-run",
		Args:              takes(1, -1),
		ValidArgsFunction: a.names(-1, a.instanceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := w.check(); err != nil {
				return err
			}
			switch {
			case m.dryRun && w.wait:
				return usagef("--dry-run deletes nothing to wait for; leave --wait out.")
			case m.dryRun && len(args) > 1:
				return usagef("--dry-run goes with one NAME, or with --label.")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if m.query.Label != "" {
				return a.deleteMany(cmd, c, m, yes, w)
			}
			found, err := a.instances(cmd.Context(), c, args)
			if err != nil {
				return err
			}
			if m.dryRun {
				return a.tryDelete(cmd.Context(), c, found[0])
			}
			if err := a.confirm(cmd.Context(), fmt.Sprintf("Delete %s and all data on it?", strings.Join(args, ", ")), yes); err != nil {
				return err
			}
			return a.deleteAll(cmd.Context(), c, found, w)
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	m.register(cmd)
	w.register(cmd, "gone")
	return cmd
}

// instances finds them all before anything happens to one; a name that is given
// twice counts once.
func (a *app) instances(ctx context.Context, c *client.Client, names []string) ([]wire.Instance, error) {
	var found []wire.Instance
	seen := map[string]bool{}
	for _, name := range names {
		in, err := a.instance(ctx, c, name)
		if err != nil {
			return nil, err
		}
		if !seen[in.ID] {
			seen[in.ID] = true
			found = append(found, in)
		}
	}
	return found, nil
}

func (a *app) deleteAll(ctx context.Context, c *client.Client, found []wire.Instance, w waiting) error {
	for i, in := range found {
		out, err := c.DeleteInstance(ctx, in.ID)
		switch {
		case client.IsNotFound(err): // gone between the look and the wish
			out = in
			out.State = "gone"
		case err != nil:
			return err
		}
		found[i] = out
		a.forgetHost(in.ID)
	}
	for i, in := range found {
		if !w.wait {
			continue
		}
		if err := a.awaitGone(ctx, c, in, w.timeout); err != nil {
			return err
		}
		found[i].State, found[i].Task = "gone", ""
	}
	return a.print(list(found), func() writer {
		names := make([]string, 0, len(found))
		for _, in := range found {
			names = append(names, in.Name)
		}
		if w.wait {
			return line(strings.Join(names, ", ") + " deleted.")
		}
		return line(strings.Join(names, ", ") + " will be deleted.")
	})
}

// confirm asks a person. Nobody to ask is a no.
func (a *app) confirm(ctx context.Context, question string, yes bool) error {
	if yes {
		return nil
	}
	if !a.ttyIn {
		return usagef("%s Say --yes, for there is no terminal to ask on.", question)
	}
	answer, err := a.ask(ctx, question+" [y/N] ") // the end of input is a no
	if err != nil {
		return err
	}
	switch strings.ToLower(answer) {
	case "y", "yes":
		return nil
	}
	return codedError{exitError, "Nothing was deleted."}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"lodge/api/client"
	"lodge/api/wire"
)

// What operations can be narrowed to.
var (
	operationStates = []string{"running", "succeeded", "failed", "cancelled", "superseded"}
	operationKinds  = []string{
		"instance.create", "instance.update", "instance.start", "instance.stop", "instance.reboot", "instance.delete",
		"image.import", "image.delete",
	}
)

func (a *app) operationsCommand() *cobra.Command {
	var q client.OperationQuery
	cmd := &cobra.Command{
		Use:   "operations [INSTANCE]",
		Short: "Show what is being done and what became of it, oldest first",
		Long: "operations shows the work that requests meant: running, or ended in the last 7 days. For an instance or\n" +
			"an image that is gone, give its id.",
		Example: `  lodge operations --state running
  lodge operations web1
  lodge operations --kind image.import -o json`,
		Args: takes(0, 1), ValidArgsFunction: a.names(1, a.instanceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			q.Tenant = a.tenant
			if len(args) > 0 {
				if q.Resource, err = a.resource(cmd.Context(), c, args[0]); err != nil {
					return err
				}
			}
			items, err := c.AllOperations(cmd.Context(), q)
			if err != nil {
				return err
			}
			return a.print(list(items), func() writer { return operationTable(a, items) })
		},
	}
	cmd.Flags().StringVar(&q.State, "state", "", "only those in this state: "+strings.Join(operationStates, ", "))
	cmd.Flags().StringVar(&q.Kind, "kind", "", "only those of this kind, as instance.create")
	a.complete(cmd, "state", operationStates...)
	a.complete(cmd, "kind", operationKinds...)
	return cmd
}

// resource is the id of what operations are asked for: an id as it is, for the
// object may be gone, or that of an instance by its name.
func (a *app) resource(ctx context.Context, c *client.Client, arg string) (string, error) {
	if uuid.MatchString(arg) {
		return strings.ToLower(arg), nil
	}
	in, err := a.instance(ctx, c, arg)
	return in.ID, err
}

func (a *app) operationCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "operation", Short: "Show one operation, wait for its end, or cancel it"}
	cmd.AddCommand(a.operationShowCommand(), a.operationWaitCommand(), a.operationCancelCommand())
	return group(cmd)
}

func (a *app) operationShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show one operation", Example: "  lodge operation show ID -o yaml",
		Args: takes(1, 1), ValidArgsFunction: a.names(1, a.operationIDs),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			o, err := c.Operation(cmd.Context(), args[0], 0)
			if err != nil {
				return err
			}
			return a.print(o, func() writer { return a.operationFields(o) })
		},
	}
}

func (a *app) operationWaitCommand() *cobra.Command {
	timeout := waitMost
	cmd := &cobra.Command{
		Use: "wait ID", Short: "Wait until an operation has ended",
		Long:    "wait ends with 0 only when the operation succeeded; else it says what became of it.",
		Example: "  lodge operation wait ID --timeout 5m",
		Args:    takes(1, 1), ValidArgsFunction: a.names(1, a.operationIDs),
		RunE: func(cmd *cobra.Command, args []string) error {
			if timeout <= 0 {
				return usagef("--timeout %s: use a time, as 5m.", timeout)
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			p := a.progress()
			o, err := c.WaitOperation(ctx, args[0], func(o wire.Operation) { p.say(operationLine(o)) })
			p.clear()
			switch {
			case errors.Is(err, context.DeadlineExceeded) && cmd.Context().Err() == nil:
				return waitf("The operation has not ended after %s.", timeout)
			case err != nil:
				return err
			case o.State != "succeeded":
				return waitf("%s", harmless(operationEnd(o)))
			}
			return a.print(o, func() writer { return line(harmless(operationEnd(o))) })
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", waitMost, "how long to wait at most")
	return cmd
}

func (a *app) operationCancelCommand() *cobra.Command {
	return &cobra.Command{
		Use: "cancel ID", Short: "Cancel an operation and delete what it has made",
		Long: "cancel ends the create of an instance that is not built yet, or the import of an image from a URL, and\n" +
			"deletes what there is of it. Other operations cannot be cancelled.",
		Example: "  lodge operation cancel ID",
		Args:    takes(1, 1), ValidArgsFunction: a.names(1, a.operationIDs),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			o, err := c.CancelOperation(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.print(o, func() writer { return line(harmless(operationEnd(o)) + " What it made is being deleted.") })
		},
	}
}

// operationIDs are those that are worth waiting for.
func (a *app) operationIDs(ctx context.Context, c *client.Client) ([]string, error) {
	items, err := c.AllOperations(ctx, client.OperationQuery{Tenant: a.tenant, State: "running"})
	return pick(items, err, func(o wire.Operation) string { return o.ID })
}

// operationTable shows names that strangers chose: nothing in it is for the
// terminal to obey.
func operationTable(a *app, items []wire.Operation) *table {
	t := &table{header: []string{"ID", "OPERATION", "OF", "STATE", "BY", "AGE", "WHY"}}
	for _, o := range items {
		t.add(o.ID, o.Kind, harmless(operationOf(o)), operationState(o), harmless(operationBy(o)), age(a.now(), o.CreatedAt.Time), operationCode(o))
	}
	return t
}

func (a *app) operationFields(o wire.Operation) *fields {
	f := &fields{}
	f.set("Id", o.ID)
	f.set("Operation", o.Kind)
	for _, r := range o.Resources {
		f.set("Of", harmless(fmt.Sprintf("%s %s (%s)", r.Kind, r.Name, r.ID)))
	}
	f.set("State", operationState(o))
	if o.Error != nil {
		f.set("Error", harmless(o.Error.Code+": "+o.Error.Message))
	}
	f.set("Problem", a.problem(o.Problem))
	f.set("By", harmless(operationBy(o)))
	f.set("Request", o.RequestID)
	f.set("Created", a.when(o.CreatedAt))
	f.set("Ended", a.when(o.EndedAt))
	return f
}

func operationOf(o wire.Operation) string {
	names := make([]string, len(o.Resources))
	for i, r := range o.Resources {
		names[i] = r.Name
	}
	return join(names)
}

// operationState is "running, 28%".
func operationState(o wire.Operation) string {
	switch p := o.Progress; {
	case p == nil || o.Ended():
		return o.State
	case p.Percent != nil:
		return fmt.Sprintf("%s, %d%%", o.State, *p.Percent)
	case p.BytesDone > 0:
		return o.State + ", " + iec(p.BytesDone)
	}
	return o.State
}

func operationBy(o wire.Operation) string {
	if o.CreatedBy.UserName != "" {
		return o.CreatedBy.UserName
	}
	return o.CreatedBy.Via
}

func operationCode(o wire.Operation) string {
	if o.Error != nil {
		return o.Error.Code
	}
	return problemCode(o.Problem)
}

func operationLine(o wire.Operation) string {
	text := fmt.Sprintf("%s of %s: %s", o.Kind, operationOf(o), operationState(o))
	if o.Problem != nil {
		text += "; " + o.Problem.Message
	}
	return harmless(text)
}

func operationEnd(o wire.Operation) string {
	text := fmt.Sprintf("The operation %s of %s %s.", o.Kind, operationOf(o), map[string]string{
		"succeeded": "succeeded", "failed": "failed", "cancelled": "was cancelled", "superseded": "was superseded",
	}[o.State])
	if o.Error != nil {
		text = strings.TrimSuffix(text, ".") + ": " + o.Error.Message
	}
	return text
}

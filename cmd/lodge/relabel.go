package main

import (
	"context"

	"github.com/spf13/cobra"

	"lodge/api/client"
	"lodge/api/wire"
)

// labelFlags are --label and --unlabel of a change.
type labelFlags struct{ given, gone []string }

func (f *labelFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.given, "label", nil, "key=value; may be repeated")
	cmd.Flags().StringArrayVar(&f.gone, "unlabel", nil, "key of a label to remove; may be repeated")
}

// wanted puts both together, nil for neither.
func (f *labelFlags) wanted() (map[string]*string, error) {
	set, err := newLabels(f.given)
	if err != nil || len(f.given)+len(f.gone) == 0 {
		return nil, err
	}
	m := make(map[string]*string, len(f.given)+len(f.gone))
	for k, v := range set {
		m[k] = &v
	}
	for _, k := range f.gone {
		if k == "" {
			return nil, usagef("--unlabel is empty; give it the key of a label.")
		}
		if _, both := set[k]; both {
			return nil, usagef("The label %s is set and removed at once; say one of them.", shown(k))
		}
		m[k] = nil
	}
	return m, nil
}

// relabelling is `set` of a noun of which only labels can be changed.
func relabelling[T any](a *app, noun string, names namer, find finder[T], change func(context.Context, *client.Client, T, wire.UpdateLabels) (T, error)) *cobra.Command {
	var f labelFlags
	cmd := &cobra.Command{
		Use: "set NAME", Short: "Change the labels of a " + noun,
		Example: "  lodge " + noun + " set NAME --label team=red --unlabel draft",
		Args:    takes(1, 1), ValidArgsFunction: a.names(1, names),
		RunE: func(cmd *cobra.Command, args []string) error {
			labels, err := f.wanted()
			if err != nil {
				return err
			}
			if labels == nil {
				return usagef("Say what to change: --label or --unlabel.")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			found, err := find(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			changed, err := change(cmd.Context(), c, found, wire.UpdateLabels{Labels: labels})
			if err != nil {
				return err
			}
			return a.print(changed, func() writer { return line("The " + noun + " " + args[0] + " is changed.") })
		},
	}
	f.register(cmd)
	return cmd
}

package main

import "github.com/spf13/cobra"

// protection is --protect and --unprotect of a change.
type protection struct{ on, off bool }

func (p *protection) register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&p.on, "protect", false, "refuse its deletion")
	cmd.Flags().BoolVar(&p.off, "unprotect", false, "let it be deleted again")
}

// wanted is nil when neither was given.
func (p *protection) wanted() (*bool, error) {
	if p.on && p.off {
		return nil, usagef("--protect goes without --unprotect.")
	}
	if !p.on && !p.off {
		return nil, nil
	}
	return &p.on, nil
}

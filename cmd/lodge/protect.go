package main

import "github.com/spf13/cobra"

// protection is --protect and --unprotect of a change.
type protection struct{ on, off bool }

func (p *protection) register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&p.on, "protect", false, "refuse its deletion")
	cmd.Flags().BoolVar(&p.off, "unprotect", false, "let it be deleted again")
	cmd.MarkFlagsMutuallyExclusive("protect", "unprotect")
}

// wanted is nil when neither was given.
func (p *protection) wanted(cmd *cobra.Command) *bool {
	changed := cmd.Flags().Changed
	if !changed("protect") && !changed("unprotect") {
		return nil
	}
	on := p.on || changed("unprotect") && !p.off
	return &on
}

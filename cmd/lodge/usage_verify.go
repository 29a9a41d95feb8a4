package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"lodge/api/wire"
)

func (a *app) usageVerifyCommand() *cobra.Command {
	var head string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Compute the usage ledger again and say what differs (operator)",
		Long: "verify computes every closed hour and every hash of the ledger's chain again, and looks for overlaps, missing rows,\n" +
			"and what is counted although it is not there. When anything differs it says which row and why, and exits with 1.\n" +
			"Keep the HEAD that it prints: with --head it is compared later, so that a chain that was made anew or cut off is found too.\n" +
			"A file whose lodged is stopped, or a backup, is read by `lodged verify --file PATH`.",
		Example: "  lodge usage verify || echo 'look at it before the next invoice'",
		Args:    takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			v, err := c.VerifyUsage(cmd.Context(), head)
			if err != nil {
				return err
			}
			if err := a.print(v, func() writer { return verificationTable(v) }); err != nil {
				return err
			}
			if !v.OK {
				return codedError{exitError, fmt.Sprintf("The ledger differs from what it should be in %d places.", v.Wrong)}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&head, "head", "", "a HEAD that was kept elsewhere, NUMBER:SHA256")
	return cmd
}

func verificationTable(v wire.UsageVerification) writer {
	if !v.OK {
		t := &table{header: []string{"CHECK", "TABLE", "ROW", "WHY"}}
		for _, f := range v.Findings {
			row := "-"
			if f.Row != 0 {
				row = fmt.Sprint(f.Row)
			}
			t.add(f.Check, f.Table, row, f.Message)
		}
		return t
	}
	t := &table{header: []string{"INTERVALS", "HOURS", "LINKS", "PENDING", "CLOSED-UNTIL", "HEAD"}}
	until := "-"
	if !v.To.IsZero() {
		until = v.To.UTC().Format("2006-01-02T15:04Z")
	}
	t.add(fmt.Sprint(v.Intervals), fmt.Sprint(v.Hours), fmt.Sprint(v.Links), fmt.Sprint(v.Pending), until, fmt.Sprintf("%d:%s", v.Head.Number, v.Head.SHA256))
	return t
}

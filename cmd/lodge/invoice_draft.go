package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"lodge/api/client"
	"lodge/api/wire"
)

// invoiceFormat is where an invoice goes, and as what; nothing: to the terminal
// as a table.
type invoiceFormat struct{ csv, html string }

func (f *invoiceFormat) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.csv, "csv", "", "write it as CSV to this file; - is the terminal")
	cmd.Flags().StringVar(&f.html, "html", "", "write it as a page to this file; - is the terminal")
}

func (f invoiceFormat) check() error {
	if f.csv != "" && f.html != "" {
		return usagef("Give --csv or --html, not both.")
	}
	return nil
}

func (a *app) invoiceDraftCommand() *cobra.Command {
	var as invoiceFormat
	cmd := &cobra.Command{
		Use: "draft [MONTH]", Short: "Show what the invoice of a month would be",
		Long: "draft gives what the invoice of a month of your tenant (--tenant for others) would be now: of the present month as far as\n" +
			"it is, of one that is over until it is frozen. A month that is frozen has an invoice, which show gives.",
		Example: "  lodge invoice draft\n  lodge --tenant acme invoice draft 2026-11 --html draft.html",
		Args:    takes(0, 1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := as.check(); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			q := client.InvoiceQuery{Tenant: a.tenant}
			if len(args) > 0 {
				q.Month = args[0]
			}
			return a.showInvoice(cmd.Context(), c, "", q, as)
		},
	}
	as.flags(cmd)
	return cmd
}

// showInvoice shows an invoice, or without an id the draft of a month.
func (a *app) showInvoice(ctx context.Context, c *client.Client, id string, q client.InvoiceQuery, as invoiceFormat) (err error) {
	switch {
	case as.csv != "":
		return a.invoiceFile(ctx, c, id, q, "csv", as.csv)
	case as.html != "":
		return a.invoiceFile(ctx, c, id, q, "html", as.html)
	}
	var i wire.Invoice
	if id != "" {
		i, err = c.Invoice(ctx, id)
	} else {
		i, err = c.DraftInvoice(ctx, q)
	}
	if err != nil {
		if a.tenant == "" && id == "" && strings.Contains(err.Error(), "An invoice is of one tenant") {
			return usagef("An invoice is of one tenant: name it with --tenant.")
		}
		return err
	}
	return a.print(i, func() writer { return invoiceSheet(i) })
}

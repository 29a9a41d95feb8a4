package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"lodge/api/client"
	"lodge/api/wire"
)

func (a *app) invoiceCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "invoice", Short: "Freeze months, and show and print invoices"}
	cmd.AddCommand(a.invoiceCreateCommand(), a.invoiceListCommand(), a.invoiceShowCommand(), a.invoiceDraftCommand())
	return group(cmd)
}

func (a *app) invoiceCreateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "create MONTH", Short: "Freeze a month of a tenant (operator)",
		Long: "create makes the invoice of a month of the tenant that --tenant names, once all of its hours are closed. It never\n" +
			"changes: what is found out later is a correction on the next one.",
		Example: "  lodge --tenant acme invoice create 2026-11",
		Args:    takes(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.tenant == "" {
				return usagef("An invoice is of one tenant: name it with --tenant.")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			i, err := c.CreateInvoice(cmd.Context(), wire.CreateInvoice{Tenant: a.tenant, Month: args[0]})
			if err != nil {
				return err
			}
			return a.print(i, func() writer {
				return line(fmt.Sprintf("%s of %s for %s: %s.", i.Number, i.Month, i.Tenant, moneyText(i.Total, i.Currency)))
			})
		},
	}
}

func (a *app) invoiceListCommand() *cobra.Command {
	var q client.InvoiceQuery
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List invoices",
		Long:    "list shows the invoices of your tenant, the newest first; an operator sees all.",
		Example: "  lodge invoice list\n  lodge invoice list --month 2026-11 -o json",
		Args:    takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			q.Tenant = a.tenant
			items, err := c.Invoices(cmd.Context(), q)
			if err != nil {
				return err
			}
			return a.print(list(items), func() writer { return invoiceTable(items) })
		},
	}
	cmd.Flags().StringVar(&q.Month, "month", "", "only of this month, as 2026-11")
	return cmd
}

func invoiceTable(items []wire.Invoice) *table {
	t := &table{header: []string{"NUMBER", "TENANT", "MONTH", "TOTAL", "MADE", "ID"}}
	for _, i := range items {
		t.add(i.Number, i.Tenant, i.Month, moneyText(i.Total, i.Currency), i.CreatedAt.UTC().Format("2006-01-02"), i.ID)
	}
	return t
}

func (a *app) invoiceShowCommand() *cobra.Command {
	var as invoiceFormat
	cmd := &cobra.Command{
		Use: "show [MONTH|ID]", Short: "Show an invoice, or the draft of a month that has none",
		Long: "show gives the invoice of a month of your tenant (--tenant for others), or by its id. A month that is not frozen gives a\n" +
			"draft of what its invoice would be; without a month it is the present one. --html writes a page that prints on A4,\n" +
			"--csv the lines with tax and rounding, which add up to the total.",
		Example: "  lodge invoice show 2026-11\n  lodge --tenant acme invoice show 2026-11 --html invoice.html\n  lodge invoice show --csv -",
		Args:    takes(0, 1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := as.check(); err != nil {
				return err
			}
			if as.csv+as.html != "" && cmd.Flags().Changed("output") {
				return usagef("--csv and --html say the format; leave --output out.")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			id, q, err := a.whichInvoice(cmd.Context(), c, args)
			if err != nil {
				return err
			}
			return a.showInvoice(cmd.Context(), c, id, q, as)
		},
	}
	as.flags(cmd)
	return cmd
}

// whichInvoice gives the id of an invoice, or the month of a draft.
func (a *app) whichInvoice(ctx context.Context, c *client.Client, args []string) (id string, q client.InvoiceQuery, err error) {
	q.Tenant = a.tenant
	if len(args) == 0 {
		return "", q, nil
	}
	if uuid.MatchString(args[0]) {
		return args[0], q, nil
	}
	q.Month = args[0]
	made, err := c.Invoices(ctx, q)
	if err != nil || len(made) == 0 {
		return "", q, err
	}
	if len(made) > 1 {
		return "", q, usagef("%d tenants have an invoice of %s: name one with --tenant.", len(made), q.Month)
	}
	return made[0].ID, q, nil
}

func (a *app) invoiceFile(ctx context.Context, c *client.Client, id string, q client.InvoiceQuery, format, path string) (err error) {
	var b []byte
	if id != "" {
		b, err = c.InvoiceAs(ctx, id, format)
	} else {
		b, err = c.DraftInvoiceAs(ctx, q, format)
	}
	if err != nil {
		return err
	}
	return a.toFile(path, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// toFile writes to a file that is not there yet, or for - to the terminal. What
// failed leaves no file.
func (a *app) toFile(path string, write func(io.Writer) error) error {
	if path == "-" {
		return write(a.out)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return usagef("The file %s cannot be made: %v.", path, err)
	}
	if err = write(f); err == nil {
		err = f.Close()
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(path)
	}
	return err
}

// invoiceSheet is the lines of an invoice and its sums.
type invoiceSheet wire.Invoice

func (i invoiceSheet) write(w io.Writer) error {
	title := i.Number
	if i.Draft {
		title = "Draft"
	}
	if _, err := fmt.Fprintf(w, "%s of %s for %s\n\n", title, i.Month, i.Tenant); err != nil {
		return err
	}
	t := &table{header: []string{"RESOURCE", "METER", "QUANTITY", "UNIT", "PRICE", "OFF", "COST", "WHAT"}}
	for _, l := range i.Lines {
		what, off := l.Kind, ""
		if l.Correction {
			what = "correction of " + l.Month
		}
		if l.DiscountPercent != "" {
			off = l.DiscountPercent + "%"
		}
		t.add(l.Resource, l.Meter, l.Quantity, l.Unit, l.UnitPrice, off, l.Cost, what)
	}
	t.add("(all)", "", "", "", "", "", i.Subtotal, "subtotal")
	if i.TaxPercent != "" {
		t.add("", "", "", "", "", "", i.Tax, "tax of "+i.TaxPercent+"%")
	}
	t.add("", "", "", "", "", "", i.Rounding, "rounding")
	t.add("", "", "", "", "", "", moneyText(i.Total, i.Currency), "total")
	if err := t.write(w); err != nil || i.Note == "" {
		return err
	}
	_, err := fmt.Fprintln(w, "\nSome of what was used has no price and is on no line.")
	return err
}

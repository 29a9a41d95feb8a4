package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"lodge/api/client"
	"lodge/api/wire"
)

func (a *app) discountCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "discount", Short: "Show and give discounts of tenants"}
	cmd.AddCommand(a.discountListCommand(), a.discountShowCommand(), a.discountAddCommand(), a.discountEndCommand())
	return group(cmd)
}

func (a *app) discountListCommand() *cobra.Command {
	var q client.PriceQuery
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List discounts",
		Example: "  lodge discount list\n  lodge discount list --at 2026-12",
		Args:    takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			q.Tenant = a.tenant
			items, err := c.Discounts(cmd.Context(), q)
			if err != nil {
				return err
			}
			return a.print(list(items), func() writer { return discountTable(items, a.owner(cmd.Context(), c)) })
		},
	}
	a.priceFlags(cmd, &q)
	return cmd
}

func discountTable(items []wire.Discount, tenant owner) *table {
	t := &table{header: []string{"TENANT", "METER", "PERCENT", "FROM", "TO", "ID"}}
	for _, d := range items {
		t.add(tenant(d.TenantID), discountOf(d), d.Percent, hourText(d.ValidFrom), hourText(d.ValidTo), d.ID)
	}
	return t
}

func (a *app) discountShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show one discount", Example: "  lodge discount show 0192f0c4-0000-7000-8000-00000000001d",
		Args: takes(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			d, err := c.Discount(cmd.Context(), strings.ToLower(args[0]))
			if err != nil {
				return err
			}
			return a.print(d, func() writer { return discountTable([]wire.Discount{d}, a.owner(cmd.Context(), c)) })
		},
	}
}

func discountOf(d wire.Discount) string {
	if d.Meter == "" {
		return "all"
	}
	return d.Meter
}

// offWhat is what a discount is on, in a sentence.
func offWhat(d wire.Discount) string {
	if d.Meter == "" {
		return "everything"
	}
	return d.Meter
}

func (a *app) discountAddCommand() *cobra.Command {
	var want wire.CreateDiscount
	cmd := &cobra.Command{
		Use: "add TENANT PERCENT", Short: "Give a tenant a discount",
		Long:    "add takes a part off what a tenant pays, of one meter or of all. One of the meter counts in place of one of all.",
		Example: "  lodge discount add acme 12.5 --from 2026-12 --to 2027-01\n  lodge discount add acme 50 --meter egress",
		Args:    takes(2, 2), ValidArgsFunction: a.names(1, a.tenantNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			want.Tenant, want.Percent = args[0], strings.TrimSuffix(args[1], "%")
			c, err := a.client()
			if err != nil {
				return err
			}
			d, err := c.CreateDiscount(cmd.Context(), want)
			if err != nil {
				return err
			}
			return a.print(d, func() writer {
				return line(fmt.Sprintf("From %s on, %s has %s%% off %s (%s).", hourText(d.ValidFrom), args[0], d.Percent, offWhat(d), d.ID))
			})
		},
	}
	cmd.Flags().StringVar(&want.Meter, "meter", "", "only of this meter")
	cmd.Flags().StringVar(&want.ValidFrom, "from", "", "first hour, day or month; this hour when absent")
	cmd.Flags().StringVar(&want.ValidTo, "to", "", "hour, day or month from which it no longer counts")
	a.complete(cmd, "meter", billedMeters...)
	return cmd
}

func (a *app) discountEndCommand() *cobra.Command {
	var at string
	cmd := &cobra.Command{
		Use: "end ID", Short: "End a discount", Example: "  lodge discount end 0192f0c4-0000-7000-8000-00000000001d --at 2027-01",
		Args: takes(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			d, err := c.EndDiscount(cmd.Context(), strings.ToLower(args[0]), wire.EndPrice{At: at})
			if err != nil {
				return err
			}
			return a.print(d, func() writer {
				return line("The discount of " + d.Percent + "% on " + offWhat(d) + " ends at " + hourText(d.ValidTo) + ".")
			})
		},
	}
	cmd.Flags().StringVar(&at, "at", "", "whole hour, day or month at which it ends")
	return cmd
}

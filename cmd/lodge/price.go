package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"lodge/api/client"
	"lodge/api/wire"
)

// billedMeters are the meters that have prices.
var billedMeters = []string{"instance", "vcpu", "memory", "disk", "volume", "snapshot", "image", "floating_ip", "egress", "ingress"}

func (a *app) priceCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "price", Short: "Show and set what things cost"}
	cmd.AddCommand(a.priceListCommand(), a.priceShowCommand(), a.priceAddCommand(), a.priceEndCommand())
	return group(cmd)
}

func (a *app) priceListCommand() *cobra.Command {
	var q client.PriceQuery
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List prices",
		Long:    "list shows the general prices and those of your tenant; an operator sees all.",
		Example: "  lodge price list\n  lodge price list --meter vcpu --at 2026-12 -o json",
		Args:    takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			q.Tenant = a.tenant
			items, err := c.Prices(cmd.Context(), q)
			if err != nil {
				return err
			}
			return a.print(list(items), func() writer { return priceTable(items, a.owner(cmd.Context(), c)) })
		},
	}
	a.priceFlags(cmd, &q)
	return cmd
}

func (a *app) priceShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show one price", Example: "  lodge price show 0192f0c4-0000-7000-8000-00000000001b",
		Args: takes(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			p, err := c.Price(cmd.Context(), strings.ToLower(args[0]))
			if err != nil {
				return err
			}
			return a.print(p, func() writer { return priceTable([]wire.Price{p}, a.owner(cmd.Context(), c)) })
		},
	}
}

func (a *app) priceFlags(cmd *cobra.Command, q *client.PriceQuery) {
	cmd.Flags().StringVar(&q.Meter, "meter", "", "only of this meter")
	cmd.Flags().StringVar(&q.At, "at", "", "only what is valid then: a moment, day or month, as 2026-12")
	a.complete(cmd, "meter", billedMeters...)
}

func priceTable(items []wire.Price, tenant owner) *table {
	t := &table{header: []string{"METER", "PRICE", "PER", "FOR", "FROM", "TO", "TERMS", "ID"}}
	for _, p := range items {
		t.add(p.Meter, p.UnitPrice+" "+p.Currency, p.Unit, priceFor(p, tenant), hourText(p.ValidFrom), hourText(p.ValidTo), priceTerms(p), p.ID)
	}
	return t
}

// priceFor says what a price is of, beside its meter.
func priceFor(p wire.Price, tenant owner) string {
	var words []string
	if p.TenantID != "" {
		words = append(words, tenant(p.TenantID))
	}
	if p.Flavor != "" {
		words = append(words, p.Flavor)
	}
	if p.Label != "" {
		words = append(words, p.Label)
	}
	if len(words) == 0 {
		return "all"
	}
	return strings.Join(words, " ")
}

func priceTerms(p wire.Price) string {
	words := []string{"any state"}
	if len(p.States) > 0 {
		words = []string{strings.Join(p.States, "/")}
	}
	if p.MinimumSeconds > 0 {
		words = append(words, fmt.Sprintf("at least %d s", p.MinimumSeconds))
	}
	if p.CapHours > 0 {
		words = append(words, fmt.Sprintf("at most %d h a month", p.CapHours))
	}
	return strings.Join(words, ", ")
}

// hourText is a whole hour; "" for none.
func hourText(t wire.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04Z")
}

func (a *app) priceAddCommand() *cobra.Command {
	var want wire.CreatePrice
	cmd := &cobra.Command{
		Use: "add METER PRICE", Short: "Set a price",
		Long: "add sets what one unit of a meter costs, from a whole hour on that is not before this one. A price is never\n" +
			"changed: it is ended, and another one set; --replace does both. The most specific price counts: one of the\n" +
			"tenant (--tenant), then of labels, then of a flavor, then the general one. The first price says the currency.\n" +
			"The meters are " + join(billedMeters) + ".\nPrices are per hour of one, of a vCPU or of a GiB; those of egress and ingress per GB of 10^9 bytes.",
		Example: "  lodge price add vcpu 0.0125 --currency EUR --minimum 60 --cap 672\n" +
			"  lodge price add memory 0.004 --from 2026-12 --replace\n" +
			"  lodge --tenant acme price add disk 0.0001 --selector tier=archive",
		Args: takes(2, 2), ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return billedMeters, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			want.Meter, want.UnitPrice, want.Tenant = args[0], args[1], a.tenant
			if cmd.Flags().Changed("state") && len(want.States) == 1 && want.States[0] == "any" {
				want.States = []string{}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			p, err := c.CreatePrice(cmd.Context(), want)
			if err != nil {
				return err
			}
			if want.Flavor != "" {
				if _, err := c.Flavor(cmd.Context(), want.Flavor); err != nil {
					if code, _ := a.explain(err); code == exitNotFound {
						a.note("There is no flavor %s yet; the price counts once there is.", shown(want.Flavor))
					}
				}
			}
			return a.print(p, func() writer {
				return line(fmt.Sprintf("From %s on, %s costs %s %s per %s (%s).", hourText(p.ValidFrom), p.Meter, p.UnitPrice, p.Currency, p.Unit, p.ID))
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&want.Currency, "currency", "", "currency of the book, as EUR; the first price says it")
	f.StringVar(&want.Flavor, "flavor", "", "only for instances of this flavor")
	f.StringVarP(&want.Label, "selector", "l", "", "only for what has these labels, as env=prod,tier!=db")
	f.StringVar(&want.ValidFrom, "from", "", "first hour, day or month; this hour when absent")
	f.StringVar(&want.ValidTo, "to", "", "hour, day or month from which it no longer counts")
	f.Int64Var(&want.MinimumSeconds, "minimum", 0, "seconds that each start costs at least")
	f.Int64Var(&want.CapHours, "cap", 0, "hours that cost something in a month at most")
	f.StringSliceVar(&want.States, "state", nil, "state in which it costs something, or \"any\"; may be repeated")
	f.BoolVar(&want.Replace, "replace", false, "end the price of the same where this one begins")
	a.completeFrom(cmd, "flavor", a.names(-1, a.flavorNames))
	a.complete(cmd, "state", "any", "running", "paused", "stopped", "sleeping", "building", "error")
	return cmd
}

func (a *app) priceEndCommand() *cobra.Command {
	var at string
	cmd := &cobra.Command{
		Use: "end ID", Short: "End a price",
		Long:    "end lets a price end at a whole hour that is not past: the next one, or --at. What was used until then keeps its price.",
		Example: "  lodge price end 0192f0c4-0000-7000-8000-00000000001b --at 2027-01",
		Args:    takes(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			p, err := c.EndPrice(cmd.Context(), strings.ToLower(args[0]), wire.EndPrice{At: at})
			if err != nil {
				return err
			}
			return a.print(p, func() writer { return line("The price of " + p.Meter + " ends at " + hourText(p.ValidTo) + ".") })
		},
	}
	cmd.Flags().StringVar(&at, "at", "", "whole hour, day or month at which it ends")
	return cmd
}

package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"lodge/api/client"
	"lodge/api/wire"
)

func (a *app) costCommand() *cobra.Command {
	var month, from, to string
	var q client.CostQuery
	cmd := &cobra.Command{
		Use: "cost [INSTANCE]", Short: "Show what it costs, and will cost in this month",
		Long: "cost shows what was used in a period costs at the prices of the book, deleted instances included. Times are\n" +
			"whole hours of UTC; --to is not included. Without a period it is the present month, with a forecast of its\n" +
			"end. The figures are exact and not rounded to the currency; the lines add up to the total.",
		Example: `  lodge cost
  lodge cost --month 2026-11 --by day
  lodge cost -l env=prod --by label:team
  lodge cost web1 --by meter -o json`,
		Args: takes(0, 1), ValidArgsFunction: a.names(1, a.instanceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			start, end, err := period(month, from, to)
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			q.Tenant, q.From, q.To = a.tenant, stamp(start), stamp(end)
			if len(args) > 0 {
				if q.Instance, err = a.meteredInstance(cmd.Context(), c, client.UsageQuery{Tenant: a.tenant, From: q.From, To: q.To}, args[0]); err != nil {
					return err
				}
			}
			cost, err := c.Cost(cmd.Context(), q)
			if err != nil {
				return err
			}
			return a.print(cost, func() writer { return costTable(cost) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&month, "month", "", "a whole month, as 2026-11")
	f.StringVar(&from, "from", "", "first day or hour, as 2026-11-01 or 2026-11-01T12:00:00Z")
	f.StringVar(&to, "to", "", "day or hour that is no longer counted")
	f.StringVar(&q.By, "by", "", "a line for each instance, tenant, day, hour, meter or label:KEY")
	f.StringVarP(&q.Label, "selector", "l", "", "only what had these labels when it was used, as env=prod,tier!=db")
	a.complete(cmd, "by", "instance", "tenant", "day", "hour", "meter", "label:")
	return cmd
}

// costTable is the lines, their sum, and what is to come.
type costTable wire.Cost

func (c costTable) write(w io.Writer) error {
	var t *table
	if c.By == "meter" {
		t = &table{header: []string{"METER", "QUANTITY", "UNIT", "COST", "NOTE"}}
	} else {
		t = &table{header: []string{costHeader(c.By), "COST", "NOTE"}}
	}
	money := func(s string) string { return moneyText(s, c.Currency) }
	for _, l := range c.Lines {
		name := lineName(l.Name, l.Key)
		if c.By == "meter" {
			t.add(name, l.Quantity, l.Unit, money(l.Cost), l.Note)
			continue
		}
		t.add(name, money(l.Cost), l.Note)
	}
	if c.By == "meter" {
		t.add("(all)", "", "", money(c.Cost), c.Note)
	} else {
		t.add("(all)", money(c.Cost), c.Note)
	}
	if err := t.write(w); err != nil || c.Forecast == nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nThe month until %s will cost %s. %s\n", hourText(c.Forecast.To), money(c.Forecast.Cost), c.Forecast.Assumption)
	return err
}

// lineName is what a line of a report is called.
func lineName(name, key string) string {
	switch {
	case name != "":
		return name
	case key != "":
		return key
	}
	return "(none)"
}

func costHeader(by string) string {
	switch by {
	case "day", "hour", "tenant", "instance":
		return map[string]string{"day": "DAY", "hour": "HOUR", "tenant": "TENANT", "instance": "INSTANCE"}[by]
	}
	return "LABEL"
}

func moneyText(amount, currency string) string {
	if currency == "" {
		return amount
	}
	return amount + " " + currency
}

func (a *app) estimateCommand() *cobra.Command {
	var want wire.CreateEstimate
	var vcpus int
	var memory, disk string
	var hours int64
	var given []string
	cmd := &cobra.Command{
		Use: "estimate [SIZE]", Short: "Say what an instance would cost",
		Long: "estimate says what an instance would cost by the hour, and by a month of 730 hours in which it runs for --hours;\n" +
			"its disk is there for all of them. Nothing is made.",
		Example: "  lodge estimate \"2 vCPU, 4GB\"\n  lodge estimate --flavor c2-m4 --disk 40GB --label env=prod --hours 240",
		Args:    takes(0, 1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if len(args) > 0 {
				want.Size = args[0]
			}
			if cmd.Flags().Changed("vcpus") {
				want.VCPUs = &vcpus
			}
			if memory != "" {
				n, err := memorySize(memory)
				if err != nil {
					return err
				}
				want.MemoryMiB = &n
			}
			if disk != "" {
				n, err := diskSize(disk)
				if err != nil {
					return err
				}
				want.DiskGiB = &n
			}
			if cmd.Flags().Changed("hours") {
				want.HoursPerMonth = &hours
			}
			if want.Labels, err = newLabels(given); err != nil {
				return err
			}
			want.Tenant = a.tenant
			c, err := a.client()
			if err != nil {
				return err
			}
			e, err := c.CreateEstimate(cmd.Context(), want)
			if err != nil {
				return err
			}
			return a.print(e, func() writer { return estimateTable(e) })
		},
	}
	f := cmd.Flags()
	f.IntVar(&vcpus, "vcpus", 0, "number of vCPUs")
	f.StringVar(&memory, "memory", "", "memory, as 4GB or 512MiB; a bare number counts MiB")
	f.StringVar(&disk, "disk", "", "size of the root disk, as 20GB; a bare number counts GiB")
	f.StringVar(&want.Flavor, "flavor", "", "named size")
	f.StringVar(&want.Image, "image", "", "image whose disk has to fit, by name or id")
	f.StringArrayVar(&given, "label", nil, "key=value; may be repeated")
	f.Int64Var(&hours, "hours", 0, "hours of the month that it runs; 730 when absent")
	a.completeFrom(cmd, "flavor", a.names(-1, a.flavorNames))
	a.completeFrom(cmd, "image", a.names(-1, a.imageNames))
	return cmd
}

// estimateTable is what each meter costs, and all of them.
type estimateTable wire.SizeEstimate

func (e estimateTable) write(w io.Writer) error {
	p := e.Price
	t := &table{header: []string{"METER", "QUANTITY", "UNIT", "PRICE", "OFF", "PER HOUR", "HOURS", "PER MONTH"}}
	for _, l := range p.Lines {
		price, off := "none", ""
		if l.PriceID != "" {
			price = l.UnitPrice
		}
		if l.DiscountPercent != "" {
			off = l.DiscountPercent + "%"
		}
		t.add(l.Meter, l.Quantity, l.Unit, price, off, l.PerHour, fmt.Sprint(l.HoursPerMonth), l.PerMonth)
	}
	if err := t.write(w); err != nil {
		return err
	}
	note := ""
	if p.Note != "" {
		note = " Some of it has no price."
	}
	_, err := fmt.Fprintf(w, "\n%s, %s, disk %s: %s an hour, %s a month of 730 hours.%s\n",
		count(e.VCPUs, "vCPU"), mib(e.MemoryMiB), gib(e.DiskGiB), moneyText(p.PerHour, p.Currency), moneyText(p.PerMonth, p.Currency), note)
	return err
}

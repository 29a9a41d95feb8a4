package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"lodge/api/client"
	"lodge/api/wire"
)

func (a *app) exportCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "export", Short: "Write usage and costs for other programs"}
	cmd.AddCommand(a.exportFocusCommand(),
		a.exportReportCommand("usage", "Write what was used as CSV",
			"usage writes a line for each group and meter with its quantity; `lodge usage --by day -o json` has the same as JSON.", (*client.Client).UsageAs),
		a.exportReportCommand("cost", "Write what was used costs as CSV",
			"cost writes the lines of a report of costs as CSV; `lodge cost -o json` has the same as JSON.", (*client.Client).CostAs),
		a.exportSinkCommand())
	return group(cmd)
}

// onlyCSV refuses --output for what is written in one format alone.
func (a *app) onlyCSV(cmd *cobra.Command) error {
	if cmd.Flags().Changed("output") {
		return usagef("`%s` writes CSV and takes no --output.", cmd.CommandPath())
	}
	return nil
}

func (a *app) exportFocusCommand() *cobra.Command {
	var q client.FocusQuery
	var out string
	cmd := &cobra.Command{
		Use: "focus", Short: "Write closed hours as the CSV of FOCUS",
		Long: "focus writes one row for each closed hour, resource, meter and price, as FOCUS 1.2 or 1.3 (FinOps Open Cost and\n" +
			"Usage Specification) has it. Without a period it is the present month as far as its hours are closed.",
		Example: "  lodge export focus --month 2026-11 > november.csv\n  lodge export focus --from 2026-11-01 --to 2026-11-08 --out week.csv",
		Args:    takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.onlyCSV(cmd); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			q.Tenant = a.tenant
			return a.toFile(out, func(w io.Writer) error { return c.ExportFocus(cmd.Context(), q, w) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.Month, "month", "", "a whole month, as 2026-11")
	f.StringVar(&q.From, "from", "", "first hour, day or month")
	f.StringVar(&q.To, "to", "", "hour, day or month that is no longer part of it")
	f.StringVar(&q.Version, "version", "", "of FOCUS: 1.2 or 1.3 (default 1.2)")
	f.StringVar(&out, "out", "-", "file to write; - is the terminal")
	a.complete(cmd, "version", "1.2", "1.3")
	return cmd
}

// exportReportCommand writes a report that ask gives as CSV.
func (a *app) exportReportCommand(name, short, long string, ask func(*client.Client, context.Context, client.CostQuery) ([]byte, error)) *cobra.Command {
	var month, from, to, out string
	var q client.CostQuery
	cmd := &cobra.Command{
		Use: name, Short: short,
		Long:    long + "\nA spreadsheet takes no name in it for a formula: what begins like one has a ' before it.",
		Example: "  lodge export " + name + " --month 2026-11 --by day\n  lodge export " + name + " --from 2026-11-05 --to 2026-11-06 --by hour --out hours.csv",
		Args:    takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.onlyCSV(cmd); err != nil {
				return err
			}
			start, end, err := period(month, from, to)
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			q.Tenant, q.From, q.To = a.tenant, stamp(start), stamp(end)
			b, err := ask(c, cmd.Context(), q)
			if err != nil {
				return err
			}
			return a.toFile(out, func(w io.Writer) error {
				_, err := w.Write(b)
				return err
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&month, "month", "", "a whole month, as 2026-11")
	f.StringVar(&from, "from", "", "first day or hour, as 2026-11-01 or 2026-11-01T12:00:00Z")
	f.StringVar(&to, "to", "", "day or hour that is no longer counted")
	f.StringVar(&q.By, "by", "day", "a line for each day, hour, instance, tenant, meter or label:KEY")
	f.StringVarP(&q.Label, "selector", "l", "", "only what had these labels when it was used, as env=prod,tier!=db")
	f.StringVar(&out, "out", "-", "file to write; - is the terminal")
	a.complete(cmd, "by", "day", "hour", "instance", "tenant", "meter", "label:")
	return cmd
}

func (a *app) exportSinkCommand() *cobra.Command {
	return &cobra.Command{
		Use: "sink", Short: "Say how the receiver of usage is doing (operator)",
		Long:    "sink shows how far the receiver that lodged's --usage-sink names has got, and what keeps it from getting on.",
		Example: "  lodge export sink",
		Args:    takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			s, err := c.UsageSink(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(s, func() writer { return sinkTable(s) })
		},
	}
}

func sinkTable(s wire.UsageSink) writer {
	if !s.Configured {
		return line("There is no receiver of usage; lodged --usage-sink names one.")
	}
	t := &table{header: []string{"URL", "SENT", "PENDING-HOURS", "OLDEST", "LAG", "PROBLEM"}}
	problem := ""
	if s.Problem != nil {
		problem = s.Problem.Message
	}
	t.add(s.URL, fmt.Sprint(s.Sent), fmt.Sprint(s.Pending), hourText(s.OldestHour), fmt.Sprintf("%d s", s.LagSeconds), problem)
	return t
}

package main

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lodge/api/client"
	"lodge/api/wire"
)

func (a *app) usageCommand() *cobra.Command {
	var month, from, to string
	var by, selector string
	cmd := &cobra.Command{
		Use:   "usage [INSTANCE]",
		Short: "Show what was used, by tenant, instance and image",
		Long: "usage shows instance hours, vCPU-hours, GiB-hours of memory, disk and images, and the bytes that guests sent\n" +
			"and received in a period, deleted instances included. Times are UTC; --to is not included. Without a period it is the present month.\n" +
			"The hours are rounded to six places; `-o json` has the exact milliseconds too.\n" +
			"With --by or --selector it has a line for each group and meter, of whole hours.",
		Example: `  lodge usage
  lodge usage --month 2026-11
  lodge usage web1 --from 2026-11-01 --to 2026-11-08 -o json
  lodge usage --month 2026-11 --by day -l env=prod`,
		Args:              takes(0, 1),
		ValidArgsFunction: a.names(1, a.instanceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			start, end, err := period(month, from, to)
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			q := client.UsageQuery{Tenant: a.tenant, From: stamp(start), To: stamp(end)}
			if len(args) > 0 {
				if q.Instance, err = a.meteredInstance(cmd.Context(), c, q, args[0]); err != nil {
					return err
				}
			}
			if by != "" || selector != "" {
				u, err := c.UsageReport(cmd.Context(), client.CostQuery{Tenant: q.Tenant, Instance: q.Instance, From: q.From, To: q.To, By: by, Label: selector})
				if err != nil {
					return err
				}
				return a.print(u, func() writer { return usedTable(u) })
			}
			u, err := c.Usage(cmd.Context(), q)
			if err != nil {
				return err
			}
			return a.print(u, func() writer { return usageTable(u) })
		},
	}
	cmd.AddCommand(a.usageVerifyCommand())
	cmd.Flags().StringVar(&month, "month", "", "a whole month, as 2026-11")
	cmd.Flags().StringVar(&from, "from", "", "first day or moment, as 2026-11-01 or 2026-11-01T12:00:00Z")
	cmd.Flags().StringVar(&to, "to", "", "day or moment that is no longer counted")
	cmd.Flags().StringVar(&by, "by", "", "a line for each instance, tenant, day, hour, meter or label:KEY, and each meter")
	cmd.Flags().StringVarP(&selector, "selector", "l", "", "only what had these labels when it was used, as env=prod,tier!=db")
	a.complete(cmd, "by", "instance", "tenant", "day", "hour", "meter", "label:")
	return cmd
}

func usedTable(u wire.UsageReport) *table {
	if u.By == "meter" {
		t := &table{header: []string{"METER", "QUANTITY", "UNIT"}}
		for _, l := range u.Lines {
			t.add(l.Meter, l.Quantity, l.Unit)
		}
		return t
	}
	t := &table{header: []string{costHeader(u.By), "METER", "QUANTITY", "UNIT"}}
	for _, l := range u.Lines {
		t.add(lineName(l.Name, l.Key), l.Meter, l.Quantity, l.Unit)
	}
	return t
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// meteredInstance gives the id of an instance that is there or was in the
// period: a bill outlives its instance.
func (a *app) meteredInstance(ctx context.Context, c *client.Client, q client.UsageQuery, arg string) (string, error) {
	if uuid.MatchString(arg) {
		return strings.ToLower(arg), nil
	}
	in, err := a.instance(ctx, c, arg)
	if err == nil {
		return in.ID, nil
	}
	if code, _ := a.explain(err); code != exitNotFound {
		return "", err
	}
	u, err := c.Usage(ctx, q)
	if err != nil {
		return "", err
	}
	var ids []string
	for _, t := range u.Tenants {
		for _, i := range t.Instances {
			if i.Name == arg {
				ids = append(ids, i.ID)
			}
		}
	}
	switch len(ids) {
	case 0:
		return "", notFoundf("There is no instance %s, and none of that name used anything in the period.", shown(arg))
	case 1:
		return ids[0], nil
	}
	return "", usagef("Several deleted instances were named %s; give one of their ids: %s.", shown(arg), join(ids))
}

func usageTable(u wire.Usage) *table {
	t := &table{header: []string{"TENANT", "INSTANCE", "HOURS", "VCPU-HOURS", "MEM-GIB-HOURS", "DISK-GIB-HOURS", "IMAGE-GIB-HOURS", "EGRESS-BYTES", "INGRESS-BYTES", "OPEN"}}
	row := func(tenant, name, image string, n wire.Amounts) {
		t.add(tenant, name, n.InstanceHours, n.VCPUHours, n.MemoryGiBHours, n.DiskGiBHours, image, n.EgressBytes, n.IngressBytes, yesNo(n.Open))
	}
	for _, tenant := range u.Tenants {
		name := cmp.Or(tenant.Tenant, tenant.TenantID) // one that is deleted has its id only
		for _, i := range tenant.Instances {
			row(name, i.Name, "-", i.Amounts)
		}
		for _, i := range tenant.Images {
			t.add(name, "image "+i.Name, "-", "-", "-", "-", i.ImageGiBHours, "-", "-", yesNo(i.Open))
		}
		row(name, "(all)", tenant.ImageGiBHours, tenant.Amounts)
	}
	return t
}

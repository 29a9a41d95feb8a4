package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"lodge/api/wire"
)

func (a *app) quotaCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "quota", Short: "Show and set how much tenants may have"}
	cmd.AddCommand(a.quotaShowCommand(), a.quotaSetCommand(), a.quotaDefaultCommand())
	return group(cmd)
}

func (a *app) quotaShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show [TENANT]", Short: "Show what a tenant may have, and has",
		Example: "  lodge quota show\n  lodge quota show acme -o json",
		Args:    takes(0, 1), ValidArgsFunction: a.names(1, a.tenantNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.quotas(cmd.Context(), args, nil)
		},
	}
}

func (a *app) quotaSetCommand() *cobra.Command {
	return &cobra.Command{
		Use: "set TENANT RESOURCE=LIMIT...", Short: "Set limits of a tenant",
		Long: "set gives a tenant limits of its own. What is not named stays; RESOURCE=default takes its own limit away,\n" +
			"so that the default counts. What is there already stays, also beyond a limit. " + quotaWords,
		Example: "  lodge quota set acme instances=20 vcpus=40 memory=128GB\n  lodge quota set acme disk=default",
		Args:    takes(2, -1), ValidArgsFunction: a.completeQuota,
		RunE: func(cmd *cobra.Command, args []string) error {
			limits, err := quotaLimits(args[1:], "default")
			if err != nil {
				return err
			}
			return a.quotas(cmd.Context(), args[:1], limits)
		},
	}
}

func (a *app) quotaDefaultCommand() *cobra.Command {
	return &cobra.Command{
		Use: "default [RESOURCE=LIMIT...]", Short: "Show or set what tenants may have that have no limits of their own",
		Long: "default shows the limits of tenants that have none of their own, or sets those that are named;\n" +
			"RESOURCE=none takes one away. " + quotaWords,
		Example: "  lodge quota default\n  lodge quota default instances=10 memory=64GB floating_ips=none",
		Args:    takes(0, -1), ValidArgsFunction: completeResources,
		RunE: func(cmd *cobra.Command, args []string) error {
			limits, err := quotaLimits(args, "none")
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			var items []wire.Quota
			if len(limits) == 0 {
				items, err = c.DefaultQuotas(cmd.Context())
			} else {
				items, err = c.SetDefaultQuotas(cmd.Context(), wire.SetQuotas{Limits: limits})
			}
			if err != nil {
				return err
			}
			return a.print(list(items), func() writer {
				t := &table{header: []string{"RESOURCE", "LIMIT"}}
				for _, q := range items {
					t.add(quotaName(q.Resource), quotaLimit(q))
				}
				return t
			})
		},
	}
}

// quotas shows the quotas of the tenant that is named, the one of --tenant, or
// the caller's own, and sets limits before where there are some.
func (a *app) quotas(ctx context.Context, args []string, limits map[string]*int64) error {
	if len(args) > 0 {
		a.tenant = args[0]
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	id, _, err := a.memberTenant(ctx, c)
	if err != nil {
		return err
	}
	var items []wire.Quota
	if len(limits) == 0 {
		items, err = c.Quotas(ctx, id)
	} else {
		items, err = c.SetQuotas(ctx, id, wire.SetQuotas{Limits: limits})
	}
	if err != nil {
		return err
	}
	return a.print(list(items), func() writer {
		t := &table{header: []string{"RESOURCE", "USED", "LIMIT", "OF"}}
		for _, q := range items {
			of := "tenant"
			if q.Default {
				of = "default"
			}
			t.add(quotaName(q.Resource), quotaAmount(q.Resource, q.Used), quotaLimit(q), of)
		}
		return t
	})
}

const quotaWords = "The resources are instances,\n" +
	"vcpus, memory, disk, images, volumes, networks, ports, floating_ips, snapshots and tokens; memory and disk\n" +
	"take sizes, as 64GB."

// quotaResources are the words of the command line; those of the API carry units.
var quotaResources = []string{"instances", "vcpus", "memory", "disk", "images", "volumes", "networks", "ports", "floating_ips", "snapshots", "tokens"}

// quotaUnits are the resources that are sizes: their word in the API, and its
// unit.
var quotaUnits = map[string]struct {
	field, unit string
	bytes       int64
}{
	"memory": {"memory_mib", "MiB", 1 << 20},
	"disk":   {"disk_gib", "GiB", 1 << 30},
}

func quotaField(name string) string {
	if u, ok := quotaUnits[name]; ok {
		return u.field
	}
	return name
}

func quotaName(field string) string {
	for name, u := range quotaUnits {
		if u.field == field {
			return name
		}
	}
	return field
}

// quotaNumber reads a limit; lodged refuses what is below zero.
func quotaNumber(name, text string) (int64, error) {
	if u, ok := quotaUnits[name]; ok {
		n, err := sizeIn(name, text, u.bytes, u.unit)
		if err != nil {
			return 0, usagef("%s", strings.TrimPrefix(err.Error(), "--")) // it is no flag here
		}
		return int64(n), nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, usagef("%s %q: use a whole number.", name, text)
	}
	return n, nil
}

func quotaAmount(field string, n int64) string {
	if u, ok := quotaUnits[quotaName(field)]; ok && n > 0 {
		return iec(n * u.bytes)
	}
	return strconv.FormatInt(n, 10)
}

func quotaLimit(q wire.Quota) string {
	if q.Limit == nil {
		return "none"
	}
	return quotaAmount(q.Resource, *q.Limit)
}

func (a *app) completeQuota(cmd *cobra.Command, args []string, part string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return a.names(1, a.tenantNames)(cmd, args, part)
	}
	return completeResources(cmd, args, part)
}

func completeResources(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	out := make([]string, 0, len(quotaResources))
	for _, r := range quotaResources {
		out = append(out, r+"=")
	}
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// quotaLimits reads RESOURCE=LIMIT words; the word away takes a limit away.
func quotaLimits(words []string, away string) (map[string]*int64, error) {
	limits := map[string]*int64{}
	for _, w := range words {
		name, text, ok := strings.Cut(w, "=")
		if !ok || name == "" || text == "" {
			return nil, usagef("%q: write it as RESOURCE=LIMIT, as instances=10.", w)
		}
		field, limit := quotaField(name), (*int64)(nil)
		if _, twice := limits[field]; twice {
			return nil, usagef("%s is named twice.", name)
		}
		if text != away {
			n, err := quotaNumber(name, text)
			if err != nil {
				return nil, err
			}
			limit = &n
		}
		limits[field] = limit
	}
	return limits, nil
}

package main

import (
	"context"
	"fmt"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"lodge/api/client"
	"lodge/api/wire"
)

func (a *app) tenantCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "tenant", Short: "Make, list, change and delete tenants"}
	var given []string
	create := &cobra.Command{
		Use: "create NAME", Short: "Make a tenant with a network of its own",
		Example: "  lodge tenant create acme --label plan=gold\n  lodge --tenant acme create web1",
		Args:    takes(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := newLabels(given)
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			t, err := c.CreateTenant(cmd.Context(), wire.CreateTenant{Name: args[0], Labels: m})
			if err != nil {
				return err
			}
			return a.print(t, func() writer { return line("The tenant " + t.Name + " is there.") })
		},
	}
	create.Flags().StringArrayVar(&given, "label", nil, "key=value; may be repeated")
	cmd.AddCommand(create,
		narrowed(a, "tenant", tenantTable, func(ctx context.Context, c *client.Client, q client.Query) ([]wire.Tenant, error) {
			return c.AllTenants(ctx, q)
		}),
		showing(a, "tenant", a.tenantNames, a.findTenant, a.tenantFields),
		relabelling(a, "tenant", a.tenantNames, a.findTenant,
			func(ctx context.Context, c *client.Client, t wire.Tenant, want wire.UpdateLabels) (wire.Tenant, error) {
				return c.UpdateTenant(ctx, t.ID, want)
			}),
		deleting(a, "tenant", a.tenantNames, a.findTenant,
			func(ctx context.Context, c *client.Client, t wire.Tenant) error { return c.DeleteTenant(ctx, t.ID) }))
	return group(cmd)
}

func tenantTable(a *app, items []wire.Tenant, _ owner) *table {
	t := &table{header: []string{"NAME", "ID", "LABELS", "AGE"}}
	for _, i := range items {
		t.add(i.Name, i.ID, labels(i.Labels), age(a.now(), i.CreatedAt.Time))
	}
	return t
}

func (a *app) tenantFields(t wire.Tenant, _ owner) *fields {
	f := &fields{}
	f.set("Name", t.Name)
	f.set("Id", t.ID)
	f.set("Labels", labels(t.Labels))
	f.set("Created", a.when(t.CreatedAt))
	return f
}

func (a *app) flavorCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "flavor", Short: "Make, list and delete named sizes"}
	find := func(ctx context.Context, c *client.Client, id string) (wire.Flavor, error) { return c.Flavor(ctx, id) }
	cmd.AddCommand(a.flavorCreateCommand(),
		listing(a, "flavor", flavorTable, func(ctx context.Context, c *client.Client) ([]wire.Flavor, error) { return c.Flavors(ctx) }),
		showing(a, "flavor", a.flavorNames, find, a.flavorFields),
		deleting(a, "flavor", a.flavorNames, find,
			func(ctx context.Context, c *client.Client, f wire.Flavor) error { return c.DeleteFlavor(ctx, f.ID) }))
	return group(cmd)
}

func (a *app) flavorCreateCommand() *cobra.Command {
	var vcpus int
	var memory, disk string
	cmd := &cobra.Command{
		Use: "create ID", Short: "Make a named size",
		Long:    "create makes a named size. Its values are copied into an instance, so deleting it changes no instance.",
		Example: "  lodge flavor create c8-m32 --vcpus 8 --memory 32GB --disk 80GB",
		Args:    takes(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range []string{"vcpus", "memory", "disk"} {
				if !cmd.Flags().Changed(name) {
					return usagef("A flavor needs --vcpus, --memory and --disk.")
				}
			}
			want := wire.CreateFlavor{ID: args[0], VCPUs: vcpus}
			var err error
			if want.MemoryMiB, err = memorySize(memory); err != nil {
				return err
			}
			if want.DiskGiB, err = diskSize(disk); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			f, err := c.CreateFlavor(cmd.Context(), want)
			if err != nil {
				return err
			}
			return a.print(f, func() writer { return line("The flavor " + f.ID + " is there.") })
		},
	}
	cmd.Flags().IntVar(&vcpus, "vcpus", 0, "number of vCPUs")
	cmd.Flags().StringVar(&memory, "memory", "", "memory, as 4GB or 512MiB; a bare number counts MiB")
	cmd.Flags().StringVar(&disk, "disk", "", "size of the root disk, as 20GB; a bare number counts GiB")
	return cmd
}

func flavorTable(_ *app, items []wire.Flavor, _ owner) *table {
	t := &table{header: []string{"ID", "VCPUS", "MEMORY", "DISK"}}
	for _, f := range items {
		t.add(f.ID, fmt.Sprint(f.VCPUs), mib(f.MemoryMiB), gib(f.DiskGiB))
	}
	return t
}

func (a *app) flavorFields(v wire.Flavor, _ owner) *fields {
	f := &fields{}
	f.set("Id", v.ID)
	f.set("Size", fmt.Sprintf("%s, %s, disk %s", count(v.VCPUs, "vCPU"), mib(v.MemoryMiB), gib(v.DiskGiB)))
	f.set("Created", a.when(v.CreatedAt))
	return f
}

func (a *app) networkCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "network", Short: "List networks and change their labels"}
	cmd.AddCommand(
		narrowed(a, "network", networkTable, func(ctx context.Context, c *client.Client, q client.Query) ([]wire.Network, error) {
			q.Tenant = a.tenant
			return c.AllNetworks(ctx, q)
		}),
		showing(a, "network", a.networkNames, a.network, a.networkFields),
		relabelling(a, "network", a.networkNames, a.network,
			func(ctx context.Context, c *client.Client, n wire.Network, want wire.UpdateLabels) (wire.Network, error) {
				return c.UpdateNetwork(ctx, n.ID, want)
			}))
	return group(cmd)
}

func networkTable(a *app, items []wire.Network, tenant owner) *table {
	t := &table{header: []string{"NAME", "SUBNETS", "DEFAULT", "TENANT", "LABELS", "AGE"}}
	for _, n := range items {
		t.add(n.Name, cidrs(n), yesNo(n.Default), tenant(n.TenantID), labels(n.Labels), age(a.now(), n.CreatedAt.Time))
	}
	return t
}

func cidrs(n wire.Network) string {
	words := make([]string, 0, len(n.Subnets))
	for _, s := range n.Subnets {
		words = append(words, s.CIDR)
	}
	return join(words)
}

func (a *app) networkFields(n wire.Network, tenant owner) *fields {
	f := &fields{}
	f.set("Name", n.Name)
	f.set("Id", n.ID)
	f.set("Tenant", tenant(n.TenantID))
	f.set("Default", yesNo(n.Default))
	f.set("Problem", a.problem(n.Problem))
	for _, s := range n.Subnets {
		f.set("Subnet", s.CIDR)
		f.set("  Gateway", s.Gateway)
		f.set("  DHCP", yesNo(s.DHCP))
		f.set("  DNS", join(s.DNS))
	}
	f.set("Labels", labels(n.Labels))
	f.set("Created", a.when(n.CreatedAt))
	return f
}

func (a *app) hostCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "host", Short: "List hosts"}
	cmd.AddCommand(listing(a, "host", hostTable, func(ctx context.Context, c *client.Client) ([]wire.Host, error) { return c.Hosts(ctx) }))
	return group(cmd)
}

func hostTable(a *app, items []wire.Host, _ owner) *table {
	t := &table{header: []string{"NAME", "CPUS", "MEMORY", "ACCEL", "HYPERVISOR", "LODGED", "SEEN", "PROBLEM"}}
	for _, h := range items {
		seen := age(a.now(), h.HeartbeatAt.Time)
		if seen != "" {
			seen += " ago"
		}
		t.add(h.Name, fmt.Sprint(h.VCPUs), mib(h.MemoryMiB), h.Accel, h.Hypervisor, h.Version, seen, problemCode(h.Problem))
	}
	return t
}

// versions are both ends of the line.
type versions struct {
	Client wire.Version  `json:"client"`
	Server *wire.Version `json:"server,omitempty"`
}

func (a *app) versionCommand() *cobra.Command {
	var own bool
	cmd := &cobra.Command{
		Use: "version", Short: "Print the versions of lodge and of the lodged it talks to",
		Example: "  lodge version\n  lodge version --client",
		Args:    takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := versions{Client: wire.Version{Version: version, Go: runtime.Version(), API: "v1"}}
			var failed error
			if !own {
				c, err := a.client()
				if err != nil {
					return err
				}
				server, err := c.Version(cmd.Context())
				if failed = err; err == nil {
					v.Server = &server
				}
			}
			err := a.print(v, func() writer {
				lines := []string{"lodge " + v.Client.Version}
				if v.Server != nil {
					lines = append(lines, "lodged "+v.Server.Version)
				}
				return line(strings.Join(lines, "\n"))
			})
			if failed != nil {
				return failed
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&own, "client", false, "do not ask lodged")
	return cmd
}

package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lodge/api/client"
	"lodge/api/wire"
)

func (a *app) listCommand() *cobra.Command {
	var q client.Query
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List instances",
		Example: "  lodge list\n  lodge list -l env=prod,tier!=db --state running --sort name\n" +
			"  lodge list --fields id,name,addresses -o json",
		Args:              takes(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			q.Tenant = a.tenant
			if q.Fields != "" {
				return a.parts(cmd.Context(), c, "instances", q)
			}
			items, err := c.AllInstances(cmd.Context(), q)
			if err != nil {
				return err
			}
			return a.print(list(items), func() writer { return a.instanceTable(items) })
		},
	}
	a.narrow(cmd, &q, true)
	cmd.Flags().StringVar(&q.State, "state", "", "only those in this state")
	cmd.Flags().StringVar(&q.Image, "image", "", "only those made from this image, by name or id")
	cmd.Flags().StringVar(&q.Flavor, "flavor", "", "only those whose size came from this flavor")
	cmd.Flags().StringVar(&q.Host, "host", "", "only those on the host with this id; for operators")
	a.completeFrom(cmd, "image", a.names(-1, a.imageNames))
	a.completeFrom(cmd, "flavor", a.names(-1, a.flavorNames))
	a.complete(cmd, "state", "requested", "building", "running", "paused", "stopped", "sleeping", "error")
	return cmd
}

// instanceTable has columns for tenants and problems only when there are some
// to tell apart.
func (a *app) instanceTable(items []wire.Instance) *table {
	tenants := slices.ContainsFunc(items, func(i wire.Instance) bool { return i.TenantID != items[0].TenantID })
	problems := slices.ContainsFunc(items, func(i wire.Instance) bool { return i.Problem != nil })
	t := &table{}
	if tenants {
		t.header = append(t.header, "TENANT")
	}
	t.header = append(t.header, "NAME", "STATE", "VCPUS", "MEMORY", "DISK", "ADDRESS", "AGE")
	if problems {
		t.header = append(t.header, "PROBLEM")
	}
	for _, i := range items {
		var row []string
		if tenants {
			row = append(row, i.Tenant)
		}
		row = append(row, i.Name, stateText(i), fmt.Sprint(i.VCPUs), mib(i.MemoryMiB), gib(i.DiskGiB),
			strings.Join(i.Addresses, ","), age(a.now(), i.CreatedAt.Time))
		if problems {
			row = append(row, problemCode(i.Problem))
		}
		t.add(row...)
	}
	return t
}

func problemCode(p *wire.Problem) string {
	if p == nil {
		return ""
	}
	return "! " + p.Code
}

func (a *app) showCommand() *cobra.Command {
	var cost bool
	cmd := &cobra.Command{
		Use:               "show NAME",
		Short:             "Show one instance",
		Example:           "  lodge show web1\n  lodge show web1 --cost\n  lodge show web1 -o json | jq -r '.addresses[0]'",
		Args:              takes(1, 1),
		ValidArgsFunction: a.names(1, a.instanceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			in, err := a.instance(cmd.Context(), c, args[0])
			if err == nil && cost {
				in, err = c.InstanceWithCost(cmd.Context(), in.ID)
			}
			if err != nil {
				return err
			}
			return a.print(in, func() writer { return a.instanceFields(cmd.Context(), c, in) })
		},
	}
	cmd.Flags().BoolVar(&cost, "cost", false, "with what it cost in this month so far")
	return cmd
}

// stoppedBy is the name of what holds an instance stopped; its id to whoever may
// not read it.
func (a *app) stoppedBy(ctx context.Context, c *client.Client, by wire.StoppedBy) string {
	switch by.Kind {
	case "budget":
		if b, err := c.Budget(ctx, by.ID); err == nil {
			return b.Name
		}
	case "schedule":
		if s, err := c.Schedule(ctx, by.ID); err == nil {
			return s.Name
		}
	}
	return by.ID
}

func (a *app) instanceFields(ctx context.Context, c *client.Client, in wire.Instance) writer {
	f := &fields{}
	f.set("Name", in.Name)
	f.set("Id", in.ID)
	f.set("Tenant", in.Tenant)
	f.set("State", stateText(in))
	f.set("Problem", a.problem(in.Problem))
	f.set("Size", fmt.Sprintf("%s, %s, disk %s", count(in.VCPUs, "vCPU"), mib(in.MemoryMiB), gib(in.DiskGiB)))
	if in.Pending && in.Running != nil {
		f.set("Runs with", fmt.Sprintf("%s, %s, until it is stopped and started", count(in.Running.VCPUs, "vCPU"), mib(in.Running.MemoryMiB)))
	}
	f.set("Flavor", in.Flavor)
	f.set("Image", in.Image)
	f.set("Firmware", in.Firmware)
	f.set("Login", in.LoginUser)
	f.set("Addresses", strings.Join(in.Addresses, ", "))
	macs := make([]string, 0, len(in.Ports))
	for _, p := range in.Ports {
		macs = append(macs, p.MAC)
	}
	f.set("MAC", strings.Join(macs, ", "))
	if in.StoppedBy != nil {
		f.set("Stopped by", in.StoppedBy.Kind+" "+a.stoppedBy(ctx, c, *in.StoppedBy))
	}
	if in.Protected {
		f.set("Protected", "from deletion")
	}
	f.set("SSH keys", fmt.Sprint(len(in.SSHKeys)))
	if in.UserDataBytes > 0 {
		f.set("User data", iec(int64(in.UserDataBytes)))
	}
	f.set("Labels", labels(in.Labels))
	if in.Cost != nil {
		f.set("Cost", costText(*in.Cost))
	}
	f.set("Host", in.HostID)
	f.set("Created", a.when(in.CreatedAt))
	f.set("Started", a.when(in.StartedAt))
	f.set("Deleted", a.when(in.DeletedAt))
	return f
}

// costText is what an instance cost in this month so far.
func costText(c wire.InstanceCost) string {
	text := moneyText(c.Cost, c.Currency) + " since " + c.From.UTC().Format(time.DateOnly)
	if c.Note != "" {
		text += " (" + c.Note + ")"
	}
	return text
}

// when writes a moment and how long ago it was; "" for none.
func (a *app) when(t wire.Time) string {
	if t.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s (%s ago)", t.UTC().Format("2006-01-02 15:04:05Z"), age(a.now(), t.Time))
}

// longestWait is more than lodge ever waits between two tries. A longer one is the
// difference of two clocks: lodge's time may be hours ahead of a clock that was set back.
const longestWait = 10 * time.Minute

func (a *app) problem(p *wire.Problem) string {
	if p == nil {
		return ""
	}
	text := p.Message + " (" + p.Code + ", for " + age(a.now(), p.Since.Time)
	switch wait := p.RetryAt.Sub(a.now()); {
	case p.RetryAt.IsZero():
		text += ", waits for a change"
	case wait <= 0:
		text += ", is being tried again"
	case wait > longestWait:
		text += ", is tried again by itself"
	default:
		text += fmt.Sprintf(", is tried again in %ds", int(wait.Seconds())+1)
	}
	return text + ")"
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func (a *app) consoleLogCommand() *cobra.Command {
	var follow bool
	var tail int64
	cmd := &cobra.Command{
		Use:   "console-log NAME",
		Short: "Print what a guest wrote on its serial console",
		Long: "console-log prints the end of the guest's serial console. On a terminal it leaves out control\n" +
			"characters, which a guest could use to take the terminal over; piped, it prints every byte.",
		Example:           "  lodge console-log web1\n  lodge console-log web1 --follow",
		Args:              takes(1, 1),
		ValidArgsFunction: a.names(1, a.instanceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if tail < 0 {
				return usagef("--tail counts from 0 up.")
			}
			if !cmd.Flags().Changed("tail") {
				tail = -1
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			in, err := a.instance(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			return a.consoleLog(cmd.Context(), c, in.ID, tail, follow)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on printing what is added")
	cmd.Flags().Int64Var(&tail, "tail", 0, "at most so many bytes of the end; 0 is none (default 64 KiB)")
	return cmd
}

// filter is what a guest's bytes go through on their way to out.
func (a *app) filter() io.Writer {
	if a.ttyOut {
		return &tame{w: a.out}
	}
	return a.out
}

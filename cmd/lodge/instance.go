package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"lodge/api/client"
	"lodge/api/wire"
)

type createFlags struct {
	size, memory, disk, flavor, image string
	vcpus                             int
	keys                              []string
	noKey                             bool
	userData                          string
	labels                            []string
	stopped, protect, dryRun          bool
	waiting                           waiting
}

func (a *app) createCommand() *cobra.Command {
	var f createFlags
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make an instance",
		Long: "create asks for an instance and returns at once; with --wait it returns when the instance runs.\n\n" +
			"The size is --size in your own words, or --vcpus, --memory and --disk, or a flavor that these override.\n" +
			"Without --image the default image is taken, without --ssh-key the public keys in ~/.ssh.",
		Example: `  lodge create web1 --size "2 vCPU, 4GB" --wait
  lodge create db1 --vcpus 4 --memory 8GB --disk 40GB --image debian-12 --wait-for ssh
  lodge create job7 --flavor c2-m4 --user-data job.yaml --label team=red`,
		Args:              takes(1, 1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.create(cmd, args[0], f) },
	}
	fs := cmd.Flags()
	fs.StringVar(&f.size, "size", "", `size in words: "2 vCPU, 4GB", "2cpu 4g", "c2-m4"`)
	fs.IntVar(&f.vcpus, "vcpus", 0, "number of vCPUs")
	fs.StringVar(&f.memory, "memory", "", "memory, as 4GB or 512MiB; a bare number counts MiB")
	fs.StringVar(&f.disk, "disk", "", "size of the root disk, as 20GB; a bare number counts GiB")
	fs.StringVar(&f.flavor, "flavor", "", "named size (lodge flavor list)")
	fs.StringVar(&f.image, "image", "", "image by name or id (lodge image list)")
	fs.StringArrayVar(&f.keys, "ssh-key", nil, "public key, or a file with some; may be repeated (default ~/.ssh/id_*.pub)")
	fs.BoolVar(&f.noKey, "no-ssh-key", false, "give the instance no SSH key")
	fs.StringVar(&f.userData, "user-data", "", "file with cloud-init user data; - is standard input")
	fs.StringArrayVar(&f.labels, "label", nil, "key=value; may be repeated")
	fs.BoolVar(&f.stopped, "stopped", false, "make it, but do not start it")
	fs.BoolVar(&f.protect, "protect", false, "refuse its deletion until lodge set NAME --unprotect")
	fs.BoolVar(&f.dryRun, "dry-run", false, "check everything and say what would be made, but make nothing")
	f.waiting.registerFor(a, cmd)
	a.completeFrom(cmd, "image", a.names(-1, a.imageNames))
	a.completeFrom(cmd, "flavor", a.names(-1, a.flavorNames))
	return cmd
}

func (a *app) create(cmd *cobra.Command, name string, f createFlags) error {
	if err := f.waiting.check(); err != nil {
		return err
	}
	if f.stopped && f.waiting.till != "" {
		return usagef("--stopped goes without --wait-for; use --wait.")
	}
	if f.dryRun && f.waiting.wanted(waitRunning) != "" {
		return usagef("--dry-run makes nothing to wait for; leave --wait out.")
	}
	want, err := a.wish(cmd, name, f)
	if err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	if f.dryRun {
		return a.tryCreate(ctx, c, want)
	}
	in, err := c.CreateInstance(ctx, want)
	if err != nil {
		return err
	}
	if len(want.SSHKeys) == 0 && !f.noKey {
		a.note("No public key was found in ~/.ssh, so nobody can log in by SSH unless the user data says otherwise; see --ssh-key.")
	}
	def := waitRunning
	if f.stopped {
		def = waitStopped
	}
	return a.settleOn(cmd, c, in, f.waiting, def, "is being made")
}

// settleOn waits if that was asked for, and prints what has become of the
// instance.
func (a *app) settleOn(cmd *cobra.Command, c *client.Client, in wire.Instance, w waiting, def, doing string) error {
	till := w.wanted(def)
	if till == "" {
		return a.print(in, func() writer {
			return line(fmt.Sprintf("%s %s; `lodge show %s` tells how it goes on.", in.Name, doing, in.Name))
		})
	}
	last, err := a.await(cmd.Context(), c, in, till, w.timeout)
	if err != nil {
		return err
	}
	return a.print(last, func() writer {
		text := last.Name + " is " + last.State
		if last.State == "running" && len(last.Addresses) > 0 {
			text += " on " + strings.Join(last.Addresses, ", ")
		}
		return line(text + ".")
	})
}

// line is one sentence of output.
type line string

func (l line) write(w io.Writer) error {
	_, err := fmt.Fprintln(w, string(l))
	return err
}

// wish makes the request of the flags.
func (a *app) wish(cmd *cobra.Command, name string, f createFlags) (want wire.CreateInstance, err error) {
	want = wire.CreateInstance{Name: name, Tenant: a.tenant, Size: f.size, Flavor: f.flavor, Image: f.image, Protected: f.protect}
	if f.stopped {
		want.Power = "stopped"
	}
	if want.VCPUs, want.MemoryMiB, err = numbers(cmd, f.vcpus, f.memory); err != nil {
		return want, err
	}
	if cmd.Flags().Changed("disk") {
		n, err := diskSize(f.disk)
		if err != nil {
			return want, err
		}
		want.DiskGiB = &n
	}
	if want.Labels, err = newLabels(f.labels); err != nil {
		return want, err
	}
	if f.size == "" && f.flavor == "" && (want.VCPUs == nil) != (want.MemoryMiB == nil) {
		return want, usagef("A size needs --vcpus and --memory, or a --flavor.")
	}
	if f.noKey && len(f.keys) > 0 {
		return want, usagef("--no-ssh-key goes without --ssh-key.")
	}
	if !f.noKey {
		if want.SSHKeys, err = a.sshKeys(cmd.Context(), f.keys); err != nil {
			return want, err
		}
	}
	want.UserData, err = a.userData(cmd.Context(), f.userData)
	return want, err
}

// numbers gives --vcpus and --memory, nil when they were not given: zero is for
// lodged to refuse.
func numbers(cmd *cobra.Command, vcpus int, memory string) (v, m *int, err error) {
	if cmd.Flags().Changed("vcpus") {
		v = &vcpus
	}
	if cmd.Flags().Changed("memory") {
		n, err := memorySize(memory)
		if err != nil {
			return nil, nil, err
		}
		m = &n
	}
	return v, m, nil
}

func (a *app) setCommand() *cobra.Command {
	var name, memory string
	var vcpus int
	var changes []string
	var guard protection
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Change an instance's name, size, labels or protection",
		Long: "set changes what is wanted of an instance. A running guest gets another size at its next start;\n" +
			"until then `lodge show` says so.",
		Example: `  lodge set web1 --vcpus 4 --memory 8GB
  lodge set web1 --name www --label team=red --label old-
  lodge set web1 --vcpus 8 --dry-run
  lodge set web1 --protect`,
		Args:              takes(1, 1),
		ValidArgsFunction: a.names(1, a.instanceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			var want wire.UpdateInstance
			var err error
			if cmd.Flags().Changed("name") {
				want.Name = &name
			}
			if want.VCPUs, want.MemoryMiB, err = numbers(cmd, vcpus, memory); err != nil {
				return err
			}
			if want.Labels, err = labelChanges(changes); err != nil {
				return err
			}
			if want.Protected, err = guard.wanted(); err != nil {
				return err
			}
			if want.Name == nil && want.VCPUs == nil && want.MemoryMiB == nil && want.Labels == nil && want.Protected == nil {
				return usagef("Say what to change: --name, --vcpus, --memory, --label, --protect or --unprotect.")
			}
			return a.set(cmd, args[0], want, dryRun)
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "new name")
	cmd.Flags().IntVar(&vcpus, "vcpus", 0, "number of vCPUs")
	cmd.Flags().StringVar(&memory, "memory", "", "memory, as 4GB or 512MiB; a bare number counts MiB")
	cmd.Flags().StringArrayVar(&changes, "label", nil, "key=value sets, key- removes; may be repeated")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "check everything and say what would be, but change nothing")
	guard.register(cmd)
	return cmd
}

func (a *app) set(cmd *cobra.Command, name string, want wire.UpdateInstance, dryRun bool) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	in, err := a.instance(cmd.Context(), c, name)
	if err != nil {
		return err
	}
	if dryRun {
		got, err := c.TryUpdateInstance(cmd.Context(), in.ID, want)
		return a.printTry(got, err)
	}
	if in, err = c.UpdateInstance(cmd.Context(), in.ID, want); err != nil {
		return err
	}
	return a.print(in, func() writer {
		if in.Pending {
			return line(in.Name + " is changed; its running guest gets the new size when it is stopped and started.")
		}
		return line(in.Name + " is changed.")
	})
}

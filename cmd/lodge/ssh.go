package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (a *app) sshCommand() *cobra.Command {
	var user, key string
	var port int
	var rest []string // for ssh(1)
	cmd := &cobra.Command{
		Use:   "ssh NAME [-- [SSH-OPTION...] [COMMAND...]]",
		Short: "Log in to an instance with ssh(1)",
		Long: "ssh becomes ssh(1), with the address of the instance and the login user of its image. What follows\n" +
			"\"--\" goes to ssh as it is: options of ssh first, then a command. A command without options of ssh\n" +
			"needs no \"--\"; flags of lodge stand before it.\n\n" +
			"Host keys are kept by instance, each in a file of its own below ~/.local/state/lodge/known_hosts: a new\n" +
			"instance on an old address gives no warning, and an instance whose key has changed still does.\n" +
			"The key of an instance is trusted at the first login and forgotten when `lodge delete` removes it.",
		Example: `  lodge ssh web1
  lodge ssh web1 -- uptime
  lodge ssh web1 --user root -- -L 8080:localhost:80 -N`,
		Args: func(cmd *cobra.Command, args []string) (err error) {
			if err = takes(1, 1)(cmd, args[:min(1, len(args))]); err == nil {
				rest, err = behindName(cmd, args[1:])
			}
			return err
		},
		ValidArgsFunction: a.names(1, a.instanceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			in, err := a.instance(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			if in.State != "running" {
				return refusedf("%s is %s; start it with `lodge start %s --wait-for ssh`.", in.Name, stateText(in), in.Name)
			}
			if len(in.Addresses) == 0 {
				return refusedf("%s has no address.", in.Name)
			}
			t := target{id: in.ID, address: in.Addresses[0], user: in.LoginUser, port: port, key: key}
			if user != "" {
				t.user = user
			}
			return a.ssh(t, rest)
		},
	}
	cmd.Flags().SetInterspersed(false) // `lodge ssh web1 ls -l` is ls's -l
	cmd.Flags().StringVarP(&user, "user", "l", "", "log in as (default the login user of the image)")
	cmd.Flags().StringVarP(&key, "identity", "i", "", "file with the private key")
	cmd.Flags().IntVarP(&port, "port", "p", 22, "port of the guest")
	return cmd
}

// behindName reads lodge's own flags behind the name, up to "--" or to the first
// word of a command, and gives what is left for ssh(1).
func behindName(cmd *cobra.Command, args []string) ([]string, error) {
	if cmd.Flags().ArgsLenAtDash() >= 0 { // "--" stood before the name
		return args, nil
	}
	if err := cmd.ParseFlags(args); err != nil {
		var bad *pflag.InvalidValueError
		if !errors.As(err, &bad) { // a flag that lodge does not have
			err = fmt.Errorf("%w; options of ssh stand behind \"--\"", err)
		}
		return nil, cmd.FlagErrorFunc()(cmd, err)
	}
	if help, err := cmd.Flags().GetBool("help"); err != nil || help {
		return nil, pflag.ErrHelp
	}
	return cmd.Flags().Args(), nil
}

func (a *app) ssh(t target, rest []string) error {
	if _, err := netip.ParseAddr(t.address); err != nil {
		return fmt.Errorf("the address %q is none", t.address) // ssh would take "-o..." for an option
	}
	path, err := exec.LookPath("ssh")
	if err != nil {
		return fmt.Errorf("ssh is not installed here; the address is %s", t.address)
	}
	known := a.knownHosts(t.id)
	if err := os.MkdirAll(filepath.Dir(known), 0o700); err != nil {
		return fmt.Errorf("keep host keys: %w", err)
	}
	return a.exec(path, sshArgs(t, known, rest), os.Environ())
}

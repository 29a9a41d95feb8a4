package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"lodge/api/client"
)

const (
	outputTable = "table"
	outputJSON  = "json"
	outputYAML  = "yaml"

	defaultSocket = "/run/lodge/lodge.sock"
)

func (a *app) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lodge",
		Short: "Virtual machines on your own hosts",
		Long: "lodge asks lodged for virtual machines and tells what became of them.\n\n" +
			exitHelp,
		Example: `  lodge create web1 --size "2 vCPU, 4GB" --wait
  lodge list
  lodge ssh web1
  lodge usage --month 2026-11
  lodge delete web1`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.settle() },
	}
	fs := cmd.PersistentFlags()
	fs.StringVar(&a.socket, "socket", "", "lodged's socket (env LODGE_SOCKET; default "+defaultSocket+")")
	fs.StringVar(&a.tenant, "tenant", "", "tenant to work for, by name or id (env LODGE_TENANT)")
	fs.StringVarP(&a.output, "output", "o", outputTable, "table, json or yaml")
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usagef("%v; see `%s --help`.", err, c.CommandPath())
	})
	a.complete(cmd, "output", outputTable, outputJSON, outputYAML)
	cmd.AddGroup(&cobra.Group{ID: "instances", Title: "Instances:"}, &cobra.Group{ID: "others", Title: "Everything else:"})
	for _, c := range []*cobra.Command{
		a.createCommand(), a.listCommand(), a.showCommand(), a.startCommand(), a.stopCommand(), a.rebootCommand(),
		a.setCommand(), a.deleteCommand(), a.sshCommand(), a.consoleLogCommand(),
	} {
		c.GroupID = "instances"
		cmd.AddCommand(c)
	}
	for _, c := range []*cobra.Command{
		a.usageCommand(), a.eventsCommand(), a.imageCommand(), a.flavorCommand(), a.tenantCommand(),
		a.networkCommand(), a.hostCommand(), a.versionCommand(),
	} {
		c.GroupID = "others"
		cmd.AddCommand(c)
	}
	cmd.SetHelpCommandGroupID("others")
	cmd.SetCompletionCommandGroupID("others")
	return group(cmd)
}

// group makes a command that only holds others: alone it shows its help, and a
// word it does not know is a mistake.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		hint := fmt.Sprintf("`%s --help` lists what there is", c.CommandPath())
		if c.SuggestionsMinimumDistance <= 0 {
			c.SuggestionsMinimumDistance = 2
		}
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			hint = "did you mean " + strings.Join(near, " or ")
			return usagef("There is no command %q; %s?", args[0], hint)
		}
		return usagef("There is no command %q; %s.", args[0], hint)
	}
	cmd.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	return cmd
}

// takes checks the number of arguments; most is -1 for any number.
func takes(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) >= least && (most < 0 || len(args) <= most) {
			return nil
		}
		return usagef("Write it as `%s`; see `%s --help`.", c.UseLine(), c.CommandPath())
	}
}

// settle fills in what the root flags leave open.
func (a *app) settle() error {
	if a.socket == "" {
		a.socket = a.getenv("LODGE_SOCKET")
	}
	if a.socket == "" {
		a.socket = defaultSocket
		pretend := filepath.Join(a.home, ".local", "share", "lodge-sim", "lodge.sock")
		if !exists(defaultSocket) && exists(pretend) {
			a.socket = pretend
		}
	}
	if a.tenant == "" {
		a.tenant = a.getenv("LODGE_TENANT")
	}
	switch a.output {
	case outputTable, outputJSON, outputYAML:
		return nil
	}
	return usagef("-o %q: use table, json or yaml.", a.output)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (a *app) client() (*client.Client, error) {
	target := a.socket
	if !strings.Contains(target, "://") {
		target = "unix://" + target // a relative path is a socket too
	}
	c, err := client.New(target, client.WithUserAgent("lodge/"+version))
	if err != nil {
		return nil, usagef("--socket: %v.", err)
	}
	return c, nil
}

// say prints a sentence for people; programs read the object instead.
func (a *app) say(format string, args ...any) {
	if a.output == outputTable {
		fmt.Fprintf(a.out, format+"\n", args...)
	}
}

// note prints a sentence beside the output.
func (a *app) note(format string, args ...any) { fmt.Fprintf(a.err, format+"\n", args...) }

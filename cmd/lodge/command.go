package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			if err := noEmptyFlag(c.Flags()); err != nil {
				return err
			}
			return a.settle(c.Context())
		},
	}
	fs := cmd.PersistentFlags()
	fs.StringVar(&a.socket, "socket", "", "lodged's socket (env LODGE_SOCKET; default "+defaultSocket+")")
	fs.StringVar(&a.context, "context", "", "context to work in: a lodged and who you are there (env LODGE_CONTEXT)")
	fs.StringVar(&a.tenant, "tenant", "", "tenant to work for, by name or id (env LODGE_TENANT)")
	fs.StringVarP(&a.output, "output", "o", outputTable, "table, json or yaml")
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usagef("%s; see `%s --help`.", flagMistake(err), c.CommandPath())
	})
	a.complete(cmd, "output", outputTable, outputJSON, outputYAML)
	a.completeFrom(cmd, "context", a.contextNames(-1))
	cmd.AddGroup(&cobra.Group{ID: "instances", Title: "Instances:"}, &cobra.Group{ID: "access", Title: "Access:"},
		&cobra.Group{ID: "others", Title: "Everything else:"})
	for _, c := range []*cobra.Command{
		a.createCommand(), a.listCommand(), a.showCommand(), a.startCommand(), a.stopCommand(), a.rebootCommand(),
		a.setCommand(), a.deleteCommand(), a.sshCommand(), a.consoleLogCommand(),
	} {
		c.GroupID = "instances"
		cmd.AddCommand(c)
	}
	for _, c := range []*cobra.Command{
		a.loginCommand(), a.logoutCommand(), a.whoamiCommand(), a.contextCommand(), a.userCommand(), a.memberCommand(),
		a.tokenCommand(), a.quotaCommand(), a.auditCommand(),
	} {
		c.GroupID = "access"
		cmd.AddCommand(c)
	}
	for _, c := range []*cobra.Command{
		a.usageCommand(), a.costCommand(), a.estimateCommand(), a.priceCommand(), a.discountCommand(), a.invoiceCommand(), a.exportCommand(), a.budgetCommand(), a.webhookCommand(), a.scheduleCommand(), a.eventsCommand(), a.operationsCommand(), a.operationCommand(), a.imageCommand(), a.flavorCommand(), a.tenantCommand(),
		a.networkCommand(), a.hostCommand(), a.backupCommand(), a.versionCommand(),
	} {
		c.GroupID = "others"
		cmd.AddCommand(c)
	}
	cmd.SetHelpCommandGroupID("others")
	cmd.SetCompletionCommandGroupID("others")
	group(cmd)
	// Made here and not when it is run: cobra's own take any word and exit with 0.
	cmd.InitDefaultHelpCmd()
	cmd.InitDefaultCompletionCmd()
	for _, c := range cmd.Commands() {
		switch c.Name() {
		case "help":
			c.Args = func(_ *cobra.Command, args []string) error {
				found, rest, err := cmd.Find(args)
				if err != nil {
					return usagef("%v.", err)
				}
				if len(rest) > 0 && found.Args != nil {
					return unknownCommand(found, rest[0])
				}
				return nil
			}
		case "completion":
			group(c)
		}
	}
	return cmd
}

// flagMistake says what is wrong with a flag, without the words of Go's parsers.
func flagMistake(err error) string {
	var bad *pflag.InvalidValueError
	if !errors.As(err, &bad) {
		return err.Error()
	}
	want := "another value"
	switch bad.GetFlag().Value.Type() {
	case "int", "int64":
		want = "a whole number"
	case "duration":
		want = "a time, as 5m"
	case "bool":
		want = "true or false"
	}
	return fmt.Sprintf("--%s %q: use %s", bad.GetFlag().Name, bad.GetValue(), want)
}

// noEmptyFlag refuses a flag whose value is empty: what a variable that is not
// set leaves behind must not mean "any".
func noEmptyFlag(fs *pflag.FlagSet) (err error) {
	fs.Visit(func(f *pflag.Flag) {
		if err == nil && emptyValue(f.Value) {
			err = usagef("--%s is empty; give it a value or leave it out.", f.Name)
		}
	})
	return err
}

// emptyValue reports whether a flag was given nothing, or a list with an empty part.
func emptyValue(v pflag.Value) bool {
	if list, ok := v.(pflag.SliceValue); ok {
		parts := list.GetSlice()
		return len(parts) == 0 || slices.Contains(parts, "")
	}
	return v.Type() == "string" && v.String() == ""
}

// group makes a command that only holds others: alone it shows its help, and a
// word it does not know is a mistake.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return unknownCommand(c, args[0])
	}
	cmd.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	return cmd
}

func unknownCommand(c *cobra.Command, word string) error {
	if c.SuggestionsMinimumDistance <= 0 {
		c.SuggestionsMinimumDistance = 2
	}
	if near := c.SuggestionsFor(word); len(near) > 0 {
		return usagef("There is no command %q; did you mean %s?", word, strings.Join(near, " or "))
	}
	return usagef("There is no command %q; `%s --help` lists what there is.", word, c.CommandPath())
}

// takes checks the number of arguments, and that none is empty; most is -1 for
// any number.
func takes(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) >= least && (most < 0 || len(args) <= most) {
			if slices.Contains(args, "") {
				return usagef("A name is empty; write it as `%s`.", c.UseLine())
			}
			return nil
		}
		return usagef("Write it as `%s`; see `%s --help`.", c.UseLine(), c.CommandPath())
	}
}

// settle fills in what the root flags leave open. What is wrong with the way to
// lodged is told by client: some commands need none.
func (a *app) settle(ctx context.Context) error {
	switch a.output {
	case outputTable, outputJSON, outputYAML:
	default:
		return usagef("-o %q: use table, json or yaml.", a.output)
	}
	a.way, a.wayErr = a.choose(ctx)
	a.socket = a.way.socket
	a.tenant = cmp.Or(a.tenant, a.getenv("LODGE_TENANT"), a.way.tenant)
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// say prints a sentence for people; programs read the object instead.
func (a *app) say(format string, args ...any) {
	if a.output == outputTable {
		fmt.Fprintf(a.out, format+"\n", args...)
	}
}

// note prints a sentence beside the output.
func (a *app) note(format string, args ...any) { fmt.Fprintf(a.err, format+"\n", args...) }

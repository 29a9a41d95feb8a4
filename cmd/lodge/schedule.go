package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"lodge/api/client"
	"lodge/api/wire"
)

func (a *app) scheduleCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "schedule", Short: "Stop instances at night and start them in the morning"}
	cmd.AddCommand(a.scheduleListCommand(), a.scheduleShowCommand(), a.scheduleCreateCommand(), a.scheduleSetCommand(), a.scheduleDeleteCommand())
	return group(cmd)
}

func (a *app) schedule(ctx context.Context, c *client.Client, arg string) (wire.Schedule, error) {
	if uuid.MatchString(arg) {
		return c.Schedule(ctx, strings.ToLower(arg))
	}
	items, err := c.Schedules(ctx, a.tenant)
	if err != nil {
		return wire.Schedule{}, err
	}
	return one("schedule", arg, named(items, arg, func(s wire.Schedule) string { return s.Name }))
}

func (a *app) scheduleNames(ctx context.Context, c *client.Client) ([]string, error) {
	items, err := c.Schedules(ctx, a.tenant)
	return namesOf(items, func(s wire.Schedule) string { return s.Name }), err
}

func (a *app) scheduleListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List schedules", Example: "  lodge schedule list",
		Args: takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			items, err := c.Schedules(cmd.Context(), a.tenant)
			if err != nil {
				return err
			}
			return a.print(list(items), func() writer {
				t := &table{header: []string{"NAME", "FOR", "STOP", "START", "TIME ZONE", "ON", "LAST"}}
				for _, s := range items {
					t.add(s.Name, s.Label, s.Stop, s.Start, s.TimeZone, scheduleOn(s), lastOf(s))
				}
				return t
			})
		},
	}
}

// scheduleOn says whether it acts; one that goes says so.
func scheduleOn(s wire.Schedule) string {
	if !s.DeletedAt.IsZero() {
		return "being deleted, " + fmt.Sprint(s.Holds) + " to start"
	}
	return yesNo(s.Enabled)
}

// deleted ends the sentence about what is deleted, with how many instances it has
// still to start.
func deleted(holds int) string {
	if holds == 0 {
		return "deleted."
	}
	return "being deleted: " + count(holds, "instance") + " that it has stopped are still to be started."
}

func lastOf(s wire.Schedule) string {
	if s.Last == "" {
		return "-"
	}
	return s.Last + " " + secondText(s.LastAt)
}

func (a *app) scheduleShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show SCHEDULE", Short: "Show what a schedule does next, and what it saved", Example: "  lodge schedule show nights",
		Args: takes(1, 1), ValidArgsFunction: a.names(1, a.scheduleNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			s, err := a.schedule(cmd.Context(), c, args[0])
			if err == nil && s.Status == nil {
				s, err = c.Schedule(cmd.Context(), s.ID)
			}
			if err != nil {
				return err
			}
			return a.print(s, func() writer {
				f := &fields{}
				f.set("Name", s.Name)
				f.set("ID", s.ID)
				f.set("For", s.Label)
				f.set("Stop", s.Stop)
				f.set("Start", s.Start)
				f.set("Time zone", s.TimeZone)
				f.set("On", scheduleOn(s))
				f.set("Last", lastOf(s))
				if s.Holds > 0 {
					f.set("Stopped", count(s.Holds, "instance")+" by this schedule")
				}
				if st := s.Status; st != nil {
					if st.Next != "" {
						f.set("Next", st.Next+" "+secondText(st.NextAt))
					}
					f.set("Saved", strings.TrimSpace(st.Saving.Cost+" "+st.Saving.Currency)+" since "+hourText(st.Saving.From))
				}
				return f
			})
		},
	}
}

func (a *app) scheduleCreateCommand() *cobra.Command {
	var want wire.CreateSchedule
	var dryRun bool
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a schedule",
		Long: "create stops the running instances with the labels at the times of --stop, and starts at those of --start what it\n" +
			"has stopped. Times are five fields of cron: minute, hour, day of the month, month, day of the week. What somebody\nstarts by hand runs until the next stop.",
		Example: "  lodge schedule create nights -l env=dev --stop '0 20 * * 1-5' --start '0 7 * * 1-5' --time-zone Europe/Berlin",
		Args:    takes(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			want.Name, want.Tenant = args[0], a.tenant
			c, err := a.client()
			if err != nil {
				return err
			}
			if dryRun {
				got, err := c.TryCreateSchedule(cmd.Context(), want)
				return a.printTry(got, err)
			}
			s, err := c.CreateSchedule(cmd.Context(), want)
			if err != nil {
				return err
			}
			return a.print(s, func() writer { return line("The schedule " + s.Name + " is made.") })
		},
	}
	f := cmd.Flags()
	f.StringVarP(&want.Label, "selector", "l", "", "labels of the instances, as env=dev")
	f.StringVar(&want.Stop, "stop", "", "when they stop, as '0 20 * * 1-5'")
	f.StringVar(&want.Start, "start", "", "when they start, as '0 7 * * 1-5'")
	f.StringVar(&want.TimeZone, "time-zone", "", "whose clock counts, as Europe/Berlin; UTC when absent")
	f.BoolVar(&dryRun, "dry-run", false, "check everything and say what would be made, but make nothing")
	return cmd
}

func (a *app) scheduleSetCommand() *cobra.Command {
	var label, stop, start, zone, name string
	var enabled, dryRun bool
	cmd := &cobra.Command{
		Use: "set SCHEDULE", Short: "Change a schedule, or switch it on or off",
		Example: "  lodge schedule set nights --enabled=false\n  lodge schedule set nights --stop '0 22 * * *'",
		Args:    takes(1, 1), ValidArgsFunction: a.names(1, a.scheduleNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			var want wire.UpdateSchedule
			some := false
			for flag, f := range map[string]struct {
				to   **string
				with *string
			}{"name": {&want.Name, &name}, "selector": {&want.Label, &label}, "stop": {&want.Stop, &stop}, "start": {&want.Start, &start}, "time-zone": {&want.TimeZone, &zone}} {
				if cmd.Flags().Changed(flag) {
					*f.to, some = f.with, true
				}
			}
			if cmd.Flags().Changed("enabled") {
				want.Enabled, some = &enabled, true
			}
			if !some {
				return usagef("Say what to change: --name, --selector, --stop, --start, --time-zone or --enabled.")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			s, err := a.schedule(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			if dryRun {
				got, err := c.TryUpdateSchedule(cmd.Context(), s.ID, want)
				return a.printTry(got, err)
			}
			if s, err = c.UpdateSchedule(cmd.Context(), s.ID, want); err != nil {
				return err
			}
			return a.print(s, func() writer { return line("The schedule " + s.Name + " is changed.") })
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "another name")
	f.StringVarP(&label, "selector", "l", "", "labels of the instances")
	f.StringVar(&stop, "stop", "", "when they stop")
	f.StringVar(&start, "start", "", "when they start")
	f.StringVar(&zone, "time-zone", "", "whose clock counts")
	f.BoolVar(&enabled, "enabled", true, "whether it acts")
	f.BoolVar(&dryRun, "dry-run", false, "check everything and say what would be, but change nothing")
	return cmd
}

func (a *app) scheduleDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete SCHEDULE", Aliases: []string{"rm"}, Short: "Delete a schedule", Long: "delete ends a schedule, and starts what it has stopped.",
		Example: "  lodge schedule delete nights", Args: takes(1, 1), ValidArgsFunction: a.names(1, a.scheduleNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			s, err := a.schedule(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			left, err := c.DeleteSchedule(cmd.Context(), s.ID)
			if err != nil {
				return err
			}
			return a.print(s, func() writer { return line("The schedule " + s.Name + " is " + deleted(left.Holds)) })
		},
	}
}

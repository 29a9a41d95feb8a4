package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"lodge/api/client"
	"lodge/api/wire"
)

func (a *app) budgetCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "budget", Short: "Say how much things may cost"}
	cmd.AddCommand(a.budgetListCommand(), a.budgetShowCommand(), a.budgetCreateCommand(), a.budgetSetCommand(), a.budgetDeleteCommand())
	return group(cmd)
}

// budget finds a budget by id or name.
func (a *app) budget(ctx context.Context, c *client.Client, arg string) (wire.Budget, error) {
	if uuid.MatchString(arg) {
		return c.Budget(ctx, strings.ToLower(arg))
	}
	items, err := c.Budgets(ctx, a.tenant)
	if err != nil {
		return wire.Budget{}, err
	}
	return one("budget", arg, named(items, arg, func(b wire.Budget) string { return b.Name }))
}

// named keeps what has the name.
func named[T any](items []T, name string, of func(T) string) (out []T) {
	for _, i := range items {
		if of(i) == name {
			out = append(out, i)
		}
	}
	return out
}

func (a *app) budgetNames(ctx context.Context, c *client.Client) ([]string, error) {
	items, err := c.Budgets(ctx, a.tenant)
	return namesOf(items, func(b wire.Budget) string { return b.Name }), err
}

func namesOf[T any](items []T, of func(T) string) (out []string) {
	for _, i := range items {
		out = append(out, of(i))
	}
	return out
}

func (a *app) budgetListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List budgets", Example: "  lodge budget list\n  lodge budget list -o json",
		Args: takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			items, err := c.Budgets(cmd.Context(), a.tenant)
			if err != nil {
				return err
			}
			return a.print(list(items), func() writer {
				t := &table{header: []string{"NAME", "AMOUNT", "PERIOD", "FOR", "THRESHOLDS", "IN FORCE"}}
				for _, b := range items {
					t.add(b.Name, b.Amount, b.Period, orAll(b.Label), thresholdsText(b.Thresholds), crossingsText(b))
				}
				return t
			})
		},
	}
}

func orAll(label string) string {
	if label == "" {
		return "all"
	}
	return label
}

func thresholdText(t wire.BudgetThreshold) string {
	text := fmt.Sprintf("%d%%:%s", t.Percent, t.Action)
	if t.On == "forecast" {
		text += ":forecast"
	}
	if t.GraceSeconds > 0 {
		text += fmt.Sprintf(":%ds", t.GraceSeconds)
	}
	return text
}

func thresholdsText(all []wire.BudgetThreshold) string {
	words := make([]string, len(all))
	for i, t := range all {
		words[i] = thresholdText(t)
	}
	return strings.Join(words, " ")
}

func crossingsText(b wire.Budget) string {
	if !b.DeletedAt.IsZero() {
		return fmt.Sprintf("being deleted, %d to start", b.Holds)
	}
	words := make([]string, len(b.Crossings))
	for i, x := range b.Crossings {
		words[i] = thresholdText(x.BudgetThreshold)
	}
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(words, " ")
}

func (a *app) budgetShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show BUDGET", Short: "Show where a budget stands", Example: "  lodge budget show dev",
		Args: takes(1, 1), ValidArgsFunction: a.names(1, a.budgetNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			b, err := a.budget(cmd.Context(), c, args[0])
			if err == nil && b.Status == nil {
				b, err = c.Budget(cmd.Context(), b.ID)
			}
			if err != nil {
				return err
			}
			return a.print(b, func() writer {
				hook := b.WebhookID
				if hook != "" {
					if h, err := c.Webhook(cmd.Context(), hook); err == nil {
						hook = h.Name
					}
				}
				return budgetFields(b, hook)
			})
		},
	}
}

func budgetFields(b wire.Budget, webhook string) writer {
	f := &fields{}
	currency := ""
	if b.Status != nil {
		currency = " " + b.Status.Currency
	}
	f.set("Name", b.Name)
	f.set("ID", b.ID)
	f.set("Amount", strings.TrimSpace(b.Amount+currency)+" ("+b.Period+")")
	f.set("For", orAll(b.Label))
	if s := b.Status; s != nil {
		f.set("Spent", strings.TrimSpace(s.Spent+currency)+" since "+hourText(s.From))
		if s.Forecast != "" {
			f.set("Forecast", strings.TrimSpace(s.Forecast+currency)+" until "+hourText(s.To))
		}
		if !s.NextAt.IsZero() {
			f.set("Next", fmt.Sprintf("%d%% at %s, if nothing changes", s.NextPercent, secondText(s.NextAt)))
		}
	}
	f.set("Thresholds", thresholdsText(b.Thresholds))
	for _, x := range b.Crossings {
		text := thresholdText(x.BudgetThreshold) + " since " + secondText(x.At)
		if !x.StopAt.IsZero() && x.StoppedAt.IsZero() {
			text += ", stops at " + secondText(x.StopAt)
		}
		f.set("In force", text)
	}
	if !b.DeletedAt.IsZero() {
		f.set("Deleted", secondText(b.DeletedAt))
	}
	if b.Holds > 0 {
		f.set("Stopped", count(b.Holds, "instance")+" by this budget")
	}
	if b.WebhookID != "" {
		f.set("Webhook", webhook)
	}
	if b.ByOperator {
		f.set("Changed by", "operators only")
	}
	return f
}

// secondText is a moment to the second.
func secondText(t wire.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// parseThresholds reads "80:notify:forecast" and "100:stop:300s".
func parseThresholds(words []string) (out []wire.BudgetThreshold, err error) {
	for _, w := range words {
		parts := strings.Split(w, ":")
		percent, err := strconv.Atoi(strings.TrimSuffix(parts[0], "%"))
		if err != nil || len(parts) < 2 {
			return nil, usagef("A threshold is PERCENT:ACTION, as 80:notify or 100:stop:300s, not %s.", shown(w))
		}
		t := wire.BudgetThreshold{Percent: percent, Action: parts[1], On: "actual"}
		for _, p := range parts[2:] {
			switch seconds, err := strconv.ParseInt(strings.TrimSuffix(p, "s"), 10, 64); {
			case p == "actual" || p == "forecast":
				t.On = p
			case err == nil:
				t.GraceSeconds = seconds
			default:
				return nil, usagef("A threshold is on actual or forecast, and a grace is in seconds, as 300s, not %s.", shown(p))
			}
		}
		out = append(out, t)
	}
	return out, nil
}

const thresholdWords = "A threshold is PERCENT:ACTION[:forecast][:GRACE]. Actions are notify; refuse, which makes, starts and grows nothing;\n" +
	"and stop, which does that too and stops what runs after the grace in seconds. forecast looks at what the\nperiod will cost if nothing changes, in place of what was spent."

// budgetLimit is how much a budget is, with the currency of the book: "50 EUR a
// month". Without a price there is none.
func (a *app) budgetLimit(ctx context.Context, c *client.Client, b wire.Budget) string {
	currency := ""
	if b.Status != nil {
		currency = b.Status.Currency
	} else if now, err := c.Budget(ctx, b.ID); err == nil && now.Status != nil {
		currency = now.Status.Currency
	}
	if b.Period == "total" {
		return moneyText(b.Amount, currency) + " in total"
	}
	return moneyText(b.Amount, currency) + " a " + b.Period
}

func (a *app) budgetCreateCommand() *cobra.Command {
	var want wire.CreateBudget
	var at []string
	var hook string
	var dry bool
	cmd := &cobra.Command{
		Use: "create NAME AMOUNT", Short: "Make a budget",
		Long:    "create says how much a tenant, or what of it has labels, may cost in a month, a day or in total, of UTC.\n" + thresholdWords,
		Example: "  lodge budget create dev 50 --selector env=dev --at 80:notify:forecast --at 100:stop:300s\n  lodge --tenant acme budget create all 1000 --at 100:refuse --webhook chat",
		Args:    takes(2, 2), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			want.Name, want.Amount, want.Tenant = args[0], args[1], a.tenant
			if want.Thresholds, err = parseThresholds(at); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if hook != "" {
				h, err := a.webhook(cmd.Context(), c, hook)
				if err != nil {
					return err
				}
				want.Webhook = h.ID
			}
			if dry {
				got, err := c.TryCreateBudget(cmd.Context(), want)
				return a.printTry(got, err)
			}
			b, err := c.CreateBudget(cmd.Context(), want)
			if err != nil {
				return err
			}
			return a.print(b, func() writer { return line("The budget " + b.Name + " is " + a.budgetLimit(cmd.Context(), c, b) + ".") })
		},
	}
	f := cmd.Flags()
	f.StringVarP(&want.Label, "selector", "l", "", "only for what has these labels, as env=dev")
	f.StringVar(&want.Period, "period", "", "day, month or total; month when absent")
	f.StringArrayVar(&at, "at", []string{"100:notify"}, "threshold; may be repeated")
	f.StringVar(&hook, "webhook", "", "webhook that is told, by name or id")
	f.BoolVar(&dry, "dry-run", false, "check it and say what it would do; nothing is made")
	a.complete(cmd, "period", "day", "month", "total")
	return cmd
}

func (a *app) budgetSetCommand() *cobra.Command {
	var label, hook, name string
	var at []string
	var dry bool
	cmd := &cobra.Command{
		Use: "set BUDGET [AMOUNT]", Short: "Change a budget",
		Long:    "set changes the amount, the name, the labels, the thresholds or the webhook. What follows is done, or taken back, at once.\n" + thresholdWords,
		Example: "  lodge budget set dev 80\n  lodge budget set dev --at 90:notify --at 100:refuse",
		Args:    takes(1, 2), ValidArgsFunction: a.names(1, a.budgetNames),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			var want wire.UpdateBudget
			if len(args) > 1 {
				want.Amount = &args[1]
			}
			var without []string
			switch {
			case label == "none":
				without = append(without, "label")
			case label != "":
				want.Label = &label
			}
			if name != "" {
				want.Name = &name
			}
			if want.Thresholds, err = parseThresholds(at); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("webhook") {
				if hook == "none" {
					without = append(without, "webhook")
				} else {
					h, err := a.webhook(cmd.Context(), c, hook)
					if err != nil {
						return err
					}
					want.Webhook = &h.ID
				}
			}
			if want.Amount == nil && want.Name == nil && want.Label == nil && want.Thresholds == nil && want.Webhook == nil && without == nil {
				return usagef("Say what to change: an amount, --name, --selector, --at or --webhook.")
			}
			b, err := a.budget(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			if dry {
				got, err := c.TryUpdateBudget(cmd.Context(), b.ID, want, without...)
				return a.printTry(got, err)
			}
			if b, err = c.UpdateBudget(cmd.Context(), b.ID, want, without...); err != nil {
				return err
			}
			return a.print(b, func() writer { return line("The budget " + b.Name + " is " + a.budgetLimit(cmd.Context(), c, b) + ".") })
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "another name")
	f.StringVarP(&label, "selector", "l", "", "only for what has these labels, or none for everything")
	f.StringArrayVar(&at, "at", nil, "threshold, in place of those there are; may be repeated")
	f.StringVar(&hook, "webhook", "", "webhook that is told, or none")
	f.BoolVar(&dry, "dry-run", false, "check it and say what it would do; nothing is changed")
	return cmd
}

func (a *app) budgetDeleteCommand() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "delete BUDGET", Aliases: []string{"rm"}, Short: "Delete a budget", Long: "delete ends a budget: what it refused is taken again, and what it stopped is started.",
		Example: "  lodge budget delete dev", Args: takes(1, 1), ValidArgsFunction: a.names(1, a.budgetNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			b, err := a.budget(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			if dry {
				got, err := c.TryDeleteBudget(cmd.Context(), b.ID)
				return a.printTry(got, err)
			}
			left, err := c.DeleteBudget(cmd.Context(), b.ID)
			if err != nil {
				return err
			}
			return a.print(b, func() writer { return line("The budget " + b.Name + " is " + deleted(left.Holds)) })
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say what it would do; nothing is deleted")
	return cmd
}

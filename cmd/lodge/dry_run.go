package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"lodge/api/client"
	"lodge/api/wire"
)

// tryCreate says what a create would make.
func (a *app) tryCreate(ctx context.Context, c *client.Client, want wire.CreateInstance) error {
	got, err := c.TryCreateInstance(ctx, want)
	return a.printTry(got, err)
}

// tryDelete says what the end of an instance would give back.
func (a *app) tryDelete(ctx context.Context, c *client.Client, in wire.Instance) error {
	got, err := c.TryDeleteInstance(ctx, in.ID)
	return a.printTry(got, err)
}

func (a *app) printTry(got wire.DryRun, err error) error {
	if err != nil {
		return err
	}
	return a.print(got, func() writer { return wouldBe(got) })
}

// wouldBe is a sentence, and what would change of the tenant's quota.
type wouldBe wire.DryRun

func (d wouldBe) write(w io.Writer) error {
	if in := d.Instance; in != nil {
		if _, err := fmt.Fprintf(w, "%s %s; nothing was done.\n", in.Name, d.would(*in)); err != nil {
			return err
		}
	}
	if text := d.acting(); text != "" {
		if _, err := fmt.Fprintf(w, "%s; nothing was done.\n", text); err != nil {
			return err
		}
	}
	if len(d.Estimate.Quota) == 0 {
		return nil
	}
	t := &table{header: []string{"RESOURCE", "NOW", "THEN", "LIMIT"}}
	for _, q := range d.Estimate.Quota {
		limit := "none"
		if q.Limit != nil {
			limit = fmt.Sprint(*q.Limit)
		}
		t.add(q.Resource, fmt.Sprint(q.Before), fmt.Sprint(q.After), limit)
	}
	if err := t.write(w); err != nil || d.Estimate.Price == nil || d.Estimate.Price.Currency == "" {
		return err
	}
	p := d.Estimate.Price
	_, err := fmt.Fprintf(w, "While it runs it would cost %s an hour, %s a month of 730 hours.\n", moneyText(p.PerHour, p.Currency), moneyText(p.PerMonth, p.Currency))
	return err
}

// acting says what would become of a webhook or a schedule.
func (d wouldBe) acting() string {
	done := "changed"
	if strings.HasSuffix(d.Action, ".create") {
		done = "made"
	}
	if strings.HasSuffix(d.Action, ".delete") {
		done = "deleted"
	}
	switch {
	case d.Budget != nil:
		text := fmt.Sprintf("The budget %s would be %s", d.Budget.Name, done)
		if len(d.Budget.Crossings) > 0 && done != "deleted" {
			text += ", with in force at once: " + crossingsText(*d.Budget)
		}
		return text
	case d.Webhook != nil:
		return fmt.Sprintf("The webhook %s would be %s, and told at %s", d.Webhook.Name, done, d.Webhook.URL)
	case d.Schedule != nil:
		s := d.Schedule
		text := fmt.Sprintf("The schedule %s would be %s, and stop %s at %s and start it at %s (%s)", s.Name, done, s.Label, s.Stop, s.Start, s.TimeZone)
		if !s.Enabled {
			text += ", once it is switched on"
		}
		return text
	}
	return ""
}

// would says what would become of an instance.
func (d wouldBe) would(in wire.Instance) string {
	size := count(in.VCPUs, "vCPU") + ", " + mib(in.MemoryMiB)
	switch d.Action {
	case "instance.delete":
		return "would be deleted"
	case "instance.update":
		text := "would be changed, and have " + size
		if in.Pending {
			text += " (its running guest when it is stopped and started)"
		}
		return text
	}
	return fmt.Sprintf("would be made with %s, a disk of %s and the image %s", size, gib(in.DiskGiB), in.Image)
}

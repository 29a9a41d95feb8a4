package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"lodge/api/client"
	"lodge/api/wire"
)

// eventPart is how many events are asked for at once.
const eventPart = 500

func (a *app) eventsCommand() *cobra.Command {
	var follow bool
	var after int64
	var tail int
	cmd := &cobra.Command{
		Use:   "events [INSTANCE]",
		Short: "Show what happened, oldest first",
		Long: "events shows what happened to instances, images and networks. Each event has a number that only grows:\n" +
			"--after goes on behind one. With --follow new events are printed as they come, each once and in order,\n" +
			"also when the connection breaks or lodged is restarted; in JSON that is one object a line, in YAML one\n" +
			"document each. Ctrl-C ends it.",
		Example: `  lodge events --tail 20
  lodge events web1 --follow
  lodge events --after 1042 -o json`,
		Args:              takes(0, 1),
		ValidArgsFunction: a.names(1, a.instanceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if after < 0 || tail < 0 {
				return usagef("--after and --tail count from 0 up.")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			q := client.EventQuery{Tenant: a.tenant, After: after, Limit: eventPart}
			if len(args) > 0 {
				in, err := a.instance(cmd.Context(), c, args[0])
				if err != nil {
					return err
				}
				q.Instance = in.ID
			}
			if !cmd.Flags().Changed("tail") {
				tail = -1
			}
			return a.events(cmd.Context(), c, q, tail, follow)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on printing what happens")
	cmd.Flags().Int64Var(&after, "after", 0, "only events with a greater number")
	cmd.Flags().IntVar(&tail, "tail", 0, "only so many of the last ones; 0 is none (default all)")
	return cmd
}

// events prints the last ones, all for a tail of -1, and what follows.
func (a *app) events(ctx context.Context, c *client.Client, q client.EventQuery, tail int, follow bool) error {
	past, err := newEvents(ctx, c, &q)
	if err != nil {
		return err
	}
	if tail >= 0 && len(past) > tail {
		past = past[len(past)-tail:]
	}
	if !follow {
		return a.print(list(past), func() writer {
			t := &table{header: []string{"SEQ", "TIME", "NAME", "EVENT", "MESSAGE"}}
			for _, e := range past {
				t.add(eventCells(e)...)
			}
			return t
		})
	}
	for _, e := range past {
		if err := a.printEvent(e); err != nil {
			return err
		}
	}
	return a.follow(ctx, c, q)
}

// follow prints what happens from q.After on until it is interrupted, over
// breaks of the connection and restarts of lodged.
func (a *app) follow(ctx context.Context, c *client.Client, q client.EventQuery) error {
	broken := func(error, time.Duration) { a.note("lodge: The stream broke off; going on as soon as lodged answers.") }
	for e, err := range c.StreamEvents(ctx, client.StreamQuery{Tenant: q.Tenant, Instance: q.Instance, After: q.After, Broken: once(broken)}) {
		switch {
		case ctx.Err() != nil:
			return nil // how a look that follows ends
		case err != nil:
			return err
		}
		if err := a.printEvent(e); err != nil {
			return err
		}
	}
	return nil
}

// once tells of the first of several breaks in a row.
func once(tell func(error, time.Duration)) func(error, time.Duration) {
	var last time.Time
	return func(err error, wait time.Duration) {
		if time.Since(last) > 30*time.Second {
			tell(err, wait)
		}
		last = time.Now()
	}
}

// newEvents reads everything after q.After and moves that on.
func newEvents(ctx context.Context, c *client.Client, q *client.EventQuery) ([]wire.Event, error) {
	var all []wire.Event
	for {
		part, err := c.Events(ctx, *q)
		if err != nil {
			return nil, err
		}
		all = append(all, part.Items...)
		if len(part.Items) == 0 {
			return all, nil
		}
		q.After = part.Items[len(part.Items)-1].Seq
		if part.Next == "" {
			return all, nil
		}
	}
}

func eventCells(e wire.Event) []string {
	return []string{fmt.Sprint(e.Seq), e.At.UTC().Format("2006-01-02 15:04:05Z"), e.Name, e.Type, e.Message}
}

func (a *app) printEvent(e wire.Event) (err error) {
	switch a.output {
	case outputJSON:
		var b []byte
		if b, err = json.Marshal(e); err == nil {
			_, err = fmt.Fprintf(a.out, "%s\n", b)
		}
	case outputYAML:
		var b []byte
		if b, err = yaml.Marshal(e); err == nil {
			_, err = fmt.Fprintf(a.out, "---\n%s", b)
		}
	default:
		_, err = fmt.Fprintln(a.out, strings.Join(eventCells(e), "  "))
	}
	return err
}

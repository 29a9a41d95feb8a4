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
			"--after goes on behind one. With --follow new events are printed as they come; in JSON that is one\n" +
			"object a line, in YAML one document each.",
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
	for {
		for _, e := range past {
			if err := a.printEvent(e); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil // how a look that follows ends
		case <-time.After(a.pause):
		}
		if past, err = newEvents(ctx, c, &q); err != nil && ctx.Err() == nil {
			return err
		}
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

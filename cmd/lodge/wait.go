package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"lodge/api/client"
	"lodge/api/wire"
)

// What a command can wait for.
const (
	waitRunning = "running"
	waitSSH     = "ssh"
	waitStopped = "stopped"
)

// waiting is what the flags say about waiting.
type waiting struct {
	wait    bool
	till    string // --wait-for, "" not given
	timeout time.Duration
}

const waitMost = 10 * time.Minute

func (w *waiting) register(cmd *cobra.Command, what string) {
	cmd.Flags().BoolVar(&w.wait, "wait", false, "wait until it is "+what)
	cmd.Flags().DurationVar(&w.timeout, "timeout", waitMost, "how long to wait at most")
}

func (w *waiting) registerFor(a *app, cmd *cobra.Command) {
	w.register(cmd, waitRunning)
	cmd.Flags().StringVar(&w.till, "wait-for", "", "wait until it is running, or until its ssh answers")
	a.complete(cmd, "wait-for", waitRunning, waitSSH)
}

func (w *waiting) check() error {
	switch w.till {
	case "", waitRunning, waitSSH:
	default:
		return usagef("--wait-for %q: use running or ssh.", w.till)
	}
	if w.timeout <= 0 {
		return usagef("--timeout %s: use a time, as 5m.", w.timeout)
	}
	return nil
}

// wanted is what to wait for, "" nothing.
func (w *waiting) wanted(def string) string {
	if w.till != "" {
		return w.till
	}
	if w.wait {
		return def
	}
	return ""
}

// await waits until the instance is as till says, and tells on the way. It gives
// up when a person has to do something first.
func (a *app) await(ctx context.Context, c *client.Client, in wire.Instance, till string, timeout time.Duration) (wire.Instance, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	p := a.progress()
	defer p.clear()

	var hopeless error
	last, err := c.WaitInstance(ctx, in.ID, func(now wire.Instance) bool {
		p.say(stateLine(now))
		if hopeless = stuck(now, till); hopeless != nil {
			return true
		}
		return now.Settled && now.ObservedGeneration >= in.Generation && now.State == stateOf(till)
	}, nil)
	if last.ID == "" {
		last = in // lodged did not answer once
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return last, waitf("%s is not %s after %s: it is %s.", in.Name, stateOf(till), timeout, stateText(last))
	case client.IsNotFound(err):
		return last, waitf("%s was deleted meanwhile.", in.Name)
	case err != nil:
		return last, err
	case hopeless != nil:
		return last, hopeless
	}
	if till == waitSSH {
		return last, a.awaitSSH(ctx, p, last, timeout)
	}
	return last, nil
}

// awaitSSH waits for the greeting of the guest's SSH server.
func (a *app) awaitSSH(ctx context.Context, p *progress, in wire.Instance, timeout time.Duration) error {
	if len(in.Addresses) == 0 {
		return waitf("%s has no address that could answer.", in.Name)
	}
	var err error
	for {
		p.say(fmt.Sprintf("%s: running, waiting for SSH on %s", in.Name, in.Addresses[0]))
		if err = a.sshReady(ctx, in.Addresses[0]); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return ctx.Err()
			}
			return waitf("%s is running, but its SSH did not answer on %s within %s; `lodge console-log %s` may say why.",
				in.Name, in.Addresses[0], timeout, in.Name)
		case <-time.After(a.pause):
		}
	}
}

// awaitGone waits until nothing is left of the instance.
func (a *app) awaitGone(ctx context.Context, c *client.Client, in wire.Instance, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	p := a.progress()
	defer p.clear()
	last := in
	var hopeless error
	_, err := c.WaitInstance(ctx, in.ID, func(now wire.Instance) bool {
		last = now
		if now.State == "gone" {
			return true
		}
		p.say(stateLine(now))
		hopeless = needsPerson(now)
		return hopeless != nil
	}, nil)
	switch {
	case client.IsNotFound(err):
		return nil
	case hopeless != nil:
		return hopeless
	case errors.Is(err, context.DeadlineExceeded):
		return waitf("%s is not gone after %s: it is %s.", in.Name, timeout, stateText(last))
	}
	return err
}

func stateOf(till string) string {
	if till == waitStopped {
		return "stopped"
	}
	return "running"
}

// stuck says why the instance will not come to what is waited for; nil while it
// may.
func stuck(in wire.Instance, till string) error {
	switch {
	case !in.DeletedAt.IsZero():
		return waitf("%s is being deleted meanwhile.", in.Name)
	case in.Power != stateOf(till):
		return waitf("%s is meant to be %s meanwhile.", in.Name, in.Power)
	}
	return needsPerson(in)
}

// needsPerson says what lodge does not try again by itself. An instance in error
// whose problem has a time of retry has a newer wish that nobody has tried yet.
func needsPerson(in wire.Instance) error {
	if in.Problem == nil && in.State != "error" || in.Problem != nil && !in.Problem.RetryAt.IsZero() {
		return nil
	}
	return waitf("%s cannot go on: %s", in.Name, problemText(in.Problem))
}

func problemText(p *wire.Problem) string {
	if p == nil {
		return "no reason is known."
	}
	return p.Message
}

// stateText is "building, creating".
func stateText(in wire.Instance) string {
	if in.Task == "" {
		return in.State
	}
	return in.State + ", " + in.Task
}

func stateLine(in wire.Instance) string {
	line := in.Name + ": " + stateText(in)
	if in.Problem != nil {
		line += "; " + in.Problem.Message
	}
	return line
}

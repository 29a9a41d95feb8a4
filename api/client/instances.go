package client

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"lodge/api/wire"
)

// CreateInstance asks for an instance; it is being made when this returns.
func (c *Client) CreateInstance(ctx context.Context, in wire.CreateInstance) (wire.Instance, error) {
	return call[wire.Instance](ctx, c, "POST", "/v1/instances", c.forTenant(in.Tenant), in)
}

// Instance gives one instance.
func (c *Client) Instance(ctx context.Context, id string) (wire.Instance, error) {
	return call[wire.Instance](ctx, c, "GET", "/v1/instances/"+url.PathEscape(id), nil, nil)
}

// Instances gives a part of the list of instances.
func (c *Client) Instances(ctx context.Context, q Query) (wire.List[wire.Instance], error) {
	return call[wire.List[wire.Instance]](ctx, c, "GET", "/v1/instances", q.values(), nil)
}

// AllInstances gives the whole list.
func (c *Client) AllInstances(ctx context.Context, q Query) ([]wire.Instance, error) {
	return all(ctx, q, c.Instances)
}

// UpdateInstance changes what is not nil.
func (c *Client) UpdateInstance(ctx context.Context, id string, in wire.UpdateInstance) (wire.Instance, error) {
	return call[wire.Instance](ctx, c, "PATCH", "/v1/instances/"+url.PathEscape(id), nil, in)
}

// DeleteInstance asks for the end of an instance; its guest is not asked.
func (c *Client) DeleteInstance(ctx context.Context, id string) (wire.Instance, error) {
	return call[wire.Instance](ctx, c, "DELETE", "/v1/instances/"+url.PathEscape(id), nil, nil)
}

// StartInstance asks for a stopped instance to run.
func (c *Client) StartInstance(ctx context.Context, id string) (wire.Instance, error) {
	return c.power(ctx, id, "start", false)
}

// StopInstance asks for an instance to be stopped; force pulls the plug.
func (c *Client) StopInstance(ctx context.Context, id string, force bool) (wire.Instance, error) {
	return c.power(ctx, id, "stop", force)
}

// RebootInstance asks for a reboot; force pushes the reset button.
func (c *Client) RebootInstance(ctx context.Context, id string, force bool) (wire.Instance, error) {
	return c.power(ctx, id, "reboot", force)
}

func (c *Client) power(ctx context.Context, id, action string, force bool) (wire.Instance, error) {
	var in any
	if force {
		in = wire.PowerRequest{Force: true}
	}
	return call[wire.Instance](ctx, c, "POST", "/v1/instances/"+url.PathEscape(id)+"/"+action, nil, in)
}

// ConsoleLog gives the last bytes of the serial console; tail 0 leaves the
// number to lodged.
func (c *Client) ConsoleLog(ctx context.Context, id string, tail int64) ([]byte, error) {
	q := url.Values{}
	if tail > 0 {
		q.Set("tail_bytes", strconv.FormatInt(tail, 10))
	}
	return call[[]byte](ctx, c, "GET", "/v1/instances/"+url.PathEscape(id)+"/console-log", q, nil)
}

// How often Wait looks, and how long it puts up with a lodged that does not
// answer, as while it is being restarted.
const (
	waitLeast    = 100 * time.Millisecond
	waitMost     = time.Second
	waitPatience = 30 * time.Second
)

// WaitInstance looks at an instance until done says so, and returns it as last
// seen. onChange, when not nil, is called with every new revision, the first
// one included. It ends with an error when ctx ends, when the instance does not
// exist, or when lodged is out of reach for half a minute.
func (c *Client) WaitInstance(ctx context.Context, id string, done func(wire.Instance) bool, onChange func(wire.Instance)) (wire.Instance, error) {
	var last wire.Instance
	pause, silence := waitLeast, time.Duration(0)
	for {
		in, err := c.Instance(ctx, id)
		switch {
		case err == nil:
			silence = 0
			if in.Revision != last.Revision || last.ID == "" {
				pause, last = waitLeast, in
				if onChange != nil {
					onChange(in)
				}
			}
			if done(in) {
				return in, nil
			}
		case ctx.Err() != nil:
			return last, ctx.Err()
		case !IsUnreachable(err) && CodeOf(err) != "unavailable", silence > waitPatience:
			return last, err
		default:
			silence += pause
		}
		select {
		case <-ctx.Done():
			return last, ctx.Err()
		case <-time.After(pause):
		}
		pause = min(pause*3/2, waitMost)
	}
}

// WaitGone looks at an instance until nothing is left of it.
func (c *Client) WaitGone(ctx context.Context, id string, onChange func(wire.Instance)) error {
	_, err := c.WaitInstance(ctx, id, func(i wire.Instance) bool { return i.State == "gone" }, onChange)
	if IsNotFound(err) {
		return nil
	}
	return err
}

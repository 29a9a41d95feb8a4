package hypervisor

import (
	"context"
	"errors"
	"time"

	"libvirt.org/go/libvirt"

	"lodge/cloud"
	"lodge/virt"
)

// patience is for a call whose context has no deadline.
const patience = 30 * time.Second

// call runs fn with a connection of its own and gives back what it gives.
// Whatever went wrong comes back as a *cloud.Error: CodeHypervisor without a
// connection, CodeTimeout after the deadline of ctx or 30 s.
//
// libvirt's calls cannot be cancelled, so fn goes on behind a timeout; it has to
// look at its ctx before each further call that changes something, or it would
// act on a decision that is no longer anybody's.
func call[T any](ctx context.Context, l *virt.Link, what string, fn func(ctx context.Context, c *libvirt.Connect) (T, error)) (T, error) {
	limit := patience
	if end, has := ctx.Deadline(); has {
		limit = time.Until(end)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	val, err := virt.CallFor(ctx, l, limit, what, func(c *libvirt.Connect) (T, error) { return fn(ctx, c) })
	var known *cloud.Error
	if err == nil || errors.As(err, &known) {
		return val, err
	}
	if ctx.Err() != nil {
		return val, cloud.Wrap(cloud.CodeTimeout, err, "The host's hypervisor did not answer in time.")
	}
	return val, cloud.Wrap(cloud.CodeHypervisor, err, "The host's hypervisor gave an answer that lodge does not understand.")
}

// do is call for an act.
func (h *Host) do(ctx context.Context, what string, fn func(ctx context.Context, c *libvirt.Connect) error) error {
	_, err := call(ctx, h.link, what, func(ctx context.Context, c *libvirt.Connect) (struct{}, error) {
		return struct{}{}, fn(ctx, c)
	})
	return err
}

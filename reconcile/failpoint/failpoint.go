// Package failpoint puts a hook before and behind each call that a loop makes to
// its host and its store: the places between a step and its record. Tests let a
// process die there, lose an answer, or look at what is true.
//
// lodged has it only when it is built with the tag failpoint.
package failpoint

import (
	"context"
	"io"
	"time"

	"lodge/cloud"
	"lodge/reconcile"
)

// Point is a place at a call.
type Point struct {
	// Call is the method's name; that of a power action bears it, too:
	// PowerGuest:start.
	Call string
	// After is false before the call was made, and true when it is done and its
	// caller does not know it yet.
	After bool
}

// String is the point as an operator of a test writes it: CreateDisk:before.
func (p Point) String() string {
	if p.After {
		return p.Call + ":after"
	}
	return p.Call + ":before"
}

// Hook hears of each point. Before a call, an error keeps it from being made;
// after it, from being answered: either way the caller gets the error. It is
// called from many goroutines.
type Hook func(Point) error

// Wrap returns o with hook at each of its calls. WatchGuests and Fetch have none:
// nothing is done by them.
func Wrap(o reconcile.Options, hook Hook) reconcile.Options {
	p := points{o, hook}
	if o.Guests != nil {
		o.Guests = p
	}
	if o.Ends != nil {
		o.Ends = p
	}
	if o.Counters != nil {
		o.Counters = p
	}
	if o.Disks != nil {
		o.Disks = p
	}
	if o.Nets != nil {
		o.Nets = p
	}
	if o.Strays != nil {
		o.Strays = p
	}
	if o.Instances != nil {
		o.Instances = p
	}
	if o.Networks != nil {
		o.Networks = p
	}
	if o.Images != nil {
		o.Images = p
	}
	if o.Hosts != nil {
		o.Hosts = p
	}
	if o.Traffic != nil {
		o.Traffic = p
	}
	if o.Restores != nil {
		o.Restores = p
	}
	return o
}

type points struct {
	o    reconcile.Options
	hook Hook
}

func ask[T any](p points, call string, f func() (T, error)) (T, error) {
	var zero T
	if err := p.hook(Point{Call: call}); err != nil {
		return zero, err
	}
	out, err := f()
	if lost := p.hook(Point{Call: call, After: true}); lost != nil {
		return zero, lost
	}
	return out, err
}

func (p points) do(call string, f func() error) error {
	_, err := ask(p, call, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

func (p points) LookGuests(ctx context.Context, ids []string) (map[string]cloud.Guest, error) {
	return ask(p, "LookGuests", func() (map[string]cloud.Guest, error) { return p.o.Guests.LookGuests(ctx, ids) })
}

func (p points) DefineGuest(ctx context.Context, s cloud.GuestSpec) error {
	return p.do("DefineGuest", func() error { return p.o.Guests.DefineGuest(ctx, s) })
}

func (p points) PowerGuest(ctx context.Context, id string, a cloud.PowerAction) error {
	return p.do("PowerGuest:"+string(a), func() error { return p.o.Guests.PowerGuest(ctx, id, a) })
}

func (p points) RemoveGuest(ctx context.Context, id string) error {
	return p.do("RemoveGuest", func() error { return p.o.Guests.RemoveGuest(ctx, id) })
}

func (p points) WatchGuests(ctx context.Context, moved func(string), link func(bool)) error {
	return p.o.Guests.WatchGuests(ctx, moved, link)
}

func (p points) GuestEnd(ctx context.Context, id string, since, now time.Time) (cloud.GuestEnd, error) {
	return ask(p, "GuestEnd", func() (cloud.GuestEnd, error) { return p.o.Ends.GuestEnd(ctx, id, since, now) })
}

func (p points) ReadNICs(ctx context.Context) (map[string]cloud.NICCounter, error) {
	return ask(p, "ReadNICs", func() (map[string]cloud.NICCounter, error) { return p.o.Counters.ReadNICs(ctx) })
}

func (p points) LookDisks(ctx context.Context, ids []string) (map[cloud.DiskKey]cloud.Disk, error) {
	return ask(p, "LookDisks", func() (map[cloud.DiskKey]cloud.Disk, error) { return p.o.Disks.LookDisks(ctx, ids) })
}

func (p points) CreateDisk(ctx context.Context, s cloud.DiskSpec) error {
	return p.do("CreateDisk", func() error { return p.o.Disks.CreateDisk(ctx, s) })
}

func (p points) WriteSeed(ctx context.Context, s cloud.SeedSpec) error {
	return p.do("WriteSeed", func() error { return p.o.Disks.WriteSeed(ctx, s) })
}

func (p points) RemoveDisk(ctx context.Context, k cloud.DiskKind, id string) error {
	return p.do("RemoveDisk", func() error { return p.o.Disks.RemoveDisk(ctx, k, id) })
}

func (p points) ImportImage(ctx context.Context, img cloud.Image, r io.Reader, progress func(int64)) (cloud.ImageInfo, error) {
	return ask(p, "ImportImage", func() (cloud.ImageInfo, error) { return p.o.Disks.ImportImage(ctx, img, r, progress) })
}

func (p points) LookNetworks(ctx context.Context, ids []string) (map[string]cloud.HostNetwork, error) {
	return ask(p, "LookNetworks", func() (map[string]cloud.HostNetwork, error) { return p.o.Nets.LookNetworks(ctx, ids) })
}

func (p points) EnsureNetwork(ctx context.Context, s cloud.NetworkSpec) error {
	return p.do("EnsureNetwork", func() error { return p.o.Nets.EnsureNetwork(ctx, s) })
}

func (p points) RemoveUnused(ctx context.Context, id string) (bool, error) {
	return ask(p, "RemoveUnused", func() (bool, error) { return p.o.Strays.RemoveUnused(ctx, id) })
}

func (p points) RemoveNetwork(ctx context.Context, id string) error {
	return p.do("RemoveNetwork", func() error { return p.o.Nets.RemoveNetwork(ctx, id) })
}

func (p points) EnsurePort(ctx context.Context, n string, s cloud.PortSpec) error {
	return p.do("EnsurePort", func() error { return p.o.Nets.EnsurePort(ctx, n, s) })
}

func (p points) RemovePort(ctx context.Context, n string, s cloud.PortSpec) error {
	return p.do("RemovePort", func() error { return p.o.Nets.RemovePort(ctx, n, s) })
}

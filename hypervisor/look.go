package hypervisor

import (
	"context"
	"fmt"

	"libvirt.org/go/libvirt"

	"lodge/cloud"
	"lodge/virt"
)

// LookGuests reports guests by id: all with lodge's mark when ids is nil, else
// the asked ones that are there. A domain without the mark that has the id or
// the name of an asked one is reported under that id with Foreign.
//
// It costs one call for the list, or one lookup for each asked guest, and three to
// four of 0.1 ms for each guest that is there. It remembers nothing between
// looks; whom a signal has ended is known from the event.
func (h *Host) LookGuests(ctx context.Context, ids []string) (map[string]cloud.Guest, error) {
	guests, err := call(ctx, h.link, "look at guests", func(ctx context.Context, c *libvirt.Connect) (map[string]cloud.Guest, error) {
		f, err := h.know()
		if err != nil {
			return nil, err
		}
		form := f.shape.form()
		if ids == nil {
			return lookAll(ctx, c, form)
		}
		return lookSome(ctx, c, form, ids)
	})
	if err != nil {
		return nil, fmt.Errorf("look at guests: %w", err)
	}
	h.outside(guests)
	return guests, nil
}

func lookAll(ctx context.Context, c *libvirt.Connect, form string) (map[string]cloud.Guest, error) {
	doms, err := c.ListAllDomains(0)
	if err != nil {
		return nil, err
	}
	defer func() {
		for i := range doms {
			free(&doms[i])
		}
	}()
	out := make(map[string]cloud.Guest, len(doms))
	for i := range doms {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		id, err := doms[i].GetUUIDString()
		if err != nil {
			return nil, err
		}
		g, there, err := look(&doms[i], id, form)
		if err != nil {
			return nil, err
		}
		if there && !g.Foreign {
			out[id] = g
		}
	}
	return out, nil
}

func lookSome(ctx context.Context, c *libvirt.Connect, form string, ids []string) (map[string]cloud.Guest, error) {
	out := make(map[string]cloud.Guest, len(ids))
	for _, id := range ids {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		g, there, err := lookOne(c, form, id)
		if err != nil {
			return nil, err
		}
		if there {
			out[id] = g
		}
	}
	return out, nil
}

func lookOne(c *libvirt.Connect, form, id string) (cloud.Guest, bool, error) {
	d, err := find(c, id)
	named := err == nil && d == nil
	if named {
		d, err = findName(c, id)
	}
	if d == nil || err != nil {
		return cloud.Guest{}, false, err
	}
	defer free(d)
	g, there, err := look(d, id, form)
	g.Foreign = g.Foreign || named // our name under another id: not what was asked for
	return g, there, err
}

// look reads one domain. It may vanish between two calls: then it is not there.
func look(d *libvirt.Domain, id, form string) (cloud.Guest, bool, error) {
	g, err := read(d, id, form)
	if virt.Is(err, libvirt.ERR_NO_DOMAIN) {
		return cloud.Guest{}, false, nil
	}
	return g, err == nil, err
}

func read(d *libvirt.Domain, id, form string) (cloud.Guest, error) {
	name, err := d.GetName()
	if err != nil {
		return cloud.Guest{}, err
	}
	g := cloud.Guest{ID: id, Name: name}
	next, err := readMark(d, libvirt.DOMAIN_AFFECT_CONFIG)
	if err != nil {
		return g, err
	}
	if next != nil {
		changed, root, err := edited(d, next)
		if err != nil {
			return g, err
		}
		if g.Root = root; !changed && next.Form == form {
			g.Digest = next.Digest
		}
	}
	g.Foreign = next == nil
	run, err := readState(d, &g)
	if err != nil {
		return g, err
	}
	if run == nil {
		return g, readSaved(d, &g)
	}
	g.VCPUs = int(run.NrVirtCpu)
	g.MemoryMiB = int(run.MaxMem / 1024) // libvirt counts in KiB
	return g, readLive(d, &g)
}

// readState reads the state, and the size of a run; nil when there is none. The
// info has the state without its reason and the size; the reason takes a call of
// its own and is asked for only where it says something. Whether the guest was
// active when it was looked up is kept in the handle.
func readState(d *libvirt.Domain, g *cloud.Guest) (run *libvirt.DomainInfo, err error) {
	if _, err := d.GetID(); err == nil { // active
		run, err = d.GetInfo()
		if err != nil {
			return nil, err
		}
		if plain(run.State) {
			g.State, g.OffReason, g.IOError = translate(run.State, 0)
			return run, nil
		}
	}
	state, reason, err := d.GetState()
	if err != nil {
		return nil, err
	}
	g.State, g.OffReason, g.IOError = translate(state, reason)
	if g.State == cloud.GuestOff {
		return nil, nil
	}
	if run == nil { // started since
		run, err = d.GetInfo()
	}
	return run, err
}

// plain reports whether a state means the same whatever its reason.
func plain(s libvirt.DomainState) bool {
	switch s {
	case libvirt.DOMAIN_RUNNING, libvirt.DOMAIN_BLOCKED, libvirt.DOMAIN_SHUTDOWN, libvirt.DOMAIN_PMSUSPENDED:
		return true
	}
	return false
}

// readSaved tells saved memory from plain off. One whose run ended by itself or
// was ended has none: it went with the start of that run.
func readSaved(d *libvirt.Domain, g *cloud.Guest) error {
	if g.Foreign {
		return nil
	}
	switch g.OffReason {
	case cloud.OffShutdown, cloud.OffDestroyed, cloud.OffCrashed:
		return nil
	}
	saved, err := d.HasManagedSaveImage(0)
	if err == nil && saved {
		g.State, g.OffReason = cloud.GuestSaved, cloud.OffUnknown
	}
	return err
}

// readLive reads what the present run was started with.
func readLive(d *libvirt.Domain, g *cloud.Guest) error {
	live, err := readMark(d, libvirt.DOMAIN_AFFECT_LIVE)
	if live != nil {
		g.Foreign = false
		g.Live = live.Digest
	}
	return err
}

// translate says in lodge's words what libvirt's state and its reason mean.
// https://libvirt.org/html/libvirt-libvirt-domain.html#virDomainState
func translate(state libvirt.DomainState, reason int) (s cloud.GuestState, why cloud.OffReason, ioError bool) {
	switch state {
	case libvirt.DOMAIN_PAUSED:
		switch libvirt.DomainPausedReason(reason) {
		case libvirt.DOMAIN_PAUSED_STARTING_UP:
			return cloud.GuestOff, cloud.OffUnknown, false // may still fail
		case libvirt.DOMAIN_PAUSED_SHUTTING_DOWN:
			return cloud.GuestRunning, "", false // on its way off, or round to a reboot
		case libvirt.DOMAIN_PAUSED_IOERROR:
			return cloud.GuestPaused, "", true
		}
		return cloud.GuestPaused, "", false
	case libvirt.DOMAIN_PMSUSPENDED:
		return cloud.GuestPaused, "", false
	case libvirt.DOMAIN_CRASHED:
		return cloud.GuestOff, cloud.OffCrashed, false
	case libvirt.DOMAIN_SHUTOFF, libvirt.DOMAIN_NOSTATE:
		return cloud.GuestOff, offReason(libvirt.DomainShutoffReason(reason)), false
	}
	return cloud.GuestRunning, "", false // running, blocked, and in shutdown: QEMU is still there
}

func offReason(r libvirt.DomainShutoffReason) cloud.OffReason {
	switch r {
	case libvirt.DOMAIN_SHUTOFF_SHUTDOWN:
		return cloud.OffShutdown
	case libvirt.DOMAIN_SHUTOFF_DESTROYED:
		return cloud.OffDestroyed
	case libvirt.DOMAIN_SHUTOFF_CRASHED, libvirt.DOMAIN_SHUTOFF_DAEMON:
		return cloud.OffCrashed // DAEMON: QEMU was gone when libvirtd came back
	case libvirt.DOMAIN_SHUTOFF_FAILED:
		return cloud.OffFailed
	}
	return cloud.OffUnknown // after a reboot of the host libvirt knows none
}

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
// It costs one call for the list and two (off) to four (running) of 0.1 ms for
// each guest, and remembers nothing between looks.
func (h *Host) LookGuests(ctx context.Context, ids []string) (map[string]cloud.Guest, error) {
	guests, err := call(ctx, h.pool, "look at guests", func(ctx context.Context, c *libvirt.Connect) (map[string]cloud.Guest, error) {
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
	if next != nil && next.Form == form {
		g.Digest = next.Digest
	}
	state, reason, err := d.GetState()
	if err != nil {
		return g, err
	}
	g.State, g.OffReason, g.IOError = translate(state, reason)
	g.Foreign = next == nil
	if g.State == cloud.GuestOff {
		return g, readSaved(d, &g)
	}
	return g, readRun(d, &g)
}

// readSaved tells saved memory from plain off.
func readSaved(d *libvirt.Domain, g *cloud.Guest) error {
	if g.Foreign {
		return nil
	}
	saved, err := d.HasManagedSaveImage(0)
	if err == nil && saved {
		g.State, g.OffReason = cloud.GuestSaved, cloud.OffUnknown
	}
	return err
}

// readRun reads what the present run was started with.
func readRun(d *libvirt.Domain, g *cloud.Guest) error {
	live, err := readMark(d, libvirt.DOMAIN_AFFECT_LIVE)
	if err != nil {
		return err
	}
	if live != nil {
		g.Foreign = false
		g.Live = live.Digest
	}
	info, err := d.GetInfo()
	if err != nil {
		return err
	}
	g.VCPUs = int(info.NrVirtCpu)
	g.MemoryMiB = int(info.MaxMem / 1024) // libvirt counts in KiB
	return nil
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

package sim

import (
	"context"
	"fmt"
	"time"

	"lodge/cloud"
)

// guest is a pretend domain.
type guest struct {
	id, name string
	foreign  bool
	next     *cloud.GuestSpec // nil: it was undefined while it runs
	digest   string           // of next
	run      *cloud.GuestSpec // nil: off
	live     string           // digest of run
	paused   bool
	ioError  bool
	saved    bool
	off      cloud.OffReason

	turn     int // number of the run, so that a late timer hits no later run
	startAt  time.Time
	asked    bool // the power button was pressed in this run
	stubborn bool // it ignores the button
	booted   bool // the console of this run has its login
	log      []byte
	nics     []cloud.NICCounter // of the run
}

// LookGuests reports guests by id, as reconcile.Guests wants it.
func (h *Host) LookGuests(ctx context.Context, ids []string) (map[string]cloud.Guest, error) {
	var out map[string]cloud.Guest
	err := h.do(ctx, CallLookGuests, "", func() error {
		if ids == nil {
			out = make(map[string]cloud.Guest, len(h.guests))
			for id, g := range h.guests {
				if !g.foreign {
					out[id] = g.seen()
				}
			}
			return nil
		}
		out = make(map[string]cloud.Guest, len(ids))
		for _, id := range ids {
			if g := h.guests[id]; g != nil {
				out[id] = g.seen()
			} else if other := h.guests[h.foreign[cloud.GuestName(id)]]; other != nil {
				seen := other.seen()
				seen.ID = id
				out[id] = seen
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at guests: %w", err)
	}
	return out, nil
}

func (g *guest) seen() cloud.Guest {
	out := cloud.Guest{ID: g.id, Name: g.name, Foreign: g.foreign, Digest: g.digest, State: cloud.GuestOff, OffReason: g.off}
	if g.digest == "" && g.next != nil && len(g.next.Disks) > 0 {
		out.Root = g.next.Disks[0].Path
	}
	switch {
	case g.run == nil && g.saved:
		out.State, out.OffReason = cloud.GuestSaved, cloud.OffUnknown
	case g.run != nil:
		out.State, out.OffReason = cloud.GuestRunning, cloud.OffUnknown
		if g.paused {
			out.State, out.IOError = cloud.GuestPaused, g.ioError
		}
		out.Live, out.VCPUs, out.MemoryMiB = g.live, g.run.VCPUs, g.run.MemoryMiB
	}
	return out
}

// DefineGuest makes the definition of the next start equal to the spec.
func (h *Host) DefineGuest(ctx context.Context, spec cloud.GuestSpec) error {
	err := h.do(ctx, CallDefineGuest, "", func() error {
		g := h.guests[spec.ID]
		_, taken := h.foreign[cloud.GuestName(spec.ID)]
		if taken || (g != nil && g.foreign) {
			return foreign()
		}
		if g == nil {
			g = &guest{id: spec.ID, name: cloud.GuestName(spec.ID)}
			h.guests[spec.ID] = g
		}
		g.next, g.digest = &spec, spec.Digest()
		h.tellMoved(spec.ID)
		return nil
	})
	return named(err, "define", spec.ID)
}

// PowerGuest does one action, or finds it done.
func (h *Host) PowerGuest(ctx context.Context, id string, a cloud.PowerAction) error {
	err := h.do(ctx, CallPowerGuest, CallPowerGuest+Call(":"+a), func() error {
		g := h.guests[id]
		if g == nil {
			if a == cloud.ActShutdown || a == cloud.ActDestroy {
				return nil
			}
			return cloud.Errorf(cloud.CodeNotFound, "The guest is not defined on its host.")
		}
		if g.foreign {
			return foreign()
		}
		return h.power(g, a)
	})
	return named(err, string(a), id)
}

func (h *Host) power(g *guest, a cloud.PowerAction) error {
	off := g.run == nil
	switch a {
	case cloud.ActStart:
		if off {
			return h.start(g)
		}
		return nil
	case cloud.ActShutdown:
		if !off {
			h.press(g)
		}
		return nil
	case cloud.ActDestroy:
		if !off {
			h.end(g, cloud.OffDestroyed)
		}
		return nil
	}
	if off {
		return cloud.Errorf(cloud.CodeConflict, "The guest is off; start it instead.")
	}
	switch a {
	case cloud.ActReboot:
		if g.stubborn || g.paused {
			return nil // it does not hear
		}
		h.boot(g)
	case cloud.ActReset:
		h.boot(g)
	case cloud.ActResume:
		g.paused, g.ioError = false, false
	default:
		return cloud.Errorf(cloud.CodeInternal, "The power action %q is unknown.", a)
	}
	h.tellMoved(g.id)
	return nil
}

// start needs what QEMU and libvirt need: the files and active networks.
func (h *Host) start(g *guest) error {
	if why := h.missing(*g.next); why != "" {
		g.off = cloud.OffFailed
		return cloud.Wrap(cloud.CodeGuestFailed, fmt.Errorf("cannot access %s", why),
			"The guest could not be started; the operator finds the cause in the log.")
	}
	h.boot(g)
	g.run, g.live = g.next, g.digest
	if g.run.Firmware == cloud.FirmwareUEFI {
		h.nvram[g.id] = true
	}
	h.plug(g)
	h.opts.Life(g.id, g.run)
	g.off, g.saved, g.paused, g.ioError = cloud.OffUnknown, false, false, false
	for _, nic := range g.run.NICs {
		h.nets[nic.NetworkID].lease(nic.MAC)
	}
	h.tellMoved(g.id)
	return nil
}

// missing names the first thing that the guest cannot start without.
func (h *Host) missing(spec cloud.GuestSpec) string {
	for _, d := range spec.Disks {
		for _, path := range []string{d.Path, d.Backing} {
			if _, there := h.paths[path]; !there && path != "" {
				return "file " + path
			}
		}
	}
	for _, nic := range spec.NICs {
		if n := h.nets[nic.NetworkID]; n == nil || !n.active {
			return "network " + cloud.HostNetworkName(nic.NetworkID)
		}
	}
	return ""
}

// boot begins a run, or begins it again.
func (h *Host) boot(g *guest) {
	h.settle(g)
	g.turn++
	g.startAt, g.booted, g.asked = h.opts.Now(), false, false
	g.write("Booting from Hard Disk...\r\n")
}

// end ends the run.
func (h *Host) end(g *guest, why cloud.OffReason) {
	h.settle(g)
	h.logEnd(g)
	g.turn++
	g.run, g.live, g.off = nil, "", why
	h.opts.Life(g.id, nil)
	g.paused, g.ioError = false, false
	if g.next == nil {
		h.forget(g)
	}
	h.tellMoved(g.id)
}

// press presses the power button. A guest that is paused, or does not listen,
// does not hear it.
func (h *Host) press(g *guest) {
	if g.asked || g.stubborn || g.paused {
		return
	}
	g.asked = true
	turn := g.turn
	obey := func() {
		if g.turn == turn && g.run != nil && !g.paused && h.guests[g.id] == g {
			h.end(g, cloud.OffShutdown)
		}
	}
	if h.opts.Latency.Shutdown <= 0 {
		obey()
		return
	}
	time.AfterFunc(h.opts.Latency.Shutdown, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		obey()
	})
}

// RemoveGuest switches off and undefines, with the console log.
func (h *Host) RemoveGuest(ctx context.Context, id string) error {
	err := h.do(ctx, CallRemoveGuest, "", func() error {
		g := h.guests[id]
		if g != nil && g.foreign {
			return foreign()
		}
		delete(h.nvram, id) // also of one that was undefined by hand
		if g == nil {
			return nil
		}
		if g.run != nil {
			h.end(g, cloud.OffDestroyed)
		}
		h.forget(g)
		h.tellMoved(id)
		return nil
	})
	return named(err, "remove", id)
}

func (h *Host) forget(g *guest) {
	delete(h.guests, g.id)
	if g.foreign {
		delete(h.foreign, g.name)
	}
}

// ConsoleLog returns at most max bytes from the end of the guest's console. It
// works while the link is down, like a file.
func (h *Host) ConsoleLog(_ context.Context, id string, max int) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	g := h.guests[id]
	if g == nil {
		return nil, nil
	}
	h.settle(g)
	from := 0
	if len(g.log) > max {
		from = len(g.log) - max
	}
	return append([]byte(nil), g.log[from:]...), nil
}

// settle writes what the console must show by now.
func (h *Host) settle(g *guest) {
	if g.run == nil || g.booted || h.opts.Now().Sub(g.startAt) < h.opts.Latency.Boot {
		return
	}
	g.booted = true
	g.write("\r\nDebian GNU/Linux 12 " + g.name + " ttyS0\r\n\r\n" + g.name + " login: ")
}

// logMost is how much of a console is kept.
const logMost = 16 << 10

func (g *guest) write(text string) {
	g.log = append(g.log, text...)
	if len(g.log) > logMost {
		g.log = append([]byte(nil), g.log[len(g.log)-logMost/2:]...)
	}
}

func foreign() error {
	return cloud.Errorf(cloud.CodeGuestForeign, "A virtual machine on the host that is not lodge's has this guest's id or name; the operator has to rename or remove it.")
}

func named(err error, what, id string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s guest %s: %w", what, id, err)
}

package hypervisor

import (
	"context"
	"fmt"
	"time"

	"libvirt.org/go/libvirt"

	"lodge/cloud"
	"lodge/virt"
)

// mostAsks is how many calls may wait for a QEMU at once. One that hangs keeps its
// call, and a worker of libvirtd, until it is destroyed: libvirtd has 20 workers,
// the link as many calls, and the rest is for looks, starts and destroys.
const mostAsks = 12

var errManySilent = fmt.Errorf("%d calls wait for guests that do not answer", mostAsks)

// askPatience is for what QEMU answers at once, when it answers.
const askPatience = 10 * time.Second

// asks reports whether QEMU's monitor has to answer.
func asks(a cloud.PowerAction) bool {
	switch a {
	case cloud.ActShutdown, cloud.ActReboot, cloud.ActReset, cloud.ActResume:
		return true
	}
	return false
}

// PowerGuest does one action, or finds it done: start and resume of a guest that
// runs, shutdown and destroy of one that is off or not there, are nil. The rest
// return CodeNotFound for a guest that is not there and CodeConflict for one
// that is off; CodeGuestForeign for a domain that is not lodge's; CodeGuestFailed
// when the host refuses. Shutdown and reboot return when the guest was asked,
// not when it obeyed; they press the ACPI button, for the agent may hang.
// https://libvirt.org/html/libvirt-libvirt-domain.html
func (h *Host) PowerGuest(ctx context.Context, id string, a cloud.PowerAction) error {
	if asks(a) {
		short, cancel := context.WithTimeout(ctx, askPatience)
		defer cancel()
		ctx = short
	}
	err := h.do(ctx, "power guest", func(ctx context.Context, c *libvirt.Connect) error {
		if asks(a) {
			select {
			case h.asks <- struct{}{}:
				defer func() { <-h.asks }() // when libvirt has answered, whoever still waits for it
			default:
				return cloud.Wrap(cloud.CodeTimeout, errManySilent, "Too many guests of the host do not answer; lodge tries again.")
			}
		}
		return power(ctx, c, id, a)
	})
	if a == cloud.ActStart && refusesLimit(err) && !h.freed.Load() {
		h.unlimit(err)
		err = unlimited(err)
	}
	if err != nil {
		return fmt.Errorf("%s guest %s: %w", a, id, err)
	}
	return nil
}

func power(ctx context.Context, c *libvirt.Connect, id string, a cloud.PowerAction) error {
	d, err := own(c, id)
	if err != nil {
		return refused(err, "The host could not be asked for the guest.")
	}
	if d == nil {
		if a == cloud.ActShutdown || a == cloud.ActDestroy {
			return nil
		}
		return cloud.Errorf(cloud.CodeNotFound, "The guest is not defined on its host.")
	}
	defer free(d)
	if ctx.Err() != nil {
		return refused(ctx.Err(), "")
	}
	switch a {
	case cloud.ActStart:
		return start(d)
	case cloud.ActShutdown:
		return refused(unlessOff(d, shutdown(d)), "The guest could not be asked to shut down.")
	case cloud.ActDestroy:
		return refused(unlessOff(d, d.Destroy()), "The guest could not be switched off.")
	case cloud.ActReboot:
		return refused(conflictIfOff(d, d.Reboot(libvirt.DOMAIN_REBOOT_ACPI_POWER_BTN)), "The guest could not be asked to reboot.")
	case cloud.ActReset:
		return refused(conflictIfOff(d, d.Reset(0)), "The guest could not be reset.")
	case cloud.ActResume:
		return resume(d)
	}
	return cloud.Errorf(cloud.CodeInternal, "The power action %q is unknown.", a)
}

// start starts, or restores from saved memory. One that is active runs already,
// also when it is paused: that is ended by ActResume.
func start(d *libvirt.Domain) error {
	err := d.CreateWithFlags(0) // Create is two calls to libvirtd: it looks the domain's number up again
	if err != nil {
		if active, look := d.IsActive(); look == nil && active {
			return nil
		}
	}
	return refused(err, "The guest could not be started; the operator finds the cause in the log.")
}

func shutdown(d *libvirt.Domain) error {
	err := d.ShutdownFlags(libvirt.DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
	if virt.Is(err, libvirt.ERR_INVALID_ARG) {
		return d.Shutdown() // the test driver knows no flags
	}
	return err
}

func resume(d *libvirt.Domain) error {
	state, _, err := d.GetState()
	if err == nil {
		switch state {
		case libvirt.DOMAIN_RUNNING, libvirt.DOMAIN_BLOCKED:
			return nil
		case libvirt.DOMAIN_PMSUSPENDED:
			err = d.PMWakeup(0)
		default:
			err = d.Resume()
		}
	}
	return refused(conflictIfOff(d, err), "The guest could not be resumed.")
}

// unlessOff drops the error of switching off a guest that is off, or not there.
// It looks, for drivers have different errors for that.
func unlessOff(d *libvirt.Domain, err error) error {
	if err != nil && isOff(d) {
		return nil
	}
	return err
}

// conflictIfOff says what is wrong with an act that only a running guest takes.
func conflictIfOff(d *libvirt.Domain, err error) error {
	if err != nil && isOff(d) {
		return cloud.Wrap(cloud.CodeConflict, err, "The guest is off; start it instead.")
	}
	return err
}

func isOff(d *libvirt.Domain) bool {
	active, err := d.IsActive()
	return virt.Is(err, libvirt.ERR_NO_DOMAIN) || (err == nil && !active)
}

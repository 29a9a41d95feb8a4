package hypervisor

import (
	"context"
	"errors"
	"fmt"

	"libvirt.org/go/libvirt"

	"lodge/cloud"
	"lodge/virt"
)

// DefineGuest makes the definition of the next start equal to the spec. A
// running guest runs on unchanged. Returns CodeGuestForeign when a domain that
// is not lodge's has the id or the name, CodeGuestFailed when libvirt refuses.
// https://libvirt.org/html/libvirt-libvirt-domain.html#virDomainDefineXMLFlags
func (h *Host) DefineGuest(ctx context.Context, spec cloud.GuestSpec) error {
	err := h.do(ctx, "define guest", func(ctx context.Context, c *libvirt.Connect) error { return h.define(ctx, c, spec) })
	if err != nil {
		return fmt.Errorf("define guest %s: %w", spec.ID, err)
	}
	return nil
}

func (h *Host) define(ctx context.Context, c *libvirt.Connect, spec cloud.GuestSpec) error {
	d, err := own(c, spec.ID)
	free(d)
	if err != nil {
		return refused(err, "The host could not be asked for the guest.")
	}
	f, err := h.know()
	if err != nil {
		return err
	}
	text, err := definition(spec, f.shape, consolePath(h.opts.ConsoleDir, spec.ID))
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	d, err = c.DomainDefineXMLFlags(text, h.opts.defineFlags)
	free(d)
	if err != nil && nameTaken(c, spec.ID) {
		return foreign()
	}
	return refused(err, "The host refused the guest's definition; the operator finds the cause in the log.")
}

// nameTaken reports whether another domain has the guest's name, which is why
// libvirt refuses the definition.
func nameTaken(c *libvirt.Connect, id string) bool {
	d, err := findName(c, id)
	if d == nil || err != nil {
		return false
	}
	defer free(d)
	uuid, err := d.GetUUIDString() // kept in the handle
	return err == nil && uuid != id
}

// RemoveGuest switches off and undefines, with NVRAM, saved memory, metadata of
// snapshots and console log. Of a guest that is not there it removes what was
// left; returns CodeGuestForeign when the domain is not lodge's.
// https://libvirt.org/html/libvirt-libvirt-domain.html#virDomainUndefineFlags
func (h *Host) RemoveGuest(ctx context.Context, id string) error {
	err := h.do(ctx, "remove guest", func(ctx context.Context, c *libvirt.Connect) error {
		gone, err := remove(ctx, c, id)
		if gone && err == nil {
			err = h.removeVariables(ctx, c, id)
		}
		return err
	})
	if err == nil {
		err = removeConsole(h.opts.ConsoleDir, id)
	}
	if err != nil {
		return fmt.Errorf("remove guest %s: %w", id, err)
	}
	return nil
}

const undefineAll = libvirt.DOMAIN_UNDEFINE_MANAGED_SAVE |
	libvirt.DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
	libvirt.DOMAIN_UNDEFINE_CHECKPOINTS_METADATA |
	libvirt.DOMAIN_UNDEFINE_NVRAM

// remove reports whether the definition was gone already.
func remove(ctx context.Context, c *libvirt.Connect, id string) (gone bool, err error) {
	d, err := own(c, id)
	if d == nil {
		return err == nil, refused(err, "The host could not be asked for the guest.")
	}
	defer free(d)
	if err := unlessOff(d, d.Destroy()); err != nil {
		return false, refused(err, "The guest could not be switched off.")
	}
	if ctx.Err() != nil {
		return false, refused(ctx.Err(), "")
	}
	err = d.UndefineFlags(undefineAll)
	if virt.Is(err, libvirt.ERR_INVALID_ARG) || virt.Is(err, libvirt.ERR_NO_SUPPORT) {
		err = d.UndefineFlags(libvirt.DOMAIN_UNDEFINE_MANAGED_SAVE) // the test driver knows no NVRAM
	}
	// A domain that was undefined while it ran is gone once it is off.
	if virt.Is(err, libvirt.ERR_NO_DOMAIN) {
		return true, nil
	}
	return false, refused(err, "The guest's definition could not be removed.")
}

// removeVariables removes the NVRAM of a guest whose definition somebody else has
// removed: virsh undefine --keep-nvram leaves it. The file is libvirt's, which
// removes it together with a definition only; so one is made for that. It bears
// lodge's mark, for the case that lodged ends between the two calls.
func (h *Host) removeVariables(ctx context.Context, c *libvirt.Connect, id string) error {
	f, err := h.know()
	if err != nil || f.shape.firmware.loader == "" || f.shape.domainType == "test" || nameTaken(c, id) {
		return err
	}
	bare := cloud.GuestSpec{ID: id, VCPUs: 1, MemoryMiB: 64, Firmware: cloud.FirmwareUEFI}
	text, err := definition(bare, f.shape, consolePath(h.opts.ConsoleDir, id))
	if err != nil || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	d, err := c.DomainDefineXMLFlags(text, h.opts.defineFlags)
	if err != nil {
		return refused(err, "The host refused to remove what is left of the guest; the operator finds the cause in the log.")
	}
	defer free(d)
	return refused(d.UndefineFlags(undefineAll), "What is left of the guest could not be removed.")
}

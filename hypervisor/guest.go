package hypervisor

import (
	"context"
	"encoding/xml"
	"errors"

	"libvirt.org/go/libvirt"

	"lodge/cloud"
	"lodge/virt"
)

// find returns the domain with the id as its UUID, nil when there is none. The
// caller frees it.
func find(c *libvirt.Connect, id string) (*libvirt.Domain, error) {
	d, err := c.LookupDomainByUUIDString(id)
	if virt.Is(err, libvirt.ERR_NO_DOMAIN) {
		return nil, nil
	}
	return d, err
}

// findName is find by the guest's name.
func findName(c *libvirt.Connect, id string) (*libvirt.Domain, error) {
	d, err := c.LookupDomainByName(cloud.GuestName(id))
	if virt.Is(err, libvirt.ERR_NO_DOMAIN) {
		return nil, nil
	}
	return d, err
}

// readMark reads lodge's mark of the present run (DOMAIN_AFFECT_LIVE) or of the
// next start (DOMAIN_AFFECT_CONFIG); DOMAIN_AFFECT_CURRENT is the run, or the
// next start when off. nil: there is none.
// https://libvirt.org/html/libvirt-libvirt-domain.html#virDomainGetMetadata
func readMark(d *libvirt.Domain, which libvirt.DomainModificationImpact) (*mark, error) {
	text, err := d.GetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, namespace, which)
	switch {
	case virt.Is(err, libvirt.ERR_NO_DOMAIN_METADATA):
		return nil, nil
	case virt.Is(err, libvirt.ERR_OPERATION_INVALID):
		return nil, nil // live of one that is off, config of one that was undefined while it runs
	case err != nil:
		return nil, err
	}
	return parseMark(text), nil
}

// parseMark reads the mark; what is none of its form was in somebody's hand, and
// is ours all the same.
func parseMark(text string) *mark {
	m := &mark{}
	if err := xml.Unmarshal([]byte(text), m); err != nil {
		return &mark{}
	}
	return m
}

// marked reports whether the domain carries lodge's mark, now or from its next
// start on.
func marked(d *libvirt.Domain) (bool, error) {
	m, err := readMark(d, libvirt.DOMAIN_AFFECT_CURRENT)
	if m == nil && err == nil {
		m, err = readMark(d, libvirt.DOMAIN_AFFECT_CONFIG)
	}
	return m != nil, err
}

// own finds the guest for an act: nil when there is none, CodeGuestForeign when
// the domain is not lodge's. The caller frees it.
func own(c *libvirt.Connect, id string) (*libvirt.Domain, error) {
	d, err := find(c, id)
	if d == nil || err != nil {
		return nil, err
	}
	ours, err := marked(d)
	if err == nil && ours {
		return d, nil
	}
	free(d)
	if virt.Is(err, libvirt.ERR_NO_DOMAIN) {
		return nil, nil
	}
	if err == nil {
		err = foreign()
	}
	return nil, err
}

// free lets go of a handle. It is this process's memory and cannot fail in a
// way that matters.
func free(d *libvirt.Domain) {
	if d != nil {
		_ = d.Free()
	}
}

func foreign() error {
	return cloud.Errorf(cloud.CodeGuestForeign, "A virtual machine on the host that is not lodge's has this guest's id or name; the operator has to rename or remove it.")
}

// refused wraps what libvirt said to an act. A domain that is busy with another
// job for 30 s is a timeout, a *cloud.Error stays as it is.
func refused(err error, message string) error {
	var e *cloud.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	if virt.Is(err, libvirt.ERR_OPERATION_TIMEOUT) {
		return cloud.Wrap(cloud.CodeTimeout, err, "The host is still busy with another job of the guest.")
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return cloud.Wrap(cloud.CodeTimeout, err, "The host's hypervisor did not answer in time.")
	}
	return cloud.Wrap(cloud.CodeGuestFailed, err, "%s", message)
}

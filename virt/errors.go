package virt

import (
	"errors"
	"slices"
	"strings"

	"libvirt.org/go/libvirt"
)

// Is reports whether err is a libvirt error with one of the numbers.
func Is(err error, numbers ...libvirt.ErrorNumber) bool {
	var e libvirt.Error
	return errors.As(err, &e) && slices.Contains(numbers, e.Code)
}

// Says reports whether err is a libvirt error whose text contains the words.
// Where libvirt reports everything as an internal error, its text is all there
// is to tell one from the other.
func Says(err error, words string) bool {
	var e libvirt.Error
	return errors.As(err, &e) && strings.Contains(e.Message, words)
}

// NotFound reports whether libvirt said that it does not know the object.
func NotFound(err error) bool {
	return Is(err, libvirt.ERR_NO_DOMAIN, libvirt.ERR_NO_NETWORK, libvirt.ERR_NO_STORAGE_POOL,
		libvirt.ERR_NO_STORAGE_VOL, libvirt.ERR_NO_NWFILTER, libvirt.ERR_NO_SECRET,
		libvirt.ERR_NO_DOMAIN_SNAPSHOT, libvirt.ERR_NO_DOMAIN_METADATA)
}

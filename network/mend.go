package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"lodge/virt"
)

// worn reports whether something of an active network is missing: its DHCP
// server died, somebody undefined it, or a guest's NIC is on no bridge because
// the network was stopped and started under it.
func (h *Host) worn(f found, active bool) (bool, error) {
	if !active {
		return false, nil
	}
	if _, err := h.book.server(f.xml.UUID); errors.Is(err, errNoServer) {
		return true, nil
	}
	persistent, err := f.net.IsPersistent()
	if virt.NotFound(err) {
		return false, nil // removed meanwhile
	}
	if err != nil {
		return false, fmt.Errorf("is network %s persistent: %w", f.xml.UUID, err)
	}
	return !persistent || h.loose.get(looseNIC), nil
}

// recent keeps an answer for a second: many instances look at one network while
// they are made, and each answer costs a read for every guest of the host.
type recent struct {
	mu    sync.Mutex
	at    time.Time
	value bool
}

func (r *recent) get(ask func() bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.Sub(r.at) > time.Second {
		r.at, r.value = now, ask()
	}
	return r.value
}

// looseNIC reports whether a guest's tap has no bridge. Whose it is, reattach
// finds out; a tap of a guest that is just starting is loose for a moment, and
// mending it does no harm.
func looseNIC() bool {
	taps, err := filepath.Glob("/sys/class/net/vnet*")
	if err != nil {
		return false
	}
	for _, tap := range taps {
		if _, err := os.Lstat(filepath.Join(tap, "master")); errors.Is(err, os.ErrNotExist) {
			return true
		}
	}
	return false
}

// mend gives an active network with the right definition what it lost.
func (h *Host) mend(c *libvirt.Connect, f found, want *libvirtxml.Network) error {
	persistent, err := f.net.IsPersistent()
	if err != nil {
		return fmt.Errorf("is it persistent: %w", err)
	}
	if !persistent {
		text, err := want.Marshal()
		if err != nil {
			return err
		}
		n, err := c.NetworkDefineXML(text)
		if err != nil {
			return fmt.Errorf("define: %w", err)
		}
		_ = n.Free()
	}
	if err := autostart(f.net); err != nil {
		return err
	}
	if err := reattach(c, f.net); err != nil {
		return err
	}
	return h.announce(f)
}

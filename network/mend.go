package network

import (
	"context"
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

// worn reports whether something of an active network is missing: its bridge, or
// the bridge is down or without its address; its DHCP server died, somebody
// undefined it, or a guest's NIC is on no bridge because the network was stopped
// and started under it. The firewall's rules are looked at apart (fence.go).
func (h *Host) worn(f found, active bool) (bool, error) {
	if !active {
		return false, nil
	}
	br, real, err := h.bridge(f)
	if err != nil || real && !br.whole() {
		return true, err
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

// bridge looks at the network's bridge. real is false for a pretend network
// (test:///default), which never had one.
func (h *Host) bridge(f found) (br bridge, real bool, err error) {
	br, err = lookBridge(f.xml.Bridge.Name, gatewayOf(&f.xml))
	return br, br.there || h.book.due(f.xml.UUID), err
}

// mend gives an active network with the right definition what it lost.
func (h *Host) mend(ctx context.Context, c *libvirt.Connect, f found, want *libvirtxml.Network) error {
	br, real, err := h.bridge(f)
	if err != nil {
		return err
	}
	if real && !br.there {
		return h.restart(ctx, c, f, want)
	}
	if real && !br.whole() {
		if err := mendBridge(f.xml.Bridge.Name, br, gatewayOf(&f.xml)); err != nil {
			return err
		}
	}
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
	if err := h.announce(f); err != nil || !real {
		return err
	}
	if f.xml.IPs[0].DHCP == nil {
		return h.mendFence(ctx, f, restartPause, func() error { return h.restart(ctx, c, f, want) })
	}
	return h.mendFence(ctx, f, rebuildPause, func() error { return rewrite(f) })
}

// restart stops an active network and starts it again.
func (h *Host) restart(ctx context.Context, c *libvirt.Connect, f found, want *libvirtxml.Network) error {
	if err := f.net.Destroy(); err != nil && !gone(err) {
		return fmt.Errorf("stop it: %w", err)
	}
	return h.defineAndStart(ctx, c, want)
}

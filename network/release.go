package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"
	"libvirt.org/go/libvirt"

	"lodge/cloud"
	"lodge/virt"
)

// lease is an address that dnsmasq has given to somebody for a while.
type lease struct {
	mac  string // lower case
	addr netip.Addr
}

// leases are the running leases of a network; none where it has no dnsmasq.
func leases(n *libvirt.Network) ([]lease, error) {
	list, err := n.GetDHCPLeases()
	if virt.Is(err, libvirt.ERR_NO_SUPPORT) || gone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the leases: %w", err)
	}
	out := make([]lease, 0, len(list))
	for _, l := range list {
		addr, err := netip.ParseAddr(l.IPaddr)
		if err != nil {
			continue
		}
		out = append(out, lease{mac: strings.ToLower(l.Mac), addr: addr})
	}
	return out, nil
}

const (
	// dnsmasq forgets at once and then runs libvirt's lease helper, which keeps
	// the list; that takes some 10 ms.
	releaseLook   = 5 * time.Millisecond
	releaseResend = 250 * time.Millisecond
	releaseLimit  = 3 * time.Second
)

// release makes dnsmasq forget the leases that match, and returns when they are
// off libvirt's list. The likely ones are released without being on the list: a
// lease is on it some 10 ms after it was given, and would stay for an hour when
// it was overlooked. Returns CodeNetwork when a lease does not go.
func (h *Host) release(ctx context.Context, f found, likely []lease, match func(lease) bool) error {
	if active, err := f.net.IsActive(); err != nil || !active {
		return err // nobody would hear it; the next start looks after the list
	}
	send := likely
	end := time.NewTimer(releaseLimit)
	defer end.Stop()
	for wait := time.Duration(0); ; wait += releaseLook {
		if wait > releaseResend {
			wait = 0
		}
		all, err := leases(f.net)
		if err != nil {
			return err
		}
		left := slices.DeleteFunc(all, func(l lease) bool { return !match(l) })
		if wait == 0 {
			send = append(send, left...)
		}
		for _, l := range send {
			if err := sendRelease(ctx, f, l); err != nil {
				return fmt.Errorf("release %s of %s: %w", l.addr, l.mac, err)
			}
		}
		send = nil
		if len(left) == 0 {
			return nil
		}
		t := time.NewTimer(releaseLook)
		select {
		case <-t.C:
		case <-end.C:
			t.Stop()
			return &cloud.Error{Code: cloud.CodeNetwork, Cause: fmt.Errorf("%d leases of network %s stay after their release", len(left), f.xml.Name),
				Message: "The host's DHCP server did not give an address back; lodge tries again by itself."}
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}

// sendRelease sends what the guest would send (RFC 2131, 4.4.6), over a socket
// bound to the bridge: the kernel then hands the packet to dnsmasq as one that
// came in there, although the sender is the host itself. Without a client id
// dnsmasq goes by the MAC alone, whatever id the guest had sent. On a pretend
// network there is no bridge and nothing to release.
func sendRelease(ctx context.Context, f found, l lease) error {
	mac, err := net.ParseMAC(l.mac)
	if err != nil {
		return err
	}
	server := net.ParseIP(f.xml.IPs[0].Address).To4()
	msg, err := dhcpv4.New(
		dhcpv4.WithMessageType(dhcpv4.MessageTypeRelease),
		dhcpv4.WithHwAddr(mac),
		dhcpv4.WithClientIP(net.IP(l.addr.AsSlice())),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(server)),
	)
	if err != nil {
		return err
	}
	bridge := f.xml.Bridge.Name
	if _, err := net.InterfaceByName(bridge); err != nil {
		return nil
	}
	d := net.Dialer{
		LocalAddr: &net.UDPAddr{IP: server},
		Control: func(_, _ string, c syscall.RawConn) error {
			var bound error
			err := c.Control(func(fd uintptr) { bound = unix.BindToDevice(int(fd), bridge) })
			if err != nil {
				return err
			}
			return bound
		},
	}
	conn, err := d.DialContext(ctx, "udp4", net.JoinHostPort(server.String(), "67"))
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write(msg.ToBytes())
	return err
}

package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
	"libvirt.org/go/libvirtxml"
)

// bridge is what the kernel says about a network's bridge.
type bridge struct {
	there, up, addressed bool
}

func (b bridge) whole() bool { return b.there && b.up && b.addressed }

// gatewayOf is the address that the network's bridge has, with its range; not
// valid where the definition is none of lodge's.
func gatewayOf(x *libvirtxml.Network) netip.Prefix {
	if len(x.IPs) != 1 {
		return netip.Prefix{}
	}
	addr, err := netip.ParseAddr(x.IPs[0].Address)
	if err != nil {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(addr, int(prefix(x.IPs[0])))
}

// lookBridge asks the kernel in a few microseconds, for it is done for each
// network at each look. libvirt has no word for any of it: to it the network
// stays active whatever becomes of its bridge.
func lookBridge(name string, want netip.Prefix) (bridge, error) {
	if _, err := os.Stat(filepath.Join("/sys/class/net", name, "bridge")); err != nil {
		return bridge{}, nil
	}
	s, req, err := request(name)
	if err != nil {
		return bridge{}, err
	}
	defer unix.Close(s)
	err = unix.IoctlIfreq(s, unix.SIOCGIFFLAGS, req)
	if errors.Is(err, unix.ENODEV) {
		return bridge{}, nil
	}
	if err != nil {
		return bridge{}, fmt.Errorf("flags of %s: %w", name, err)
	}
	b := bridge{there: true, up: req.Uint16()&unix.IFF_UP != 0, addressed: !want.IsValid()}
	if b.addressed {
		return b, nil
	}
	if err := unix.IoctlIfreq(s, unix.SIOCGIFADDR, req); err == nil {
		if got, err := req.Inet4Addr(); err == nil {
			b.addressed = netip.AddrFrom4([4]byte(got)) == want.Addr()
		}
	}
	if !b.addressed { // the call above names the first address only
		b.addressed = hasAddress(name, want.Addr())
	}
	return b, nil
}

func hasAddress(name string, want netip.Addr) bool {
	dev, err := net.InterfaceByName(name)
	if err != nil {
		return false
	}
	all, err := dev.Addrs()
	if err != nil {
		return false
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr() == want {
			return true
		}
	}
	return false
}

// mendBridge sets a bridge up and gives it its address again. Whoever talks
// through it notices nothing, and dnsmasq hears of the address by itself.
func mendBridge(name string, has bridge, want netip.Prefix) error {
	if !has.up {
		s, req, err := request(name)
		if err != nil {
			return err
		}
		defer unix.Close(s)
		if err := unix.IoctlIfreq(s, unix.SIOCGIFFLAGS, req); err != nil {
			return fmt.Errorf("flags of %s: %w", name, err)
		}
		req.SetUint16(req.Uint16() | unix.IFF_UP)
		if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, req); err != nil {
			return fmt.Errorf("set %s up: %w", name, err)
		}
	}
	if !has.addressed {
		if err := addAddress(name, want); err != nil {
			return fmt.Errorf("give %s its address %s: %w", name, want, err)
		}
	}
	return nil
}

// request is a socket to ask about a network device, and the request. The caller
// closes the socket.
func request(name string) (int, *unix.Ifreq, error) {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return 0, nil, err
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	return s, req, err
}

// addAddress goes over netlink: the older calls replace the address that is
// there, and pass through the range of the address's class.
func addAddress(name string, p netip.Prefix) error {
	dev, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	addr, last := p.Addr().As4(), p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	msg := make([]byte, unix.SizeofNlMsghdr+unix.SizeofIfAddrmsg)
	*(*unix.IfAddrmsg)(unsafe.Pointer(&msg[unix.SizeofNlMsghdr])) = unix.IfAddrmsg{
		Family: unix.AF_INET, Prefixlen: uint8(p.Bits()), Scope: unix.RT_SCOPE_UNIVERSE, Index: uint32(dev.Index),
	}
	for _, a := range []struct {
		kind  uint16
		value [4]byte
	}{{unix.IFA_LOCAL, addr}, {unix.IFA_ADDRESS, addr}, {unix.IFA_BROADCAST, last}} {
		attr := make([]byte, unix.SizeofRtAttr, unix.SizeofRtAttr+4)
		*(*unix.RtAttr)(unsafe.Pointer(&attr[0])) = unix.RtAttr{Len: unix.SizeofRtAttr + 4, Type: a.kind}
		msg = append(msg, append(attr, a.value[:]...)...)
	}
	*(*unix.NlMsghdr)(unsafe.Pointer(&msg[0])) = unix.NlMsghdr{
		Len: uint32(len(msg)), Type: unix.RTM_NEWADDR, Flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK | unix.NLM_F_CREATE | unix.NLM_F_EXCL,
	}
	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	if err := unix.Sendto(s, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(s, answer, 0)
	if err != nil {
		return err
	}
	if n < unix.SizeofNlMsghdr+4 {
		return fmt.Errorf("the kernel answered with %d bytes", n)
	}
	// An acknowledgement is an error message with the number 0.
	errno := unix.Errno(-*(*int32)(unsafe.Pointer(&answer[unix.SizeofNlMsghdr])))
	if errno != 0 && errno != unix.EEXIST {
		return errno
	}
	return nil
}

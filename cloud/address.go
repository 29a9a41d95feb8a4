package cloud

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
)

// PickSubnet chooses the lowest free prefix of the length bits inside the pool.
// Taken may hold prefixes of any length, also outside the pool; none of them
// overlaps the choice. It reports false when the pool is used up, and when bits
// is shorter than the pool or leaves no address for a guest.
func PickSubnet(pool netip.Prefix, bits int, taken []netip.Prefix) (netip.Prefix, bool) {
	if !pool.IsValid() || bits < pool.Bits() || bits > pool.Addr().BitLen()-2 {
		return netip.Prefix{}, false
	}
	pool = pool.Masked()
	p := netip.PrefixFrom(pool.Addr(), bits)
	for pool.Contains(p.Addr()) {
		blocker, blocked := overlapping(p, taken)
		if !blocked {
			return p, true
		}
		// A shorter blocker covers many candidates: go on behind all of it.
		if blocker.Bits() > bits {
			blocker = p
		}
		next := lastAddr(blocker).Next()
		if !next.IsValid() {
			break
		}
		p = netip.PrefixFrom(next, bits)
	}
	return netip.Prefix{}, false
}

func overlapping(p netip.Prefix, taken []netip.Prefix) (netip.Prefix, bool) {
	for _, t := range taken {
		if t.Overlaps(p) {
			return t.Masked(), true
		}
	}
	return netip.Prefix{}, false
}

// PickAddress chooses the lowest free address of the subnet. The network's own
// address, the gateway (the first one) and the broadcast address are never
// given out. It reports false when none is free.
func PickAddress(cidr netip.Prefix, taken map[netip.Addr]bool) (netip.Addr, bool) {
	if !cidr.IsValid() {
		return netip.Addr{}, false
	}
	cidr = cidr.Masked()
	last := lastAddr(cidr)
	for a := cidr.Addr().Next().Next(); a.IsValid() && a.Less(last); a = a.Next() {
		if !taken[a] {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// PickMAC makes a port's MAC from its id: lower case, with the prefix that QEMU
// and libvirt use for guests. The next attempt gives another one, for the case
// that the first is taken by another port.
func PickMAC(portID string, attempt int) string {
	seed := binary.BigEndian.AppendUint32([]byte(portID+"\x00"), uint32(attempt))
	sum := sha256.Sum256(seed)
	return fmt.Sprintf("52:54:00:%02x:%02x:%02x", sum[0], sum[1], sum[2])
}

// lastAddr is the highest address of a masked prefix: the broadcast address of
// an IPv4 one.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 1 << (7 - bit%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

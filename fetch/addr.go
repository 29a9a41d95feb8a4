package fetch

import "net/netip"

// notPublic are the ranges that a tenant's URL must not reach, with the word
// that the sentence about it uses.
var notPublic = []struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},
	{netip.MustParsePrefix("100.64.0.0/10"), "shared carrier"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},
	{netip.MustParsePrefix("192.0.0.0/24"), "reserved"},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation"},
	{netip.MustParsePrefix("192.88.99.0/24"), "reserved"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmark"},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"}, // with 255.255.255.255

	{netip.MustParsePrefix("::/128"), "unspecified"},
	{netip.MustParsePrefix("::1/128"), "loopback"},
	{netip.MustParsePrefix("::/96"), "reserved"}, // IPv4-compatible, abandoned
	{netip.MustParsePrefix("64:ff9b:1::/48"), "translated private"},
	{netip.MustParsePrefix("100::/64"), "discard"},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation"},
	{netip.MustParsePrefix("3fff::/20"), "documentation"},
	{netip.MustParsePrefix("5f00::/16"), "segment routing"},
	{netip.MustParsePrefix("fc00::/7"), "private"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("fec0::/10"), "private"}, // site-local, abandoned
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
}

var (
	nat64  = netip.MustParsePrefix("64:ff9b::/96")    // RFC 6052
	sixTo4 = netip.MustParsePrefix("2002::/16")       // RFC 3056
	siit   = netip.MustParsePrefix("::ffff:0:0:0/96") // RFC 2765, IPv4-translated
	teredo = netip.MustParsePrefix("2001::/32")       // RFC 4380
)

// unreadable is the word for an address that is none as Go reads it.
const unreadable = "unreadable"

// refused tells why an address must not be dialled: "loopback", "private" and
// so on; "" when it may. What allow holds may always be dialled.
func refused(a netip.Addr, allow []netip.Prefix) string {
	a = a.WithZone("").Unmap()
	if !a.IsValid() {
		return unreadable
	}
	for _, p := range allow {
		if p.Contains(a) {
			return ""
		}
	}
	for _, r := range notPublic {
		if r.prefix.Contains(a) {
			return r.what
		}
	}
	if inner, ok := carried(a); ok {
		return refused(inner, allow)
	}
	return ""
}

// carried gives the IPv4 address that an IPv6 address leads to by translation.
func carried(a netip.Addr) (netip.Addr, bool) {
	b := a.As16()
	switch {
	case nat64.Contains(a), siit.Contains(a):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case sixTo4.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case teredo.Contains(a):
		return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}), true
	}
	return netip.Addr{}, false
}

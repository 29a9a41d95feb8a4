package cloud

import (
	"net/netip"
	"regexp"
	"testing"

	"pgregory.net/rapid"
)

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

func TestPickSubnetGivesTheLowestFreePrefix(t *testing.T) {
	for _, tc := range []struct {
		name, pool string
		bits       int
		taken      []netip.Prefix
		want       string // "" none
	}{
		{"an empty pool", "10.77.0.0/16", 24, nil, "10.77.0.0/24"},
		{"the first one taken", "10.77.0.0/16", 24, prefixes("10.77.0.0/24"), "10.77.1.0/24"},
		{"a gap in the middle", "10.77.0.0/16", 24, prefixes("10.77.0.0/24", "10.77.2.0/24"), "10.77.1.0/24"},
		{"a larger blocker", "10.77.0.0/16", 24, prefixes("10.77.0.0/22"), "10.77.4.0/24"},
		{"a smaller blocker", "10.77.0.0/16", 24, prefixes("10.77.0.128/30"), "10.77.1.0/24"},
		{"a blocker written with host bits", "10.77.0.0/16", 24, prefixes("10.77.0.9/24"), "10.77.1.0/24"},
		{"a blocker outside", "10.77.0.0/16", 24, prefixes("10.78.0.0/24"), "10.77.0.0/24"},
		{"a blocker around the pool", "10.77.0.0/16", 24, prefixes("10.0.0.0/8"), ""},
		{"a full pool", "10.77.0.0/23", 24, prefixes("10.77.0.0/24", "10.77.1.0/24"), ""},
		{"a pool of one", "10.77.5.0/24", 24, nil, "10.77.5.0/24"},
		{"the end of all addresses", "255.255.255.0/24", 25, prefixes("255.255.255.0/24"), ""},
		{"bits shorter than the pool", "10.77.0.0/24", 16, nil, ""},
		{"bits without room for a guest", "10.77.0.0/24", 31, nil, ""},
		{"IPv6", "fd00::/48", 64, prefixes("fd00::/64"), "fd00:0:0:1::/64"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := PickSubnet(netip.MustParsePrefix(tc.pool), tc.bits, tc.taken)
			if ok != (tc.want != "") || (ok && got.String() != tc.want) {
				t.Fatalf("got %v, %v, want %q", got, ok, tc.want)
			}
		})
	}
}

func TestPickAddressGivesTheLowestFreeAddress(t *testing.T) {
	for _, tc := range []struct {
		name, cidr string
		taken      []string
		want       string // "" none
	}{
		{"an empty subnet", "10.77.0.0/24", nil, "10.77.0.2"},
		{"the first one taken", "10.77.0.0/24", []string{"10.77.0.2"}, "10.77.0.3"},
		{"a gap", "10.77.0.0/24", []string{"10.77.0.2", "10.77.0.4"}, "10.77.0.3"},
		{"a subnet of one guest", "10.77.0.0/30", nil, "10.77.0.2"},
		{"a full subnet", "10.77.0.0/30", []string{"10.77.0.2"}, ""},
		{"a subnet without a guest", "10.77.0.0/31", nil, ""},
		{"a prefix with host bits", "10.77.0.9/24", nil, "10.77.0.2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			taken := make(map[netip.Addr]bool)
			for _, a := range tc.taken {
				taken[netip.MustParseAddr(a)] = true
			}
			got, ok := PickAddress(netip.MustParsePrefix(tc.cidr), taken)
			if ok != (tc.want != "") || (ok && got.String() != tc.want) {
				t.Fatalf("got %v, %v, want %q", got, ok, tc.want)
			}
		})
	}
}

func TestPickMACIsOneOfQEMUsAndChangesWithTheAttempt(t *testing.T) {
	form := regexp.MustCompile(`^52:54:00(:[0-9a-f]{2}){3}$`)
	first, again, other := PickMAC("p", 0), PickMAC("p", 0), PickMAC("p", 1)
	if !form.MatchString(first) || first != again || first == other {
		t.Fatalf("got %s, %s, %s", first, again, other)
	}
}

func TestPickedSubnetsNeverOverlapAndFillThePool(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pool := netip.MustParsePrefix("10.77.0.0/24")
		var taken []netip.Prefix
		for range rapid.IntRange(0, 5).Draw(t, "foreign") {
			b := rapid.IntRange(0, 255).Draw(t, "address")
			bits := rapid.IntRange(24, 30).Draw(t, "bits")
			taken = append(taken, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, 0, byte(b)}), bits))
		}
		bits := rapid.IntRange(24, 30).Draw(t, "length")
		for {
			p, ok := PickSubnet(pool, bits, taken)
			if !ok {
				break
			}
			if p != p.Masked() || p.Bits() != bits || !pool.Contains(p.Addr()) {
				t.Fatalf("%v is no /%d of %v", p, bits, pool)
			}
			if other, hit := overlapping(p, taken); hit {
				t.Fatalf("%v overlaps %v", p, other)
			}
			taken = append(taken, p)
		}
		// None was given any more: then every candidate must be blocked.
		for b := 0; b < 256; b += 1 << (32 - bits) {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, 0, byte(b)}), bits)
			if _, hit := overlapping(p, taken); !hit {
				t.Fatalf("%v was free and not given", p)
			}
		}
	})
}

func TestPickedAddressesAreUniqueAndInsideTheSubnet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.IntRange(24, 30).Draw(t, "bits")
		base := byte(rapid.IntRange(0, 255).Draw(t, "base"))
		cidr := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, 0, base}), bits)
		gateway := Subnet{CIDR: cidr}.Gateway()
		taken := make(map[netip.Addr]bool)
		for {
			a, ok := PickAddress(cidr, taken)
			if !ok {
				break
			}
			if taken[a] || !cidr.Contains(a) || a == cidr.Masked().Addr() || a == gateway || a == lastAddr(cidr) {
				t.Fatalf("%v must not be given from %v", a, cidr)
			}
			taken[a] = true
		}
		if want := 1<<(32-bits) - 3; len(taken) != want {
			t.Fatalf("%v gave %d addresses, want %d", cidr, len(taken), want)
		}
	})
}

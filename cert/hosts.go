package cert

import (
	"crypto/x509"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"lodge/cloud"
)

// guestSide are the beginnings of the names of interfaces that belong to guests
// and their networks. Their addresses come and go with tenants' networks, and a
// certificate that everybody can read must not list those.
var guestSide = []string{cloud.BridgeName(""), "virbr", "vnet", "tap"}

// machineHosts gives the names and addresses that this machine has at the time.
// What cannot be found out is left out: localhost always remains.
func machineHosts() []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	if name, err := os.Hostname(); err == nil && validName(name) {
		hosts = append(hosts, name)
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return hosts
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 || ofGuests(i.Name) {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err == nil && !p.Addr().IsLinkLocalUnicast() {
				hosts = append(hosts, p.Addr().String())
			}
		}
	}
	return hosts
}

func ofGuests(name string) bool {
	return slices.ContainsFunc(guestSide, func(p string) bool { return strings.HasPrefix(name, p) })
}

// normal gives hosts as a certificate has them: names in lower case, addresses
// in their one spelling, each once, sorted. Returns CodeInvalid for one that is
// neither a name nor an address.
func normal(hosts []string) ([]string, error) {
	out := make([]string, 0, len(hosts))
	for _, h := range hosts {
		if a, err := netip.ParseAddr(strings.Trim(h, "[]")); err == nil && a.Zone() == "" {
			out = append(out, a.Unmap().String())
			continue
		}
		name := strings.ToLower(strings.TrimSuffix(h, "."))
		if !validName(strings.TrimPrefix(name, "*.")) {
			return nil, cloud.Errorf(cloud.CodeInvalid,
				"%q is neither a DNS name nor an IP address; give names as api.example.com, in ASCII, without scheme, port or path.", h)
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// validName reports whether a name can stand in a certificate.
func validName(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range strings.ToLower(label) {
			if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' {
				return false
			}
		}
	}
	return true
}

// hostsOf gives the hosts of a certificate in the manner of normal.
func hostsOf(c *x509.Certificate) []string {
	hosts := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

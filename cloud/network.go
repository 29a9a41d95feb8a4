package cloud

import (
	"net/netip"
	"time"
)

// Network is a layer-2 segment of one tenant.
type Network struct {
	Meta
	TenantID  string
	Name      string
	Default   bool // instances that name no network get a port here
	HostID    string
	Problem   *Problem
	Subnets   []Subnet
	DeletedAt time.Time
}

// Subnet is an address range of a network.
type Subnet struct {
	Meta
	TenantID  string
	NetworkID string
	CIDR      netip.Prefix // the gateway is its first address
	DHCP      bool
	DNS       []netip.Addr // empty: the gateway answers
}

// Gateway is the first usable address of the subnet; the host answers there.
func (s Subnet) Gateway() netip.Addr { return s.CIDR.Masked().Addr().Next() }

// Port is a NIC: it may exist before and after the instance that uses it.
type Port struct {
	Meta
	TenantID   string
	NetworkID  string
	InstanceID string // "": attached to nothing
	Slot       int    // order of the NICs in the guest
	MAC        string // lower case, colons
	Name       string // host name announced by DHCP
	FixedIPs   []FixedIP
	// DeleteWithInstance: the port was made for the instance and goes with it.
	DeleteWithInstance bool
	DeletedAt          time.Time
}

// FixedIP is an address of a port.
type FixedIP struct {
	SubnetID string
	Address  netip.Addr
}

// NetworkSpec is what the network hand has to make of a network on its host.
type NetworkSpec struct {
	ID      string
	Name    string // for people who look at the host; not unique
	Gateway netip.Addr
	CIDR    netip.Prefix
	NAT     bool
	DHCP    bool
}

// PortSpec is one fixed lease: this MAC gets this address and this name.
type PortSpec struct {
	MAC     string
	Address netip.Addr
	Name    string
}

// HostNetwork is a network as seen on the host.
type HostNetwork struct {
	ID     string
	Active bool
	// Worn: it is active and something of it is missing: its bridge or the address
	// there, its DHCP server, its firewall rules, its place in the next boot, or
	// the NIC of a guest. EnsureNetwork mends it.
	Worn   bool
	Ports  map[string]PortSpec // by MAC, lower case
	Bridge string
	CIDR   netip.Prefix // its addresses; not valid when the host does not say
}

// NetworkWish is a network with the number of ports that need it on its host.
type NetworkWish struct {
	Network
	LivePorts int
}

// Package network makes the networks of one host: a libvirt network with a
// bridge, NAT and dnsmasq for each of lodge's, and a fixed DHCP lease for each
// port.
//
// Every method is one attempt that may be repeated and finds work already done
// without an error. The room keeps nothing in memory but which networks' firewall
// rules it has seen, and never touches a network that is not lodge's. Which port
// belongs to whom it does not know.
//
// DESIGN.md beside this file has the reasons.
package network

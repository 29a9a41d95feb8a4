package cloud

import "strings"

// HostNetworkName is the name of a network on its host: what a guest's NIC
// refers to. Unique, recognisable, no tenant text in it.
func HostNetworkName(id string) string { return "lodge-" + id }

// BridgeName is the name of a network's bridge on its host. Linux takes 15
// bytes, so it is "ldg" and the last 12 digits of the id: they are random in
// every version of UUID, the first ones are a clock in some.
func BridgeName(id string) string {
	hex := strings.ReplaceAll(id, "-", "")
	return "ldg" + hex[max(0, len(hex)-12):]
}

// Package hypervisor keeps the guests of one host, through libvirt.
//
// It defines, powers, looks at and removes domains that carry lodge's mark, and
// never touches one that does not. It knows no tenant, no disk's contents and no
// network's addresses, keeps no state that matters, tries everything once and
// leaves trying again to its caller.
//
// Every method may be called at any time, from any goroutine, also while libvirt
// is away: then it returns a *cloud.Error with CodeHypervisor at once.
package hypervisor

// Package e2e holds the end-to-end tests: real binaries, real libvirtd, real
// guests, seen from outside through the CLI, HTTP, virsh and SSH. They run in a
// libvirt world (scripts/test makes it) and are skipped anywhere else.
package e2e

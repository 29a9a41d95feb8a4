// Package virt is the link to libvirt that the hands of a host share: a
// connection that watches and comes back by itself, one more for each call that
// is on its way, calls with a deadline, and the sorting of libvirt's errors.
//
// It knows no guest, disk or network, keeps nothing but connections, and never
// repeats a call: whether a second attempt is right only the caller knows.
package virt

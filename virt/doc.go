// Package virt is the link to libvirt that the hands of a host share: one
// connection that comes back by itself, calls with a deadline, and the sorting
// of libvirt's errors.
//
// It knows no guest, disk or network, keeps nothing but the connection, and
// never repeats a call: whether a second attempt is right only the caller knows.
package virt

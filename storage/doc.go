// Package storage keeps the bytes of one host: images, volumes and cloud-init
// seeds, all in one directory that is also a libvirt storage pool.
//
// Every method is one attempt that may be repeated, finds work already done
// without an error, and leaves nothing half-made in view: what LookDisks
// reports is whole. The room knows no tenants, no guests and no rows, never
// deletes bytes it was not told to delete, and never lets QEMU guess a format.
//
// DESIGN.md beside this file has the reasons.
package storage

// Package reconcile makes the host look like the tenants' wishes.
//
// It decides in Plan, which is pure: what is wanted and what is seen go in, and
// a list of steps comes out, plain data with no choice left in it. A step is
// planned only when everything it needs is already seen, so there is nothing to
// undo: whatever dies at whatever moment, the next look goes on from there.
//
// The loop is woken by a bell that carries nothing, by hints from the host, and
// by a sweep that would find everything without either. It never changes what a
// tenant asked, speaks no SQL, no XML and no HTTP, and keeps nothing in memory
// whose loss would cost more than time.
package reconcile

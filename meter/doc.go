// Package meter turns the intervals of the ledger into sums and hours. It is
// pure: it asks no host, reads no clock and writes no row. Everything is whole
// numbers; a decimal appears only as text, at the very end.
package meter

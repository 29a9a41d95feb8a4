// Package export sends closed hours of usage to a receiver of the operator's, as
// CloudEvents over HTTP, each at least once and in order. It knows no rows and
// makes no sums.
package export

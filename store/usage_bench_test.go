package store_test

import (
	"fmt"
	"testing"
)

// BenchmarkRecordStart is the record of a guest that is found on: its state, an
// event, and four rows of the ledger with the links of their openings.
func BenchmarkRecordStart(b *testing.B) {
	w := crowd(b, 0)
	n := 0
	for b.Loop() {
		b.StopTimer()
		n++
		i := w.create(fmt.Sprint("web", n))
		r := w.running(i)
		b.StartTimer()
		w.record(r)
	}
}

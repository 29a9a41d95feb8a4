package hypervisor

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"lodge/cloud"
)

// BenchmarkReadNICs reads the counters of 20 guests that run, beside the look at
// all that a sweep makes.
func BenchmarkReadNICs(b *testing.B) {
	if os.Getenv("LODGE_WORLD") != "1" {
		b.Skip("needs scripts/world")
	}
	h := open(b, "qemu:///system", AccelAuto)
	conn, dir, ctx := dial(b, "qemu:///system"), sharedDir(b), context.Background()
	network := hostNetwork(b, conn)
	for n := range 20 {
		spec := small(b, blank(b, dir))
		spec.NICs = []cloud.GuestNIC{{MAC: fmt.Sprintf("52:54:00:12:35:%02x", n), NetworkID: network}}
		up(b, h, spec)
	}
	var look, read time.Duration
	for b.Loop() {
		began := time.Now()
		_, err := h.LookGuests(ctx, nil)
		must(b, err)
		look += time.Since(began)
		began = time.Now()
		got, err := h.ReadNICs(ctx)
		must(b, err)
		read += time.Since(began)
		if len(got) != 20 {
			b.Fatalf("counters of %d guests", len(got))
		}
	}
	b.ReportMetric(float64(look.Microseconds())/1000/float64(b.N), "look-ms")
	b.ReportMetric(float64(read.Microseconds())/1000/float64(b.N), "read-ms")
}

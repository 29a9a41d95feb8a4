package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// lodged stands beside the guests that the memory is for, so garbage is
// collected when it has grown by headroom, or by leastPercent of what is in use
// where that is more. Go's own rule, by as much again as is in use, would cost a
// large installation twice its memory; a small percentage alone would have a
// small one collecting all the time.
const (
	headroom     = 6 << 20 // bytes
	leastPercent = 15
	mostPercent  = 100
)

// tuneMemory keeps to that until ctx ends. GOGC in the environment wins.
func tuneMemory(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	for set := 0; ; {
		metrics.Read(sample)
		if p := gcPercent(sample[0].Value.Uint64()); p != set {
			debug.SetGCPercent(p)
			set = p
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// gcPercent is Go's GOGC for so many bytes in use.
func gcPercent(live uint64) int {
	if live == 0 {
		return mostPercent
	}
	return int(min(mostPercent, max(leastPercent, headroom*100/live)))
}

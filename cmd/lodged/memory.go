package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"time"

	"golang.org/x/sys/unix"
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

// startIsOver is when what only the start needed (migrations, the first look at
// everything) is given back to the machine.
const startIsOver = 3 * time.Second

// giveBack frees the heap's garbage at once, for which Go itself takes minutes, and
// the pages of the program: a start walks through nearly all of it, and half is
// not needed again. What is comes back from the file when it is touched.
// https://man7.org/linux/man-pages/man2/madvise.2.html (MADV_PAGEOUT, Linux 5.4)
func giveBack() {
	debug.FreeOSMemory()
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/maps") // proc_pid_maps(5)
	if err != nil {
		return
	}
	for line := range strings.Lines(string(maps)) {
		f := strings.Fields(line)
		if len(f) < 6 || f[5] != self || strings.Contains(f[1], "w") {
			continue
		}
		var from, to uintptr
		if _, err := fmt.Sscanf(f[0], "%x-%x", &from, &to); err == nil {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_PAGEOUT) // an older kernel keeps them
		}
	}
}

// tuneMemory keeps to that until ctx ends. GOGC in the environment wins.
func tuneMemory(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	started := time.AfterFunc(startIsOver, giveBack)
	defer started.Stop()
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

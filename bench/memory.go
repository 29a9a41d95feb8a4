package main

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// burstMemory is more than 100 guests take while they start.
const burstMemory = 5 << 30

// warmMemory touches as much free memory as a burst takes. A virtual machine may
// hand free memory back to its own host (free page reporting, a balloon), a few
// seconds after it was freed; the first touch of such a page then costs four
// times as much, 11 us in place of 3 where this was found. That is 4 to 6 s of
// CPU for 100 guests, and which burst pays depends on what ran before it.
// https://docs.kernel.org/mm/free_page_reporting.html
func warmMemory() error {
	n := min(burstMemory, available()/2)
	if n == 0 {
		return nil
	}
	p, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	for i := 0; i < n; i += 4096 {
		p[i] = 1
	}
	debug.FreeOSMemory() // nor does a collection of ours fall into the burst
	return unix.Munmap(p)
}

// available is the memory that could be had without swapping, in bytes; 0 when
// it is not known. proc_meminfo(5)
func available() int {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "MemAvailable:" {
			kib, _ := strconv.Atoi(f[1])
			return kib << 10
		}
	}
	return 0
}

//go:build failpoint

package daemon

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"lodge/meter"
	"lodge/reconcile"
	"lodge/reconcile/failpoint"
)

// armed has lodged die as by kill -9 at the point that LODGE_FAILPOINT names, as
// in CreateDisk:after#2: when it comes there for the second time. It is for tests,
// and says so in the log.
func armed(o reconcile.Options) reconcile.Options {
	name, count, _ := strings.Cut(os.Getenv("LODGE_FAILPOINT"), "#")
	n, err := strconv.ParseInt(count, 10, 64)
	if name == "" || err != nil || n < 1 {
		return o
	}
	o.Log.Warn("this lodged will end itself: it was built for tests", "failpoint", name, "count", n)
	var left atomic.Int64
	left.Store(n)
	return failpoint.Wrap(o, func(at failpoint.Point) error {
		if at.String() == name && left.Add(-1) == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // nothing behind this point is done
		}
		return nil
	})
}

// turnable is read with a wall clock that is off by what the file says that
// LODGE_WALL_OFFSET names, as in 24h: so a test sets lodged's clock and nobody
// else's. By what the file of LODGE_TIME_OFFSET says the clock since boot is ahead,
// too: so much time has passed for lodged.
func turnable(read func() (meter.Tick, error)) func() (meter.Tick, error) {
	wall, all := os.Getenv("LODGE_WALL_OFFSET"), os.Getenv("LODGE_TIME_OFFSET")
	if wall == "" && all == "" {
		return read
	}
	return func() (meter.Tick, error) {
		t, err := read()
		passed := offset(all)
		t.Wall, t.Boot = t.Wall.Add(offset(wall)+passed), t.Boot+passed
		return t, err
	}
}

func offset(path string) time.Duration {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	off, err := time.ParseDuration(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return off
}

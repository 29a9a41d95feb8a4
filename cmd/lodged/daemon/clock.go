package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"lodge/cloud"
	"lodge/meter"
	"lodge/store"
)

// ReadClocks reads the clocks of this machine. The wall clock is read between
// two looks at the other one, the closer together the better: an interruption
// must not be taken for a step.
func ReadClocks() (meter.Tick, error) {
	boot, err := bootID()
	if err != nil {
		return meter.Tick{}, err
	}
	best := meter.Tick{BootID: boot}
	for spread := time.Duration(-1); spread < 0 || spread > 5*time.Millisecond; {
		before, err := sinceBoot()
		if err != nil {
			return meter.Tick{}, err
		}
		wall := time.Now()
		after, err := sinceBoot()
		if err != nil {
			return meter.Tick{}, err
		}
		spread = after - before
		best.Wall, best.Boot = wall, before+spread/2
	}
	return best, nil
}

// bootID does not change while the machine is up: random(4).
var bootID = sync.OnceValues(func() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b)), err
})

func sinceBoot() (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, fmt.Errorf("clock_gettime: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}

// timekeeper has the ledger's time, by which everything is written down: it runs
// with the clock since boot, so that a wall clock that is set makes no interval
// longer or shorter.
type timekeeper struct {
	db     *store.DB
	hostID string
	read   func() (meter.Tick, error)
	log    *slog.Logger
	// settled reports whether all ends that are known are written down: one that
	// is not must not come behind a step that it was before. Nil: always.
	settled func() bool
	// trust: the operator says that the wall clock is right, so the next look follows it
	// however far it is ahead.
	trust bool

	mu     sync.RWMutex
	anchor cloud.ClockAnchor

	settling sync.Mutex
	told     time.Duration // how far back the wall clock was when that was last written down
	doubt    meter.Doubt
	refused  time.Duration                 // when the time that was kept was refused, since boot; zero: it was not
	problem  atomic.Pointer[cloud.Problem] // of a step that is not followed yet, or of a time that was refused
}

func newTimekeeper(ctx context.Context, db *store.DB, hostID string, read func() (meter.Tick, error), log *slog.Logger) (*timekeeper, error) {
	kept, known, err := db.KeptClock(ctx, hostID)
	if err != nil {
		return nil, fmt.Errorf("the row of usage_clock, or of host, usage_close or usage_clock_step, cannot be read; somebody has changed it: %w", err)
	}
	tick, err := read()
	if err != nil {
		return nil, err
	}
	k := &timekeeper{db: db, hostID: hostID, read: read, log: log}
	saved := kept.Anchor
	if known {
		var why string
		if saved, why = meter.Admit(kept, tick); why != "" {
			log.Error("the time that was kept is refused", "kept", kept.Anchor.At, "latest", kept.Latest, "clock", tick.Wall, "from", saved.At, "why", why)
			if err := db.RefuseClock(ctx, hostID, saved, why); err != nil {
				return nil, err
			}
			k.refused = tick.Boot
			k.problem.Store(&cloud.Problem{Code: cloud.CodeClockStepped, Since: saved.At, Message: why})
		}
	}
	anchor := meter.Begin(saved, known, tick)
	if known && (anchor.BootID != kept.Anchor.BootID || tick.Boot < kept.Anchor.Boot) { // another boot
		if anchor, err = db.BootClock(ctx, hostID, anchor); err != nil {
			return nil, fmt.Errorf("begin the time of a new boot: %w", err)
		}
	}
	k.anchor = anchor
	return k, nil
}

// Now is the ledger's time.
func (k *timekeeper) Now() time.Time {
	k.mu.RLock()
	defer k.mu.RUnlock()
	t, err := k.read()
	if err != nil { // the kernel has refused both clocks: there is no better time than the last one
		return k.anchor.At
	}
	return meter.Time(k.anchor, t)
}

// Skew is how far the ledger's time is ahead of the wall clock, by which others on
// this machine write down when something happened.
func (k *timekeeper) Skew() time.Duration {
	k.mu.RLock()
	defer k.mu.RUnlock()
	t, err := k.read()
	if err != nil {
		return math.MaxInt64 // nobody knows
	}
	return meter.Time(k.anchor, t).Sub(t.Wall)
}

// Heartbeat writes down that all guests were looked at, and what the clocks
// showed. Right behind it is the moment to follow a wall clock that was set:
// what ended before has just been written down.
func (k *timekeeper) Heartbeat(ctx context.Context, hostID string, at time.Time) error {
	t, err := k.read()
	if err != nil {
		return err
	}
	k.settling.Lock()
	defer k.settling.Unlock()
	k.mu.RLock()
	anchor := k.anchor
	k.mu.RUnlock()
	step, _, stepped := meter.Step(anchor, t)
	if err := k.db.Beat(ctx, hostID, at, cloud.ClockAnchor{BootID: t.BootID, Boot: t.Boot, At: step.At}); err != nil {
		return err
	}
	follow, err := k.believe(ctx, step, stepped, t)
	if err != nil {
		return err
	}
	switch {
	case !stepped:
		k.told = 0
		return nil
	case !follow:
		return nil
	case step.Adopted && k.settled != nil && !k.settled():
		return nil // with a later heartbeat
	}
	if back := step.At.Sub(step.Wall); !step.Adopted {
		if off := back - k.told; off > -meter.StepTolerance && off < meter.StepTolerance {
			return nil
		}
		k.told = back
	}
	return k.follow(ctx, hostID, step.Wall.Sub(step.At))
}

// believe reports whether a step is to be followed now. One far forward is so when
// it has stood for a while, when the operator says so, or when nothing was ever
// counted: a machine that keeps no time begins in 1970. Until then it is a problem of
// the host.
func (k *timekeeper) believe(ctx context.Context, step cloud.ClockStep, stepped bool, t meter.Tick) (bool, error) {
	doubt, follow := meter.Doubt{}, true
	if stepped && step.Adopted && !k.trust {
		if doubt, follow = k.doubt.Look(step, t); !follow {
			next, _, err := k.db.NextHour(ctx)
			if err != nil {
				return false, err
			}
			follow = next.IsZero()
		}
	}
	k.trust = k.trust && k.settled != nil && !k.settled() // it holds for one step that is followed
	begins := doubt.Any() && !follow && k.problem.Load() == nil
	ends := (!doubt.Any() || follow) && k.problem.Load() != nil && (k.refused == 0 || t.Boot-k.refused >= meter.StepStands)
	k.doubt = doubt
	switch {
	case begins:
		k.problem.Store(&cloud.Problem{Code: cloud.CodeClockStepped, Since: step.At, Message: "The wall clock is " + doubt.Off.Round(time.Minute).String() +
			" ahead of lodge's time, which goes on without it until that has stood for 10 minutes. If the clock is right, wait, or restart lodged with --trust-clock; if it is wrong, set it."})
		k.log.Error("the wall clock was set far forward; it is followed when that has stood for a while", "ledger", step.At, "clock", step.Wall)
	case ends:
		k.problem.Store(nil)
		k.log.Info("the wall clock is not in doubt any more", "ledger", step.At, "clock", step.Wall, "followed", stepped && step.Adopted)
	default:
		return follow, nil
	}
	return follow, k.db.RecordHostProblem(ctx, k.hostID, step.At, k.problem.Load())
}

// follow writes a step down, and takes the new time when it is adopted. Who has
// asked for the time before and writes behind it is taken to the step's end by
// the store.
func (k *timekeeper) follow(ctx context.Context, hostID string, believed time.Duration) error {
	t, err := k.read() // anew: what was written since is before the step
	if err != nil {
		return err
	}
	step, after, stepped := meter.Step(k.anchor, t)
	if moved := step.Wall.Sub(step.At) - believed; !stepped || moved.Abs() > meter.StepTolerance {
		return nil // it was set again just now: the next look sees what to think of that
	}
	step.HostID = hostID
	k.log.Warn("the clock was set", "ledger", step.At, "clock", step.Wall, "followed", step.Adopted)
	if after, err = k.db.StepClock(ctx, step, after); err != nil {
		return fmt.Errorf("follow the clock: %w", err)
	}
	k.doubt = meter.Doubt{}
	k.mu.Lock()
	k.anchor = after
	k.mu.Unlock()
	return nil
}

// clocked is the store for a loop whose heartbeats keep the time.
type clocked struct {
	*store.DB
	keeper *timekeeper
}

func (c clocked) Heartbeat(ctx context.Context, hostID string, at time.Time) error {
	return c.keeper.Heartbeat(ctx, hostID, at)
}

// RecordHostProblem records that the host has no other problem than its clock.
func (c clocked) RecordHostProblem(ctx context.Context, hostID string, now time.Time, p *cloud.Problem) error {
	if p == nil {
		p = c.keeper.problem.Load()
	}
	return c.DB.RecordHostProblem(ctx, hostID, now, p)
}

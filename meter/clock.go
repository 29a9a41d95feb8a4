package meter

import (
	"time"

	"lodge/cloud"
)

// Tick is what the clocks of a machine show at one moment.
type Tick struct {
	Wall   time.Time
	BootID string        // of this boot: /proc/sys/kernel/random/boot_id
	Boot   time.Duration // since boot, asleep or awake: CLOCK_BOOTTIME
}

// StepTolerance is how far the wall clock may be off the ledger's time before
// it counts as set. Below it the ledger is that much late and no interval is
// longer or shorter for it.
const StepTolerance = 500 * time.Millisecond

// Begin is the anchor that a start of lodged goes by. Within one boot the
// ledger's time goes on from the saved anchor, whatever happened to the wall
// clock meanwhile; a new boot begins with the wall clock, but never before the
// saved time, and there when the wall clock is ahead by more than BootAtOnce: that
// is a step to be looked at for a while.
func Begin(saved cloud.ClockAnchor, known bool, t Tick) cloud.ClockAnchor {
	if known && saved.BootID == t.BootID && t.Boot >= saved.Boot {
		return saved
	}
	at := t.Wall
	if known && (saved.At.After(at) || at.Sub(saved.At) > BootAtOnce) {
		at = saved.At
	}
	return cloud.ClockAnchor{BootID: t.BootID, Boot: t.Boot, At: at.UTC().Round(0)}
}

// Time is the ledger's time at a tick of the anchor's boot.
func Time(a cloud.ClockAnchor, t Tick) time.Time { return a.At.Add(t.Boot - a.Boot) }

// Step compares the wall clock with the ledger's time. Behind a step forward the
// ledger has to go on at the wall clock's time; behind one back it stays ahead,
// for no time may be counted twice, until the wall clock has caught up. A step
// that is followed is whole milliseconds long, as rows are: what goes on behind
// it is cut at the same part of a millisecond, so that none is lost or won.
func Step(a cloud.ClockAnchor, t Tick) (s cloud.ClockStep, after cloud.ClockAnchor, stepped bool) {
	s = cloud.ClockStep{At: Time(a, t), Wall: t.Wall.UTC().Round(0)}
	after = cloud.ClockAnchor{BootID: t.BootID, Boot: t.Boot, At: s.At}
	off := s.Wall.Sub(s.At)
	switch {
	case off > StepTolerance:
		s.Adopted = true
		s.Wall = s.At.Add(off.Truncate(time.Millisecond))
		after.At = s.Wall
	case off >= -StepTolerance:
		return s, after, false
	}
	return s, after, true
}

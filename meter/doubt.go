package meter

import (
	"time"

	"lodge/cloud"
)

// What is believed of a wall clock that is ahead of the ledger's time. The ledger
// can never go back, and every hour up to where it goes is closed for good, so a
// clock that is wrong for some seconds must not take it along.
const (
	// StepAtOnce is the greatest step forward that is followed at once.
	StepAtOnce = time.Hour
	// StepStands is how long a greater one has to stand, by the clock since boot, and
	// StepLooks how often it has to be seen.
	StepStands = 10 * time.Minute
	StepLooks  = 3
	// BootAtOnce is how far the wall clock of a new boot may be ahead of the last look
	// to be believed at once: a host may have been off for that long.
	BootAtOnce = 31 * 24 * time.Hour
)

// Doubt is a step forward that is too great to be followed at once; the zero Doubt
// is none.
type Doubt struct {
	Off   time.Duration // how far the wall clock was ahead when it was last seen
	since time.Duration // when it was seen first, since boot
	looks int
}

// Any reports whether there is a step that is not followed yet.
func (d Doubt) Any() bool { return d.looks > 0 }

// Look is what is thought of a step forward that is seen at a tick, and whether it
// is to be followed now. One that is another than the last time begins anew.
func (d Doubt) Look(s cloud.ClockStep, t Tick) (after Doubt, follow bool) {
	off := s.Wall.Sub(s.At)
	if off <= StepAtOnce {
		return Doubt{}, true
	}
	if moved := off - d.Off; d.looks == 0 || moved.Abs() > StepTolerance {
		return Doubt{Off: off, since: t.Boot, looks: 1}, false
	}
	d.Off = off
	d.looks++
	return d, d.looks >= StepLooks && t.Boot-d.since >= StepStands
}

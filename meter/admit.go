package meter

import (
	"time"

	"lodge/cloud"
)

const (
	// ledgerAhead is how far the ledger's time may be ahead of the wall clock without a
	// step back that explains it: a clock may be set, more than once, while lodged is down
	// or cannot look at the host, and the time since boot is right then.
	ledgerAhead = 50 * time.Hour
	// lookAhead is how far the last look and the last event may be ahead of the ledger's
	// rows and of the wall clock: hours are closed one after the other, each when it was
	// looked beyond it.
	lookAhead = 2 * time.Hour
)

// Admit is the anchor that a start may go by, and a sentence of what is wrong with
// the one that is kept; "" when nothing is. Nothing covers that one: whoever has
// changed it, alone or with the heartbeat, must neither win time that has not passed
// nor have time run once more that is written down.
func Admit(c cloud.KeptClock, t Tick) (a cloud.ClockAnchor, why string) {
	a = c.Anchor
	sure := latest(c, t)
	if ahead := c.Ahead(); ahead > 0 {
		a.At = sure
		why = "The time that was kept for this host was " + ahead.String() + " ahead of everything else that is written down; usage goes on from there. Somebody has changed it."
	}
	if a.BootID != t.BootID || t.Boot < a.Boot { // Begin looks at it
		if a.BootID == t.BootID && why == "" {
			why = "The time that was kept for this host is of a moment that this boot has not reached; usage goes on as behind a boot. Somebody has changed it."
		}
		if sure.After(a.At) {
			a.At = sure
		}
		if most := later(sure, t.Wall); a.At.After(most.Add(ledgerAhead)) {
			a.At = most
		}
		return a, why
	}
	now := Time(a, t)
	switch off := now.Sub(t.Wall); {
	case off > ledgerAhead && off > c.Back+ledgerAhead:
		to := later(sure, t.Wall)
		if to.Before(c.Anchor.At) && c.Ahead() == 0 && !c.Latest.After(sure) {
			to = c.Anchor.At // by less than a millisecond, or a sweep
		}
		if to.Before(now) {
			why = "The time that was kept for this host leads " + off.String() + " ahead of its clock, and no step of the clock was written down that explains it; usage goes on from " +
				to.UTC().Format(time.RFC3339) + ". The clock was set back while lodged was down, or somebody has changed what was kept."
			a = cloud.ClockAnchor{BootID: t.BootID, Boot: t.Boot, At: to.UTC().Round(0)}
		}
	case now.Before(sure):
		if behind := sure.Sub(now); behind > time.Minute {
			why = "The time that was kept for this host leads " + behind.String() + " back behind what is written down; usage goes on from there. Somebody has changed it."
		}
		a = cloud.ClockAnchor{BootID: t.BootID, Boot: t.Boot, At: sure}
	}
	return a, why
}

// latest is up to where time has surely run. A look or an event that is far ahead of
// the rows and of the wall clock is not believed, unless nothing was counted yet.
func latest(c cloud.KeptClock, t Tick) time.Time {
	if c.Counted.Unix() > 0 && c.Latest.After(later(c.Counted, t.Wall.Add(c.Back)).Add(lookAhead)) {
		return c.Counted
	}
	return c.Latest
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

package reconcile

import (
	"time"

	"lodge/cloud"
)

const (
	// heardAfter is how long a guest may take to answer before its turn makes room
	// for another one's.
	heardAfter = time.Second
	// silentTurns is how many turns may wait beside the workers.
	silentTurns = 8
)

// places bound how many turns work at the same time. A turn that waits for a
// guest's QEMU is no work for the host: a QEMU that hangs never answers, and as
// many of them as there are workers would stall all others until their calls are
// given up. So such a turn gives its place away, and takes one again before it
// goes on. Nothing else is lent: starts, disks and networks cost the host, and
// stay as bounded when they are slow.
type places chan struct{}

func (p places) take() { p <- struct{}{} }
func (p places) give() { <-p }

// lend runs f, and gives the place to others once it has taken long.
func (p places) lend(f func()) {
	given := make(chan struct{})
	late := time.AfterFunc(heardAfter, func() { p.give(); close(given) })
	f()
	if !late.Stop() {
		<-given
		p.take()
	}
}

// asksGuest reports whether a step waits for the QEMU of a guest that is on.
func asksGuest(steps []Step) bool {
	for _, s := range steps {
		if s.Verb == VerbRemoveGuest || s.Verb == VerbPower && s.Power != cloud.ActStart {
			return true
		}
	}
	return false
}

package reconcile

import (
	"context"
	"time"

	"lodge/cloud"
)

// Strays is what the loop needs to be rid of networks that no row is about: those
// of tenants that were made since the backup that the database was restored from.
type Strays interface {
	// RemoveUnused removes a network of lodge's that has no ports and on which no
	// guest has a NIC, of whomever and also one that is off. removed is false when
	// there is none, or it is in use.
	RemoveUnused(ctx context.Context, id string) (removed bool, err error)
}

// strayFor is for how many times the pause between sweeps a network has to be
// without row and port before it goes. Another lodged, with a database of its own,
// may have much to do before it gives its network the first port.
const strayFor = 20

// PlanStrays are the networks that no row is about and that are without a port, with
// the moment since when (since, which the next sweep is given), and those of them that
// have been so for as long as age (stray). It is pure.
func PlanStrays(wishes []cloud.NetworkWish, nets map[string]cloud.HostNetwork, before map[string]time.Time, now time.Time, age time.Duration) (since map[string]time.Time, stray []string) {
	wanted := make(map[string]bool, len(wishes))
	for _, w := range wishes {
		wanted[w.ID] = true
	}
	since = map[string]time.Time{}
	for id, n := range nets {
		if wanted[id] || len(n.Ports) > 0 {
			continue
		}
		first, known := before[id]
		if !known {
			first = now
		}
		since[id] = first
		if now.Sub(first) >= age {
			stray = append(stray, id)
		}
	}
	return since, stray
}

// stray removes a network that no row is about, unless somebody uses it. It
// would have its addresses for ever, and keep those from every other network.
func (l *Loop) stray(ctx context.Context, id string) {
	if l.Strays == nil {
		return
	}
	removed, err := l.Strays.RemoveUnused(ctx, id)
	if err != nil {
		l.Log.Warn("remove a network that the database does not know", "id", id, "err", err)
		return // the next sweep asks again
	}
	if removed {
		l.Log.Info("a network that the database does not know and nothing used was removed", "id", id)
	}
}

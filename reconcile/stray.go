package reconcile

import (
	"context"

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

// PlanStrays are the networks that no row is about and that were without a port
// at this sweep (now, which the next one is given) and at the one before (stray).
// It is pure. One look is not enough: another lodged, with a database of its own,
// may be about to give its network the first port.
func PlanStrays(wishes []cloud.NetworkWish, nets map[string]cloud.HostNetwork, before map[string]bool) (now map[string]bool, stray []string) {
	wanted := make(map[string]bool, len(wishes))
	for _, w := range wishes {
		wanted[w.ID] = true
	}
	now = map[string]bool{}
	for id, n := range nets {
		if wanted[id] || len(n.Ports) > 0 {
			continue
		}
		now[id] = true
		if before[id] {
			stray = append(stray, id)
		}
	}
	return now, stray
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

package sim

import (
	"context"
	"time"

	"lodge/cloud"
)

// ending is what the pretend libvirt wrote down of the end of a run.
type ending struct {
	at   time.Time
	late bool // written by a driver that was away then
}

// logEnd writes down that the run of a guest is over. Called with the lock held.
func (h *Host) logEnd(g *guest) {
	if !h.mute {
		h.written[g.id] = append(h.written[g.id], ending{h.opts.Now(), h.away})
	}
}

// GuestEnd says whether the run of the guest that was on at since has ended,
// and when; now is the present. It works while the link is down, like a file.
func (h *Host) GuestEnd(_ context.Context, id string, since, now time.Time) (cloud.GuestEnd, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.written[id] {
		if !e.at.After(since) || e.at.After(now) {
			continue
		}
		if e.late {
			return cloud.GuestEnd{Over: true}, nil
		}
		return cloud.GuestEnd{Over: true, At: e.at}, nil
	}
	return cloud.GuestEnd{}, nil
}

// Mute makes the host write no ends down, as when its logs are on a full disk.
func (h *Host) Mute(mute bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mute = mute
}

// Away takes libvirt itself away, and the link with it, or brings both back.
// Guests run on; of those that end, the time is not known afterwards.
func (h *Host) Away(away bool) {
	h.mu.Lock()
	h.away = away
	h.mu.Unlock()
	h.Down(away)
}

package sim

import (
	"maps"
	"time"

	"lodge/cloud"
)

// plan is what is going to happen to one call.
type plan struct {
	err   error
	after bool // err comes after the call was done: its answer is lost
	slow  time.Duration
}

// next counts the call and takes its plan. Called with the lock held.
func (h *Host) next(call, sub Call) plan {
	var out plan
	for _, name := range []Call{call, sub} {
		if name == "" {
			continue
		}
		h.calls[name]++
		out.slow += h.opts.Latency.Calls[name]
		queue := h.plans[name]
		if len(queue) == 0 {
			continue
		}
		p := queue[0]
		h.plans[name] = queue[1:]
		out.slow += p.slow
		if out.err == nil {
			out.err, out.after = p.err, p.after
		}
	}
	if out.err == nil && h.failRate > 0 && h.rand.Float64() < h.failRate {
		out.err = cloud.Errorf(cloud.CodeTimeout, "The host's hypervisor did not answer in time.")
		out.after = h.rand.IntN(2) == 0
	}
	return out
}

func (h *Host) order(call Call, p plan, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for range n {
		h.plans[call] = append(h.plans[call], p)
	}
}

// FailNext makes the next n calls return err and do nothing.
func (h *Host) FailNext(call Call, err error, n int) { h.order(call, plan{err: err}, n) }

// LoseAnswer makes the next n calls do their work and return a CodeTimeout.
func (h *Host) LoseAnswer(call Call, n int) {
	err := cloud.Errorf(cloud.CodeTimeout, "The host's hypervisor did not answer in time.")
	h.order(call, plan{err: err, after: true}, n)
}

// SlowNext makes the next n calls take longer.
func (h *Host) SlowNext(call Call, by time.Duration, n int) { h.order(call, plan{slow: by}, n) }

// FailRate makes that share of all calls return CodeTimeout, half of them after
// they did their work. Which ones, Options.Seed decides.
func (h *Host) FailRate(share float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failRate = share
}

// Down breaks or mends the link: while it is down every call returns
// CodeHypervisor, those under way too, and no event arrives. Guests run on.
func (h *Host) Down(down bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down == down {
		return
	}
	h.down = down
	if down {
		close(h.lost)
	} else {
		h.lost = make(chan struct{})
	}
	for w := range h.watchers {
		w.tellLink(!down)
	}
}

// LoseEvents makes the host silent about what happens to its guests.
func (h *Host) LoseEvents(lose bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deaf = lose
}

// SetFree sets how many bytes are left for disks, seeds and images.
func (h *Host) SetFree(bytes int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.free = bytes
}

// Calls says how often each call was made so far.
func (h *Host) Calls() map[Call]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.calls)
}

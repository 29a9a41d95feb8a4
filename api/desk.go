package api

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// size is how much a desk takes.
type size struct {
	places, share int // requests that are in work at once: in all, of one caller
	waits, queue  int // that wait: in all, of one caller
}

// desk serves so many requests at once. The others wait, each caller's in a queue
// of its own, and the queues take turns: whoever sends a thousand waits for itself.
// When too many wait, one of the longest queue is sent away.
type desk struct {
	size
	patience time.Duration   // how long a request waits
	closing  <-chan struct{} // when it closes nobody waits any more; nil: never

	mu      sync.Mutex
	taken   int
	waiting int
	of      map[who]*queue
	turns   []*queue // those in which somebody waits, the next first
}

// queue is what a caller has at a desk.
type queue struct {
	of    who
	taken int
	line  []chan bool // each is told once: true for its turn, false to leave
}

func newDesk(s size, patience time.Duration, closing <-chan struct{}) *desk {
	return &desk{size: s, patience: patience, closing: closing, of: map[who]*queue{}}
}

// enter waits for a place, which leave gives back. It is false when too many wait,
// and when the patience or ctx ends first or the desk closes.
func (d *desk) enter(ctx context.Context, of who) (*queue, bool) {
	d.mu.Lock()
	q := d.of[of]
	if q == nil {
		q = &queue{of: of}
		d.of[of] = q
	}
	// Nobody waits who could have a place.
	if d.taken < d.places && q.taken < d.share {
		d.taken++
		q.taken++
		d.mu.Unlock()
		return q, true
	}
	if !d.room(q) {
		d.forget(q)
		d.mu.Unlock()
		return nil, false
	}
	turn := make(chan bool, 1)
	if q.line = append(q.line, turn); len(q.line) == 1 {
		d.turns = append(d.turns, q)
	}
	d.waiting++
	d.mu.Unlock()

	late := time.NewTimer(d.patience)
	defer late.Stop()
	select {
	case ok := <-turn:
		return q, ok
	case <-late.C:
	case <-ctx.Done():
	case <-d.closing:
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	at := slices.Index(q.line, turn)
	if at < 0 { // meanwhile it was told
		return q, <-turn
	}
	d.quit(q, at)
	return nil, false
}

// room reports whether one more of the queue may wait; if need be another one goes.
func (d *desk) room(q *queue) bool {
	if len(q.line) >= d.queue {
		return false
	}
	if d.waiting < d.waits {
		return true
	}
	if len(d.turns) == 0 {
		return false
	}
	longest := slices.MaxFunc(d.turns, func(a, b *queue) int { return cmp.Compare(len(a.line), len(b.line)) })
	if len(longest.line) <= len(q.line)+1 {
		return false
	}
	last := len(longest.line) - 1
	longest.line[last] <- false
	d.quit(longest, last)
	return true
}

// quit takes one who waits out of the queue.
func (d *desk) quit(q *queue, at int) {
	q.line = slices.Delete(q.line, at, at+1)
	d.waiting--
	if len(q.line) == 0 {
		d.turns = slices.DeleteFunc(d.turns, func(other *queue) bool { return other == q })
		d.forget(q)
	}
}

// leave gives a place back, and to the first of the next queue that may have one.
func (d *desk) leave(q *queue) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.taken--
	q.taken--
	d.forget(q)
	at := slices.IndexFunc(d.turns, func(q *queue) bool { return q.taken < d.share })
	if at < 0 {
		return
	}
	next := d.turns[at]
	d.taken++
	next.taken++
	next.line[0] <- true
	d.quit(next, 0)
	if len(next.line) > 0 { // the others are before its next
		d.turns = append(slices.Delete(d.turns, at, at+1), next)
	}
}

// forget drops a queue that has nothing.
func (d *desk) forget(q *queue) {
	if q.taken == 0 && len(q.line) == 0 {
		delete(d.of, q.of)
	}
}

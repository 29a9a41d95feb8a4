package reconcile

import (
	"sync"
	"time"

	"lodge/cloud"
)

// queue holds what has to be looked at: each object once, never handed out
// while it is being worked on, and again after that if it was marked meanwhile.
// Its contents are hints; a sweep would find them again.
type queue struct {
	mu    sync.Mutex
	order []cloud.Ref
	state map[cloud.Ref]markState
	later map[cloud.Ref]*time.Timer
	wake  chan struct{}
}

type markState struct{ queued, busy, again bool }

func newQueue() *queue {
	return &queue{
		state: map[cloud.Ref]markState{},
		later: map[cloud.Ref]*time.Timer{},
		wake:  make(chan struct{}, 1),
	}
}

// mark asks for a look at the object as soon as a worker is free.
func (q *queue) mark(r cloud.Ref) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.markLocked(r)
}

func (q *queue) markLocked(r cloud.Ref) {
	if t := q.later[r]; t != nil {
		t.Stop()
		delete(q.later, r)
	}
	s := q.state[r]
	switch {
	case s.queued:
		return
	case s.busy:
		s.again = true
	default:
		s.queued = true
		q.order = append(q.order, r)
		q.ring()
	}
	q.state[r] = s
}

// markAfter asks for a look after a while; an earlier mark takes its place.
func (q *queue) markAfter(r cloud.Ref, d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t := q.later[r]; t != nil {
		t.Stop()
	}
	q.later[r] = time.AfterFunc(d, func() { q.mark(r) })
}

// take hands out the oldest mark; ok is false when there is none.
func (q *queue) take() (r cloud.Ref, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.order) == 0 {
		return cloud.Ref{}, false
	}
	r = q.order[0]
	q.order = q.order[1:]
	q.state[r] = markState{busy: true}
	if len(q.order) > 0 {
		q.ring()
	}
	return r, true
}

// fresh says that the object is about to be looked at: marks made until now are
// answered by that look.
func (q *queue) fresh(r cloud.Ref) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s, ok := q.state[r]; ok && s.again {
		s.again = false
		q.state[r] = s
	}
}

// done gives the object back.
func (q *queue) done(r cloud.Ref) {
	q.mu.Lock()
	defer q.mu.Unlock()
	again := q.state[r].again
	delete(q.state, r)
	if again {
		q.markLocked(r)
	}
}

// stop ends all timers.
func (q *queue) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for r, t := range q.later {
		t.Stop()
		delete(q.later, r)
	}
}

// ring wakes one worker; it passes the ring on while there is more.
func (q *queue) ring() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

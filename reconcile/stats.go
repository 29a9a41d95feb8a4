package reconcile

import "lodge/cloud"

// Stats says how much there is to do now.
func (l *Loop) Stats() cloud.LoopStats {
	s := cloud.LoopStats{Backoffs: l.backoffs.Load()}
	for _, q := range []*queue{l.work, l.images} {
		queued, busy, waiting := q.depth()
		s.Queued += queued
		s.Busy += busy
		s.Waiting += waiting
	}
	return s
}

// depth counts what waits for a worker, what one has, and what comes later.
func (q *queue) depth() (queued, busy, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.order), len(q.state) - len(q.order), len(q.later)
}

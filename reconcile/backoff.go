package reconcile

import (
	"hash/fnv"
	"sync"
	"time"

	"lodge/cloud"
)

const (
	backoffFirst = time.Second
	backoffMost  = time.Minute
)

// backoff is the pause after the n-th failure in a row (n >= 1): doubling, at
// most a minute, and a little different for each object so that they do not all
// come back at once.
func backoff(id string, n int) time.Duration {
	d := backoffMost
	if n < 7 {
		d = backoffFirst << (n - 1)
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return d + d*time.Duration(h.Sum32()%100)/500
}

// memory is what the loop remembers of an object. Losing it costs one early
// attempt or one more press of a button.
type memory struct {
	attempts   int
	away       int // attempts in a row for which there was no host
	retryAt    time.Time
	helpedAt   time.Time // when a repair that may come back was last tried
	generation int64     // the wish that failed: a newer one need not wait
	askedAt    time.Time
	boots      int64     // reboots done and not recorded yet
	overAt     time.Time // when the run was first seen over, while the store does not take it
	endedAt    time.Time // when lodge ended the run, until that is recorded
	lookedAt   time.Time // when the last look of this turn began
}

// count counts a failure, and returns how many of its sort there were in a row.
// That the host was away says nothing of the guest: its first crash after that
// is repaired at once.
func (m *memory) count(code cloud.Code) int {
	if code == cloud.CodeHypervisor {
		m.away++
		return m.away
	}
	m.away = 0
	m.attempts++
	return m.attempts
}

type memories struct {
	mu sync.Mutex
	m  map[string]memory
}

func (m *memories) get(id string) memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.m[id]
}

// forgive lets everything be tried again at once.
func (m *memories) forgive() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, v := range m.m {
		v.retryAt = time.Time{}
		m.m[id] = v
	}
}

func (m *memories) put(id string, v memory) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v == (memory{}) {
		delete(m.m, id)
		return
	}
	m.m[id] = v
}

package reconcile

import (
	"sync"
	"time"

	"lodge/cloud"
)

// told keeps since when something happened to a guest that no record has
// answered yet. A worker may come to it much later; a run that is over then was
// over when it was told of, and the ledger has to say so.
type told struct {
	mu sync.Mutex
	at map[string]hint
}

type hint struct {
	at       time.Time
	evidence cloud.Evidence
}

// hear keeps the first thing that is not answered: what comes behind it may be
// about a run that was over already.
func (t *told) hear(id string, h hint) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.at == nil {
		t.at = map[string]hint{}
	}
	if first, known := t.at[id]; !known || h.at.Before(first.at) {
		t.at[id] = h
	}
}

func (t *told) get(id string) (hint, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h, ok := t.at[id]
	return h, ok
}

// answer forgets what a look that began at looked has shown.
func (t *told) answer(id string, looked time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h, ok := t.at[id]; ok && !h.at.After(looked) {
		delete(t.at, id)
	}
}

// earliest is the time of the first one that is not answered, at most at.
func (t *told) earliest(at time.Time) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range t.at {
		if h.at.Before(at) {
			at = h.at
		}
	}
	return at
}

// Settled reports whether everything that was told of guests is recorded: the
// ledger's time may jump then.
func (l *Loop) Settled() bool {
	l.told.mu.Lock()
	defer l.told.mu.Unlock()
	return len(l.told.at) == 0
}

// answerMost is how long a worker may take to answer; after that a sweep records
// the end, so that one guest that cannot be looked at holds up no heartbeat.
const answerMost = 2 * time.Minute

// endOf says of a run that is found over when it ended: when the host told of
// it, when lodge itself ended it, else at the last look that still saw it. What
// nobody saw is in the tenant's favour.
func (l *Loop) endOf(r *cloud.InstanceRecord, w cloud.InstanceWish, ended time.Time) {
	if !ran(w) || r.State.Runs() || r.Unseen {
		return
	}
	h, known := l.told.get(w.ID)
	switch looked := l.looked.Load(); {
	case known:
	case !ended.IsZero():
		h = hint{ended, cloud.EvidenceSeen}
	case looked != 0:
		h = hint{time.UnixMilli(looked), cloud.EvidenceHeartbeat}
	default:
		return
	}
	if h.at.Before(r.At) && (r.EndAt.IsZero() || h.at.Before(r.EndAt)) {
		r.EndAt, r.Evidence = h.at, h.evidence
	}
}

// ranAt is the last moment at which a guest that is off now may still have run:
// when something was told of it, else when all were last seen. Zero: unknown.
func (l *Loop) ranAt(id string) time.Time {
	if h, known := l.told.get(id); known {
		return h.at
	}
	if gap := l.gap.Load(); gap != 0 {
		return time.UnixMilli(gap)
	}
	if looked := l.looked.Load(); looked != 0 {
		return time.UnixMilli(looked)
	}
	return time.Time{}
}

// notice has a sweep hear of the runs that ended without anybody telling.
func (l *Loop) notice(r cloud.InstanceRecord, w cloud.InstanceWish) (overdue bool) {
	if !ran(w) {
		return false
	}
	if r.State.Runs() {
		l.told.answer(w.ID, r.At)
		return false
	}
	if looked := l.looked.Load(); looked != 0 {
		if _, known := l.told.get(w.ID); !known {
			l.told.hear(w.ID, hint{time.UnixMilli(looked), cloud.EvidenceHeartbeat})
		}
	}
	h, known := l.told.get(w.ID)
	return known && r.At.Sub(h.at) > answerMost
}

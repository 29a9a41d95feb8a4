package daemon

import (
	"sync"
	"time"
)

// proof is what the last verification of the ledger has found.
type proof struct {
	wall func() time.Time

	mu    sync.Mutex
	at    time.Time
	wrong int64
}

// verified notes how much was found wrong just now.
func (w *watched) verified(wrong int64) {
	w.proof.mu.Lock()
	defer w.proof.mu.Unlock()
	w.proof.at, w.proof.wrong = w.proof.wall(), wrong
}

// last is when that was, zero for never, and how much was wrong.
func (p *proof) last() (at time.Time, wrong int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at, p.wrong
}

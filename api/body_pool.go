package api

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// shareWaits and poolWaits are how many bodies of a caller, and of all, wait for
// more place; what is beyond is refused at once. Over HTTP/2 lodge and not the
// kernel keeps what is not read yet.
const shareWaits, poolWaits = 128, 512

// bounds are the most bytes of a pool.
type bounds struct {
	all, tenant, each int64
	// first is how much of each caller's does not count among all, so that whoever
	// has nothing finds room however much the others have; spare is the most of that.
	first, spare int64
}

// pool is a number of bytes that bodies share. A body has as much as has arrived
// of it, and gets more when that is full. When there is no more, those make room
// that have stood still for the longest. Bodies that wait hold what they have, and
// might wait for each other: the one that has most goes first, and whoever waits
// for too long gives back what it has.
type pool struct {
	bounds
	still time.Duration

	mu       sync.Mutex
	common   account // of all, beyond what is spare
	extra    int64   // of spare
	of       map[string]*account
	seats    map[*seat]bool
	queue    []*seat // that wait: who has most first
	sweeping bool
}

// account is what a caller, a tenant or all have.
type account struct {
	most    int64
	held    int64
	leaving int64 // of held, by those that were told to make room
	extra   int64 // of a caller's held, what is spare
	seats   int
	waiting int
}

// seat is the place of one body.
type seat struct {
	keys    []seatKey
	mine    *account
	tenant  *account // nil: none
	cut     func()
	size    int64 // bytes
	extra   int64 // of them, what is spare
	want    int64
	ready   chan struct{} // nil: it does not wait
	arrived bool
	ended   bool // told to make room

	since atomic.Int64 // when it has last moved, in ns
	steps atomic.Int64 // bytes since then
}

func newPool(b bounds) *pool {
	return &pool{bounds: b, still: bodyStill, common: account{most: b.all}, of: map[string]*account{}, seats: map[*seat]bool{}}
}

// moved counts n bytes that have come. A byte now and then is no move.
func (s *seat) moved(n int) {
	if s.steps.Add(int64(n)) >= bodyStep {
		s.touch()
	}
}

func (s *seat) touch() {
	s.steps.Store(0)
	s.since.Store(time.Now().UnixNano())
}

// enter gives a body a seat with no place yet. cut must end its read, whenever it
// is called before the body has arrived or left.
func (p *pool) enter(keys []seatKey, cut func()) *seat {
	s := &seat{keys: keys, cut: cut}
	s.touch()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range keys {
		a := p.of[k.key]
		if a == nil {
			a = &account{most: p.each}
			if k.tenant {
				a.most = p.bounds.tenant
			}
			p.of[k.key] = a
		}
		a.seats++
		if k.tenant {
			s.tenant = a
		} else {
			s.mine = a
		}
	}
	if s.mine == nil { // nobody is of a tenant and no caller
		s.mine = s.tenant
	}
	p.seats[s] = true
	return s
}

// accounts are those a seat counts in, with what n more bytes of it, some of them
// spare, are there.
func (p *pool) accounts(s *seat, n, extra int64, do func(a *account, n int64)) {
	do(s.mine, n)
	if s.tenant != nil && s.tenant != s.mine {
		do(s.tenant, n-extra)
	}
	do(&p.common, n-extra)
}

// missing is the first account that has too little for what a seat wants.
func (p *pool) missing(s *seat) (short *account, extra int64) {
	n := s.want - s.size
	extra = max(0, min(n, p.first-s.mine.extra, p.spare-p.extra))
	p.accounts(s, n, extra, func(a *account, n int64) {
		if short == nil && a.held+n > a.most {
			short = a
		}
	})
	return short, extra
}

// take gives a seat what it wants, if there is so much.
func (p *pool) take(s *seat) bool {
	short, extra := p.missing(s)
	if short != nil {
		return false
	}
	p.accounts(s, s.want-s.size, extra, func(a *account, n int64) { a.held += n })
	s.mine.extra += extra
	p.extra += extra
	s.extra += extra
	s.size = s.want
	return true
}

// grow waits until the seat has size bytes. When it is false the seat has to be
// left.
func (p *pool) grow(ctx context.Context, s *seat, size int64) bool {
	p.mu.Lock()
	s.want = size
	if s.ended || p.take(s) {
		defer p.mu.Unlock()
		return !s.ended
	}
	if s.mine.waiting >= shareWaits || len(p.queue) >= poolWaits {
		p.mu.Unlock()
		return false
	}
	s.ready = make(chan struct{})
	s.mine.waiting++
	at, _ := slices.BinarySearchFunc(p.queue, s, func(other, s *seat) int {
		return cmp.Or(cmp.Compare(s.size, other.size), -1) // behind those that have as much
	})
	p.queue = slices.Insert(p.queue, at, s)
	p.makeRoom()
	if !p.sweeping {
		p.sweeping = true
		time.AfterFunc(p.still/8, p.sweep)
	}
	ready := s.ready
	p.mu.Unlock()
	select {
	case <-ready:
		return true
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.ready == nil { // meanwhile it has got it
		return true
	}
	p.queue = slices.DeleteFunc(p.queue, func(other *seat) bool { return other == s })
	s.mine.waiting--
	s.ready = nil
	p.giveBack(s)
	return false
}

// sweep looks for those that stand still for as long as somebody waits.
func (p *pool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.makeRoom()
	if p.sweeping = len(p.queue) > 0; p.sweeping {
		time.AfterFunc(p.still/8, p.sweep)
	}
}

// makeRoom ends the bodies that have stood still for the longest, as many as those
// that wait need.
func (p *pool) makeRoom() {
	var standing []*seat
	now := time.Now()
	for s := range p.seats {
		if s.size > 0 && s.ready == nil && !s.arrived && !s.ended && now.UnixNano()-s.since.Load() >= int64(p.still) {
			standing = append(standing, s)
		}
	}
	slices.SortFunc(standing, func(a, b *seat) int { return cmp.Compare(a.since.Load(), b.since.Load()) })
	claimed := map[*account]int64{}
	for _, w := range p.queue {
		if len(standing) == 0 {
			return
		}
		short, extra := p.missing(w)
		if short == nil {
			continue
		}
		p.accounts(w, w.want-w.size, extra, func(a *account, n int64) {
			claimed[a] += n
			standing = slices.DeleteFunc(standing, func(s *seat) bool {
				if a.held-a.leaving+claimed[a] <= a.most || p.in(s, a) == 0 {
					return false
				}
				s.ended = true
				p.accounts(s, s.size, s.extra, func(a *account, n int64) { a.leaving += n })
				s.cut()
				return true
			})
		})
	}
}

// in is how much of an account is a seat's.
func (p *pool) in(s *seat, a *account) (n int64) {
	p.accounts(s, s.size, s.extra, func(of *account, held int64) {
		if of == a {
			n = held
		}
	})
	return n
}

// arrived says that all of the body is there, and that its place is not to be made
// room of any more; false when it was already.
func (p *pool) arrived(s *seat) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.arrived = true
	return !s.ended
}

// giveBack takes all place from a seat and gives it to those that wait.
func (p *pool) giveBack(s *seat) {
	p.accounts(s, s.size, s.extra, func(a *account, n int64) {
		a.held -= n
		if s.ended {
			a.leaving -= n
		}
	})
	s.mine.extra -= s.extra
	p.extra -= s.extra
	s.size, s.extra = 0, 0
	p.queue = slices.DeleteFunc(p.queue, func(w *seat) bool {
		if !p.take(w) {
			return false
		}
		w.touch()
		w.mine.waiting--
		close(w.ready)
		w.ready = nil
		return true
	})
}

// leave gives back all that a seat has.
func (p *pool) leave(s *seat) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.giveBack(s)
	delete(p.seats, s)
	for _, k := range s.keys {
		if a := p.of[k.key]; a != nil {
			if a.seats--; a.seats == 0 {
				delete(p.of, k.key)
			}
		}
	}
}

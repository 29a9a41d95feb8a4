package auth

import (
	"container/heap"
	"time"
)

// debts count attempts by key. Each attempt adds rate.Every to the time at which
// nothing is owed any more, so that one time a key is all there is to keep; who
// owes nothing is not kept. When there are too many keys the one that owes least
// goes: to have a debt forgotten, max others must owe as much.
type debts struct {
	rate  Rate
	max   int
	of    map[key]*debt
	least debtHeap
}

type debt struct {
	key   key
	until time.Time // nothing is owed from then on
	place int       // in the heap
}

func newDebts(r Rate, max int) *debts {
	return &debts{rate: r, max: max, of: map[key]*debt{}}
}

// most is what can be owed.
func (d *debts) most() time.Duration { return time.Duration(d.rate.Burst) * d.rate.Every }

// wait is how long until an attempt is allowed; 0 when it is.
func (d *debts) wait(now time.Time, k key) time.Duration {
	e, ok := d.of[k]
	if !ok {
		return 0
	}
	if e.until.Sub(now) > d.most() { // the clock was set back
		e.until = now.Add(d.most())
		heap.Fix(&d.least, e.place)
	}
	return max(0, e.until.Sub(now)+d.rate.Every-d.most())
}

// owed is how long until nothing is owed.
func (d *debts) owed(now time.Time, k key) time.Duration {
	e, ok := d.of[k]
	if !ok {
		return 0
	}
	return max(0, e.until.Sub(now))
}

func (d *debts) take(now time.Time, k key) {
	e, ok := d.of[k]
	if !ok {
		d.makeRoom(now)
		e = &debt{key: k, until: now}
		d.of[k] = e
		heap.Push(&d.least, e)
	}
	if e.until.Before(now) {
		e.until = now
	}
	e.until = e.until.Add(d.rate.Every)
	heap.Fix(&d.least, e.place)
}

func (d *debts) giveBack(k key) {
	if e, ok := d.of[k]; ok {
		e.until = e.until.Add(-d.rate.Every)
		heap.Fix(&d.least, e.place)
	}
}

func (d *debts) forget(k key) {
	if e, ok := d.of[k]; ok {
		heap.Remove(&d.least, e.place)
		delete(d.of, k)
	}
}

func (d *debts) makeRoom(now time.Time) {
	for len(d.least) > 0 && !d.least[0].until.After(now) {
		d.forget(d.least[0].key)
	}
	for len(d.least) >= d.max {
		d.forget(d.least[0].key)
	}
}

// debtHeap has the smallest debt first.
type debtHeap []*debt

func (h debtHeap) Len() int           { return len(h) }
func (h debtHeap) Less(i, j int) bool { return h[i].until.Before(h[j].until) }

func (h debtHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *debtHeap) Push(x any) {
	e := x.(*debt)
	e.place = len(*h)
	*h = append(*h, e)
}

func (h *debtHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}

// goodAddresses is how many addresses of a name are remembered.
const goodAddresses = 4

// known are the addresses that names have logged in from. Only a good password
// adds to it.
type known struct {
	of    map[key][]goodAddress // the last used first
	max   int
	lasts time.Duration
}

type goodAddress struct {
	key  key
	used time.Time
}

func (k *known) has(now time.Time, name, addr key) bool {
	for _, g := range k.of[name] {
		if g.key == addr {
			return now.Sub(g.used) < k.lasts
		}
	}
	return false
}

func (k *known) add(now time.Time, name, addr key) {
	if _, ok := k.of[name]; !ok && len(k.of) >= k.max {
		k.dropOldest()
	}
	list := []goodAddress{{addr, now}}
	for _, g := range k.of[name] {
		if g.key != addr && len(list) < goodAddresses {
			list = append(list, g)
		}
	}
	k.of[name] = list
}

func (k *known) dropOldest() {
	var oldest key
	var used time.Time
	for name, list := range k.of {
		if used.IsZero() || list[0].used.Before(used) {
			oldest, used = name, list[0].used
		}
	}
	delete(k.of, oldest)
}

package daemon

import (
	"fmt"
	"maps"
	"time"

	"lodge/cloud"
)

// The oracle of the year. It keeps the truth in what truly passed, which no
// clock shows, and turns it into the ledger's time only to say in which month
// and hour it lies. It calls nothing of meter, nothing of cloud that computes.
//
// Of each thing that is counted it keeps two accounts: what was true, which may
// never be exceeded, and what lodge has evidence for, which may never be missed.
// They are the same but where a guest ended, or began, and nobody looked.
type oracle struct {
	y     *year
	jumps []jump
	acts  map[*life]*account
	facts map[*life][]string
	all   []*life
	died  time.Duration // when the host did, while it is off or was not looked at since
	dead  bool

	// What the beats of this lodged have seen of a wall clock that is far ahead.
	farBeats         int
	farOff, farSince time.Duration
}

// jump says that from a moment on the ledger's time is the true one plus ahead.
type jump struct{ at, ahead time.Duration }

// What is counted.
const (
	running = iota // the guest, by its size
	kept           // the guest, running or not
	disk
	kinds
)

type account struct {
	truth, proof [kinds]track
	askedAt      time.Duration
	defined      bool
}

type amounts struct{ a, b int64 }

type span struct {
	from, to time.Duration
	amounts
}

// track is one account of one thing.
type track struct {
	spans []span
	on    bool
	from  time.Duration
	amounts
}

// set says what holds from now on.
func (t *track) set(now time.Duration, on bool, a amounts) {
	if on == t.on && (!on || a == t.amounts) {
		return
	}
	t.end(now)
	t.on, t.from, t.amounts = on, now, a
}

func (t *track) end(at time.Duration) {
	if t.on && at > t.from {
		t.spans = append(t.spans, span{t.from, at, t.amounts})
	}
	t.on = false
}

func newOracle(y *year) *oracle {
	return &oracle{y: y, acts: map[*life]*account{}, facts: map[*life][]string{}}
}

// ledger is the ledger's time at a true moment, in nanoseconds since 1970.
func (o *oracle) ledger(at time.Duration) time.Duration {
	for i := len(o.jumps) - 1; i >= 0; i-- {
		if o.jumps[i].at <= at {
			return at + o.jumps[i].ahead
		}
	}
	panic("before the beginning")
}

func wallNow(y *year) time.Duration { return time.Duration(y.wall.UnixNano()) + y.now }

// booted: the first start goes by the wall clock.
func (o *oracle) booted(now time.Time) {
	if time.Duration(now.UnixNano()) != wallNow(o.y) {
		o.y.t.Fatalf("the first start is at %v", now)
	}
	o.jumps = append(o.jumps, jump{o.y.now, wallNow(o.y) - o.y.now})
}

// started: within a boot the ledger's time goes on to the nanosecond, whatever
// the wall clock did meanwhile. A new boot begins with the wall clock, but never
// before what was written down.
func (o *oracle) started(now time.Time) {
	o.farBeats = 0
	y, is := o.y, time.Duration(now.UnixNano())
	if !o.dead {
		if is != o.ledger(y.now) {
			y.t.Fatalf("after %s: a start within a boot is at %v, the ledger was at %v", y.now, now, time.Unix(0, int64(o.ledger(y.now))).UTC())
		}
		return
	}
	o.dead = false
	switch wall, most, least := wallNow(y), o.ledger(o.died), o.ledger(y.beaten); {
	case wall >= most && is != wall, wall < most && (is < max(least, wall) || is > most):
		y.t.Fatalf("after %s: a new boot begins at %v; the wall clock is at %v", y.now, now, time.Unix(0, int64(wall)).UTC())
	}
	o.jumps = append(o.jumps, jump{y.now, is - y.now})
	for _, l := range o.all {
		a := o.acts[l]
		if l.asked.IsZero() && a.defined {
			a.truth[kept].set(y.now, true, size(l.keptV, l.keptM))
		}
		if l.asked.IsZero() && l.disk {
			a.truth[disk].set(y.now, true, amounts{int64(l.diskGiB), 0})
		}
		for _, k := range []int{kept, disk} { // what lodge knew of
			if l.asked.IsZero() && a.proof[k].amounts != (amounts{}) {
				a.proof[k].set(y.now, true, a.proof[k].amounts)
			}
		}
	}
}

// beat: a clock that was set forward is followed, in whole milliseconds; by more
// than an hour when three beats over ten minutes have seen the same, to half a
// second from one to the next.
func (o *oracle) beat() {
	off := wallNow(o.y) - o.ledger(o.y.now)
	far := off > time.Hour
	switch moved := off - o.farOff; {
	case !far:
		o.farBeats = 0
	case o.farBeats == 0 || moved.Abs() > 500*time.Millisecond:
		o.farBeats, o.farOff, o.farSince = 1, off, o.y.now
	default:
		o.farBeats, o.farOff = o.farBeats+1, off
	}
	if far && (o.farBeats < 3 || o.y.now-o.farSince < 10*time.Minute) {
		return
	}
	o.farBeats = 0
	if off > 500*time.Millisecond {
		o.jumps = append(o.jumps, jump{o.y.now, o.ledger(o.y.now) - o.y.now + off.Truncate(time.Millisecond)})
	}
}

func (o *oracle) born(l *life) {
	o.all = append(o.all, l)
	o.acts[l] = &account{}
	o.fact(l)
}

func (o *oracle) fact(l *life) {
	o.facts[l] = append(o.facts[l], factText(int64(o.ledger(o.y.now)/time.Millisecond), l.name, l.labels))
}

func factText(ms int64, name string, labels map[string]string) string {
	return fmt.Sprint(ms, " ", name, " ", maps.Clone(labels))
}

func size(v, m int) amounts { return amounts{int64(v), int64(m)} }

// happened takes over what the host truly has now.
func (o *oracle) happened(l *life) {
	a, now := o.acts[l], o.y.now
	if !l.asked.IsZero() {
		return
	}
	a.truth[running].set(now, l.run, size(l.runV, l.runM))
	if l.run {
		a.defined = true
		a.truth[kept].set(now, true, size(l.runV, l.runM))
	}
	a.truth[disk].set(now, l.disk, amounts{int64(l.diskGiB), 0})
}

// deletionAsked: from now on nothing is counted.
func (o *oracle) deletionAsked(l *life) {
	a := o.acts[l]
	a.askedAt = o.y.now
	for k := range a.truth {
		a.truth[k].end(o.y.now)
	}
}

// hostDied: what is lost with the power was seen until the last look.
func (o *oracle) hostDied(l *life) {
	a := o.acts[l]
	for k := range a.truth {
		a.truth[k].end(o.y.now)
		if !a.proof[k].on {
			a.proof[k].amounts = amounts{}
		}
		a.proof[k].end(max(a.proof[k].from, o.y.beaten))
	}
	// A resize behind the last look is written for the sizes only: that it was
	// kept at all is known until that look.
	p := &a.proof[kept]
	for n := len(p.spans) - 1; n >= 0 && p.spans[n].to > o.y.beaten; n-- {
		p.spans[n].to = max(p.spans[n].from, o.y.beaten)
	}
	a.proof[running].amounts = amounts{}
}

// recorded: lodge has written down what it saw. unseen: the guest has ended
// while nobody looked.
func (o *oracle) recorded(l *life, state cloud.State, unseen bool) {
	a, now := o.acts[l], o.y.now
	known := [kinds]bool{running: l.run, kept: l.run || state == cloud.StateStopped, disk: l.disk}
	held := [kinds]amounts{running: size(l.runV, l.runM), kept: size(l.keptV, l.keptM), disk: {int64(l.diskGiB), 0}}
	if known[kept] && l.asked.IsZero() {
		a.defined = true
		a.truth[kept].set(now, true, held[kept])
	}
	for k := range a.proof {
		p := &a.proof[k]
		switch {
		case !l.asked.IsZero() && unseen:
			p.end(max(p.from, o.y.gapTrue))
		case !l.asked.IsZero():
			p.end(a.askedAt)
		case k == running && unseen:
			p.end(max(p.from, o.y.gapTrue))
		default:
			p.set(now, known[k], held[k])
		}
	}
}

// closeAll ends all accounts for the comparison.
func (o *oracle) closeAll() {
	for _, a := range o.acts {
		for k := range a.truth {
			a.truth[k].end(o.y.now)
			a.proof[k].end(o.y.now)
		}
	}
}

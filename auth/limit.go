package auth

import (
	"crypto/sha256"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Rate is how many attempts may fail at once, and how long it takes until one
// more is allowed.
type Rate struct {
	Burst int
	Every time.Duration
}

// LimitOptions bound failed attempts. Zero values take the defaults.
type LimitOptions struct {
	PerName    Rate          // default 10, and one a minute
	PerAddress Rate          // of an IPv4 address or an IPv6 /64; default 30, and one in 10 s
	MaxKeys    int           // names that are counted, and as many addresses; default 65536
	MaxKnown   int           // names whose good addresses are remembered; default 16384
	KnownFor   time.Duration // after the last login from there; default 30 days
}

// Limiter slows down guessing. It counts attempts for a name by whoever it is not
// known to come from, attempts of an address, and attempts for a name from each
// address that it has logged in from. Memory is lost at a restart: everybody
// starts anew. It is safe for use by many goroutines.
type Limiter struct {
	mu        sync.Mutex
	names     *debts
	addresses *debts
	pairs     *debts // of known names and addresses; a login comes before an entry
	known     known
	open      map[key][][]count // where attempts under way are counted, by name and address
	openIn    map[count]int     // how many of them
}

// NewLimiter makes a Limiter to which nobody owes anything.
func NewLimiter(o LimitOptions) *Limiter {
	o.PerName = o.PerName.or(Rate{Burst: 10, Every: time.Minute})
	o.PerAddress = o.PerAddress.or(Rate{Burst: 30, Every: 10 * time.Second})
	if o.MaxKeys <= 0 {
		o.MaxKeys = 1 << 16
	}
	if o.MaxKnown <= 0 {
		o.MaxKnown = 1 << 14
	}
	if o.KnownFor <= 0 {
		o.KnownFor = 30 * 24 * time.Hour
	}
	return &Limiter{
		names:     newDebts(o.PerName, o.MaxKeys),
		addresses: newDebts(o.PerAddress, o.MaxKeys),
		pairs:     newDebts(o.PerName, o.MaxKeys),
		open:      map[key][][]count{},
		openIn:    map[count]int{},
		known:     known{of: map[key][]goodAddress{}, max: o.MaxKnown, lasts: o.KnownFor},
	}
}

func (r Rate) or(standard Rate) Rate {
	if r.Burst <= 0 {
		r.Burst = standard.Burst
	}
	if r.Every <= 0 {
		r.Every = standard.Every
	}
	return r
}

// Allow asks whether an attempt may be made, before anything costly is done for
// it, and counts it as failed until Succeeded or Forgive takes that back: many at
// once get no further than one after the other. A refused attempt is not counted;
// retryAfter says when the next may be allowed.
//
// With an empty name it counts for the address alone, as for a bad token: such a
// one is found out first and counted then, for counting before would refuse the
// good tokens behind the same address too.
func (l *Limiter) Allow(now time.Time, name string, addr netip.Addr) (retryAfter time.Duration, ok bool) {
	retryAfter, _, ok = l.admit(now, name, addr)
	return retryAfter, ok
}

// admit is Allow, which also says of a refusal whether it is for attempts under
// way alone: not one of them need fail.
func (l *Limiter) admit(now time.Time, name string, addr netip.Addr) (retryAfter time.Duration, crowded, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := l.counts(now, name, addr)
	var failed time.Duration
	for _, c := range counts {
		retryAfter = max(retryAfter, c.in.wait(now, c.key))
		failed = max(failed, l.waitFailed(now, c))
	}
	if retryAfter > 0 {
		return retryAfter, failed == 0, false
	}
	for _, c := range counts {
		c.in.take(now, c.key)
	}
	if name != "" { // bad tokens are not under way: they are found out first
		for _, c := range counts {
			l.openIn[c]++
		}
		k := attemptKey(name, addr)
		l.open[k] = append(l.open[k], counts)
	}
	return 0, false, true
}

// Failed says, after an attempt that Allow has counted, until when the next one
// from there is refused for what has failed: the zero time when it is not.
func (l *Limiter) Failed(now time.Time, name string, addr netip.Addr) (lockedUntil time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var wait time.Duration
	for _, c := range l.ended(now, name, addr) {
		wait = max(wait, l.waitFailed(now, c))
	}
	if wait == 0 {
		return time.Time{}
	}
	return now.Add(wait)
}

// Succeeded takes back what Allow counted, and remembers the address as one of
// the name's. It forgives no other attempt: else whoever has one good password
// could guess others without end.
func (l *Limiter) Succeeded(now time.Time, name string, addr netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.giveBack(now, name, addr)
	if name != "" {
		l.known.add(now, nameKey(name), addressKey(addr))
	}
}

// Forgive takes back what Allow counted, for an attempt that came to no answer:
// the gate was full, the database was away, the caller left.
func (l *Limiter) Forgive(now time.Time, name string, addr netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.giveBack(now, name, addr)
}

// Forget drops all that is held for or against a name: an operator unlocks it, or
// its password was changed.
func (l *Limiter) Forget(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names.forget(nameKey(name))
	delete(l.known.of, nameKey(name))
}

func (l *Limiter) giveBack(now time.Time, name string, addr netip.Addr) {
	for _, c := range l.ended(now, name, addr) {
		c.in.giveBack(c.key)
	}
}

// ended are the places where an attempt that has ended was counted. They need not
// be those for the next one: another login may have made the address known
// meanwhile.
func (l *Limiter) ended(now time.Time, name string, addr netip.Addr) []count {
	k := attemptKey(name, addr)
	open := l.open[k]
	if name == "" || len(open) == 0 {
		return l.counts(now, name, addr)
	}
	last := len(open) - 1
	counts := open[last]
	if l.open[k] = open[:last]; last == 0 {
		delete(l.open, k)
	}
	for _, c := range counts {
		if l.openIn[c]--; l.openIn[c] == 0 {
			delete(l.openIn, c)
		}
	}
	return counts
}

// waitFailed is how long until an attempt is allowed, were none of those under way
// to fail.
func (l *Limiter) waitFailed(now time.Time, c count) time.Duration {
	return max(0, c.in.wait(now, c.key)-time.Duration(l.openIn[c])*c.in.rate.Every)
}

func attemptKey(name string, addr netip.Addr) key {
	n, a := nameKey(name), addressKey(addr)
	return hashed(n[:], a[:])
}

// count is one place where an attempt is counted.
type count struct {
	in  *debts
	key key
}

// counts are the places for an attempt. From an address that the name has logged
// in from, only the two together count: neither strangers who guess at the name
// nor neighbours behind the same address keep somebody out of where they belong.
func (l *Limiter) counts(now time.Time, name string, addr netip.Addr) []count {
	a := addressKey(addr)
	if name == "" {
		return []count{{l.addresses, a}}
	}
	n := nameKey(name)
	if l.known.has(now, n, a) {
		return []count{{l.pairs, hashed(n[:], a[:])}}
	}
	return []count{{l.addresses, a}, {l.names, n}}
}

// key stands for a name or an address: as short for a long one as for any other.
type key [16]byte

func hashed(parts ...[]byte) key {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return key(h.Sum(nil)[:16])
}

// nameKey is the same for every way of writing a name that a database might take
// for the same.
func nameKey(name string) key {
	return hashed([]byte(strings.ToLower(strings.TrimSpace(name))))
}

// addressKey is the same for all of an IPv6 /64: its owner has 2^64 to send from.
// Unknown addresses count as one.
func addressKey(a netip.Addr) key {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		a = netip.PrefixFrom(a, 64).Masked().Addr()
	}
	b, _ := a.MarshalBinary() // never fails
	return hashed(b)
}

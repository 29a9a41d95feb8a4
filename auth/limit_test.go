package auth

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	start  = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	home   = netip.MustParseAddr("192.0.2.1")
	office = netip.MustParseAddr("192.0.2.2")
)

// stranger is the i-th of many addresses.
func stranger(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

func small() *Limiter {
	return NewLimiter(LimitOptions{
		PerName:    Rate{Burst: 3, Every: time.Minute},
		PerAddress: Rate{Burst: 5, Every: 10 * time.Second},
		MaxKeys:    50, MaxKnown: 10, KnownFor: time.Hour,
	})
}

// attempts counts how many are allowed in a row.
func attempts(l *Limiter, now time.Time, name string, addr netip.Addr) int {
	n := 0
	for ; n < 1000; n++ {
		if _, ok := l.Allow(now, name, addr); !ok {
			return n
		}
	}
	return n
}

func TestANameIsSlowedWhereverTheGuessesComeFrom(t *testing.T) {
	l := small()
	for i := range 3 {
		if _, ok := l.Allow(start, "alice", stranger(i)); !ok {
			t.Fatalf("attempt %d is refused", i)
		}
		l.Failed(start, "alice", stranger(i))
	}
	wait, ok := l.Allow(start, "alice", stranger(3))
	if ok || wait != time.Minute {
		t.Errorf("%s, %t", wait, ok)
	}
	if until := l.Failed(start, "alice", stranger(3)); !until.Equal(start.Add(time.Minute)) {
		t.Errorf("locked until %s", until)
	}
	if until := l.Failed(start, "bob", stranger(3)); !until.IsZero() {
		t.Errorf("another name is locked until %s", until)
	}
	if _, ok := l.Allow(start.Add(time.Minute-1), "alice", stranger(3)); ok {
		t.Error("allowed too early")
	}
	// Refused attempts are not held against anybody: one is allowed now, not more.
	if n := attempts(l, start.Add(time.Minute), "alice", stranger(3)); n != 1 {
		t.Errorf("%d attempts after a minute", n)
	}
	if n := attempts(l, start.Add(time.Hour), "alice", stranger(3)); n != 3 {
		t.Errorf("%d attempts after an hour", n)
	}
}

func TestAnAddressIsSlowedWhateverItGuesses(t *testing.T) {
	l := small()
	for i := range 5 {
		if _, ok := l.Allow(start, fmt.Sprint("user", i), home); !ok {
			t.Fatalf("attempt %d is refused", i)
		}
	}
	if wait, ok := l.Allow(start, "user9", home); ok || wait != 10*time.Second {
		t.Errorf("%s, %t", wait, ok)
	}
	if _, ok := l.Allow(start, "user9", office); !ok {
		t.Error("another address is refused")
	}
	if n := attempts(l, start, "", home); n != 0 {
		t.Errorf("%d bad tokens", n)
	}
}

func TestBadTokensCountForTheAddressAlone(t *testing.T) {
	l := small()
	if n := attempts(l, start, "", home); n != 5 {
		t.Errorf("%d bad tokens", n)
	}
	if len(l.names.of) != 0 {
		t.Error("the empty name is counted")
	}
}

func TestWaysOfWritingANameAreOne(t *testing.T) {
	l := small()
	for _, name := range []string{"alice", "Alice", " ALICE "} {
		if _, ok := l.Allow(start, name, home); !ok {
			t.Fatal(name)
		}
	}
	if _, ok := l.Allow(start, "aLICE", home); ok {
		t.Error("a fourth attempt is allowed")
	}
}

func TestAnIPv6NetworkIsOneAddress(t *testing.T) {
	same := func(a, b string) bool {
		return addressKey(netip.MustParseAddr(a)) == addressKey(netip.MustParseAddr(b))
	}
	if !same("2001:db8::1", "2001:db8::ffff:1:2:3") || !same("fe80::1%eth0", "fe80::2%eth1") || !same("192.0.2.1", "::ffff:192.0.2.1") {
		t.Error("counted apart")
	}
	if same("2001:db8::1", "2001:db8:0:1::1") || same("192.0.2.1", "192.0.2.2") {
		t.Error("counted together")
	}
	if unknown, other := addressKey(netip.Addr{}), addressKey(netip.Addr{}); unknown != other {
		t.Error("an unknown address is not like another")
	}
}

func TestWhoHasLoggedInFromAnAddressIsNotKeptOutThere(t *testing.T) {
	l := small()
	l.Allow(start, "alice", home)
	l.Succeeded(start, "alice", home)
	for i := range 20 {
		attempts(l, start, "alice", stranger(i))
	}
	attempts(l, start, "", home) // a neighbour behind the same address
	if _, ok := l.Allow(start, "alice", office); ok {
		t.Error("a stranger is allowed")
	}
	if n := attempts(l, start, "alice", home); n != 3 {
		t.Errorf("%d attempts from home", n)
	}
	if n := attempts(l, start, "bob", home); n != 0 {
		t.Errorf("%d attempts for another name from there", n)
	}
	if n := attempts(l, start.Add(time.Minute), "alice", home); n != 1 {
		t.Errorf("%d attempts from home after a minute", n)
	}
	// It is forgotten an hour after the last login.
	if l.known.has(start.Add(time.Hour), nameKey("alice"), addressKey(home)) {
		t.Error("known for ever")
	}
}

func TestALoginForgivesItselfAndNothingElse(t *testing.T) {
	l := small()
	for range 100 {
		if _, ok := l.Allow(start, "mallory", home); !ok {
			t.Fatal("a good login is held against its address")
		}
		l.Succeeded(start, "mallory", home)
	}
	for range 2 {
		l.Allow(start, "alice", home)
	}
	l.Allow(start, "mallory", home)
	l.Succeeded(start, "mallory", home)
	if n := attempts(l, start, "alice", home); n != 1 {
		t.Errorf("%d attempts are left", n)
	}
}

func TestAnAttemptWithoutAnAnswerIsForgiven(t *testing.T) {
	l := small()
	for range 100 {
		if _, ok := l.Allow(start, "alice", home); !ok {
			t.Fatal("refused")
		}
		l.Forgive(start, "alice", home)
	}
	if l.known.has(start, nameKey("alice"), addressKey(home)) {
		t.Error("the address counts as good")
	}
}

func TestAForgottenNameStartsAnew(t *testing.T) {
	l := small()
	l.Allow(start, "alice", home)
	l.Succeeded(start, "alice", home)
	attempts(l, start, "alice", office)
	l.Forget("alice")
	if l.known.has(start, nameKey("alice"), addressKey(home)) {
		t.Error("the address still counts as good")
	}
	if n := attempts(l, start, "alice", stranger(1)); n != 3 {
		t.Errorf("%d attempts", n)
	}
}

func TestManyAtOnceGetNoFurtherThanOneAfterTheOther(t *testing.T) {
	l := small()
	done := make(chan bool)
	for i := range 40 {
		go func() {
			_, ok := l.Allow(start, "alice", stranger(i))
			done <- ok
		}()
	}
	n := 0
	for range 40 {
		if <-done {
			n++
		}
	}
	if n != 3 {
		t.Errorf("%d are allowed", n)
	}
}

func TestAPenaltyOutlastsAFloodOfKeys(t *testing.T) {
	l := small()
	attempts(l, start, "alice", stranger(0))
	attempts(l, start, "", home)
	for i := range 10_000 {
		l.Allow(start, strings.Repeat("x", i%300)+fmt.Sprint(i), stranger(i))
		l.Allow(start, "", netip.AddrFrom16([16]byte{0x20, 0x01, 0, 0, 0, 0, byte(i >> 8), byte(i)}))
	}
	if n := attempts(l, start, "alice", stranger(0)); n != 0 {
		t.Errorf("the name's debt was pushed out: %d attempts", n)
	}
	if n := attempts(l, start, "", home); n != 0 {
		t.Errorf("the address's debt was pushed out: %d attempts", n)
	}
	for _, d := range []*debts{l.names, l.addresses, l.pairs} {
		if len(d.of) > 50 || len(d.least) != len(d.of) {
			t.Errorf("%d keys, %d in the heap", len(d.of), len(d.least))
		}
	}
}

func TestFewNamesAreKnown(t *testing.T) {
	l := small()
	for i := range 100 {
		now := start.Add(time.Duration(i) * time.Second)
		for j := range 10 {
			l.Succeeded(now, fmt.Sprint("user", i), stranger(j))
		}
	}
	if len(l.known.of) > 10 {
		t.Errorf("%d names", len(l.known.of))
	}
	now := start.Add(100 * time.Second)
	for j := range 10 {
		if want := j >= 10-goodAddresses; l.known.has(now, nameKey("user99"), addressKey(stranger(j))) != want {
			t.Errorf("address %d: %t", j, !want)
		}
	}
	if l.known.has(now, nameKey("user0"), addressKey(stranger(9))) {
		t.Error("the oldest name stays")
	}
}

func TestAClockThatIsSetBackLocksNobodyForLong(t *testing.T) {
	l := small()
	attempts(l, start, "alice", home)
	before := start.Add(-24 * time.Hour)
	if wait, _ := l.Allow(before, "alice", home); wait > time.Minute {
		t.Errorf("wait for %s", wait)
	}
	if _, ok := l.Allow(before.Add(time.Minute), "alice", home); !ok {
		t.Error("still refused after a minute")
	}
}

// Whatever is mixed, no window holds more failures than the rate says, a wait that
// was told is long enough, and memory is bounded.
func TestFailuresNeverExceedTheRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := small()
		rate := l.names.rate
		now := start
		var failed []time.Time // for alice, from strangers
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "seconds")) * time.Second)
			name := rapid.SampledFrom([]string{"alice", "bob", ""}).Draw(t, "name")
			addr := stranger(rapid.IntRange(0, 30).Draw(t, "address"))
			wait, ok := l.Allow(now, name, addr)
			if ok != (wait == 0) {
				t.Fatalf("%s, %t", wait, ok)
			}
			if !ok {
				if until := l.Failed(now, name, addr); !until.Equal(now.Add(wait)) {
					t.Fatalf("until %s, wait %s", until, wait)
				}
				continue
			}
			switch rapid.IntRange(0, 5).Draw(t, "end") {
			case 0:
				l.Forgive(now, name, addr)
			case 1:
				if name == "bob" {
					l.Succeeded(now, name, addr)
					break
				}
				fallthrough
			default:
				l.Failed(now, name, addr)
				if name == "alice" {
					failed = append(failed, now)
				}
			}
			for i, from := range failed {
				if allowed := rate.Burst + int(now.Sub(from)/rate.Every); len(failed)-i > allowed {
					t.Fatalf("%d failures since %s, now %s", len(failed)-i, from, now)
				}
			}
			for _, d := range []*debts{l.names, l.addresses, l.pairs} {
				if len(d.of) > d.max || len(d.of) != len(d.least) {
					t.Fatalf("%d keys, %d in the heap", len(d.of), len(d.least))
				}
				for i, e := range d.least {
					if e.place != i || d.of[e.key] != e || (i > 0 && e.until.Before(d.least[(i-1)/2].until)) {
						t.Fatal("the heap is out of order")
					}
				}
			}
		}
	})
}

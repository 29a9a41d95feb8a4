package auth

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/time/rate"
	"pgregory.net/rapid"

	"lodge/cloud"
)

func TestABurstAndThenSoManyASecond(t *testing.T) {
	r, alice := NewRates(10, 3), cloud.Caller{UserID: "alice"}
	for i, want := range []cloud.Allowance{
		{Limit: 3, Left: 2, Full: 100 * time.Millisecond},
		{Limit: 3, Left: 1, Full: 200 * time.Millisecond},
		{Limit: 3, Left: 0, Full: 300 * time.Millisecond},
		{Limit: 3, Left: 0, Full: 300 * time.Millisecond, Wait: 100 * time.Millisecond},
		{Limit: 3, Left: 0, Full: 300 * time.Millisecond, Wait: 100 * time.Millisecond}, // a refused one costs nothing
	} {
		if got, limited := r.Spend(start, alice); got != want || !limited {
			t.Errorf("request %d: %+v, %t", i, got, limited)
		}
	}
	if got, _ := r.Spend(start.Add(100*time.Millisecond), alice); got.Wait != 0 || got.Left != 0 {
		t.Errorf("after a tenth of a second: %+v", got)
	}
	if got, _ := r.Spend(start.Add(time.Hour), alice); got.Wait != 0 || got.Left != 2 {
		t.Errorf("after an hour: %+v", got)
	}
}

func TestWhoSharesABucket(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b cloud.Caller
		same bool
	}{
		{"two tokens of a user", cloud.Caller{UserID: "u", TokenID: "1", Address: "192.0.2.1"}, cloud.Caller{UserID: "u", TokenID: "2", Address: "192.0.2.2"}, true},
		{"two users behind an address", cloud.Caller{UserID: "u", Address: "192.0.2.1"}, cloud.Caller{UserID: "v", Address: "192.0.2.1"}, false},
		{"two tokens of no user", cloud.Caller{TokenID: "1", Address: "192.0.2.1"}, cloud.Caller{TokenID: "2", Address: "192.0.2.1"}, false},
		{"two tokens of a tenant and no user", cloud.Caller{TokenID: "1", TenantID: "t"}, cloud.Caller{TokenID: "2", TenantID: "t"}, true},
		{"tokens of two tenants", cloud.Caller{TokenID: "1", TenantID: "t"}, cloud.Caller{TokenID: "2", TenantID: "u"}, false},
		{"a user of a tenant and its token", cloud.Caller{UserID: "u", TenantID: "t"}, cloud.Caller{TokenID: "2", TenantID: "t"}, false},
		{"a user and a token of its name", cloud.Caller{UserID: "u"}, cloud.Caller{TokenID: "u"}, false},
		{"nobody and somebody at an address", cloud.Caller{Address: "192.0.2.1"}, cloud.Caller{UserID: "u", Address: "192.0.2.1"}, false},
		{"nobody, twice", cloud.Caller{Address: "192.0.2.1"}, cloud.Caller{Address: "192.0.2.1"}, true},
		{"nobody from an IPv6 /64", cloud.Caller{Address: "2001:db8::1"}, cloud.Caller{Address: "2001:db8::ffff:1"}, true},
		{"nobody from two", cloud.Caller{Address: "2001:db8::1"}, cloud.Caller{Address: "2001:db8:0:1::1"}, false},
	} {
		r := NewRates(1, 1)
		r.Spend(start, c.a)
		if got, _ := r.Spend(start, c.b); (got.Wait > 0) != c.same {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	r := NewRates(1, 1)
	for range 10 {
		if _, limited := r.Spend(start, cloud.Caller{Operator: true, Role: cloud.RoleOperator, Via: "socket"}); limited {
			t.Fatal("the socket is limited")
		}
	}
}

func TestManyCallersTakeBoundedMemory(t *testing.T) {
	r := NewRates(100, 200)
	guesser := cloud.Caller{Address: "192.0.2.9"}
	for range 200 {
		r.Spend(start, guesser)
	}
	for i := range maxRated + 1000 {
		r.Spend(start, cloud.Caller{Address: stranger(i).String()})
	}
	if n := len(r.callers.of); n > maxRated {
		t.Errorf("%d callers are kept", n)
	}
	if got, _ := r.Spend(start, guesser); got.Wait == 0 {
		t.Error("who owes most is forgotten when many come")
	}
}

// The bucket allows exactly what that of golang.org/x/time/rate does.
func TestRatesAgreeWithTheLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perSecond, burst := rapid.SampledFrom([]int{1, 10, 100, 1000}).Draw(t, "rate"), rapid.IntRange(1, 50).Draw(t, "burst")
		r, lib, c := NewRates(perSecond, burst), rate.NewLimiter(rate.Limit(perSecond), burst), cloud.Caller{UserID: "u"}
		now := start
		for range 200 {
			// In steps of a token's tenth and away from whole tokens, where floats round.
			now = now.Add(time.Duration(rapid.IntRange(0, 30).Draw(t, "tenths")) * time.Second / time.Duration(perSecond) / 10)
			tokens := lib.TokensAt(now)
			if d := tokens - float64(int(tokens+0.5)); d > -1e-6 && d < 1e-6 && tokens < 1.5 && tokens > 0.5 {
				now = now.Add(time.Microsecond)
			}
			got, _ := r.Spend(now, c)
			if want := lib.AllowN(now, 1); (got.Wait == 0) != want {
				t.Fatalf("%+v, library says %t with %f", got, want, tokens)
			}
		}
	})
}

func BenchmarkSpend(b *testing.B) {
	r := NewRates(100, 200)
	callers := make([]cloud.Caller, 1000)
	for i := range callers {
		callers[i].UserID = fmt.Sprint("user", i)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			r.Spend(start, callers[i%len(callers)])
		}
	})
}

package auth

import (
	"net/netip"
	"sync"
	"time"

	"lodge/cloud"
)

// maxRated is how many callers are counted; who has sent nothing for a while
// takes no place.
const maxRated = 1 << 16

// Rates bound how many requests each caller sends: a token bucket for each user,
// for all tokens of a tenant that are of no user, and for each address (an IPv6 /64 is one) of whoever
// shows no good token. Tokens share a bucket, for else more tokens would
// be more requests. Memory is lost at a restart. It is safe for use by many
// goroutines.
type Rates struct {
	mu      sync.Mutex
	callers *debts
}

// NewRates allows burst requests at once and then perSecond of them, both at
// least one.
func NewRates(perSecond, burst int) *Rates {
	return &Rates{callers: newDebts(Rate{Burst: max(burst, 1), Every: time.Second / time.Duration(max(perSecond, 1))}, maxRated)}
}

// Spend takes one request out of the caller's bucket. A request that has to wait
// is not taken. limited is false for the socket and for lodge itself.
func (r *Rates) Spend(now time.Time, c cloud.Caller) (a cloud.Allowance, limited bool) {
	k, limited := rateKey(c)
	if !limited {
		return a, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.callers
	a.Limit = d.rate.Burst
	if a.Wait = d.wait(now, k); a.Wait == 0 {
		d.take(now, k)
	}
	owed := d.owed(now, k)
	a.Left, a.Full = int((d.most()-owed)/d.rate.Every), owed
	return a, true
}

// rateKey names the bucket of a caller.
func rateKey(c cloud.Caller) (key, bool) {
	switch {
	case c.UserID != "":
		return hashed([]byte("user"), []byte(c.UserID)), true
	case c.TokenID != "" && c.TenantID != "":
		return hashed([]byte("tokens of"), []byte(c.TenantID)), true
	case c.TokenID != "":
		return hashed([]byte("token"), []byte(c.TokenID)), true
	case c.Address == "":
		return key{}, false
	}
	addr, _ := netip.ParseAddr(c.Address)
	return addressKey(addr), true
}

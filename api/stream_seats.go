package api

import (
	"sync"
	"time"

	"lodge/cloud"
)

// seats bound how many long answers are under way at once. A stream of events holds
// a connection and little else, an export a month of a tenant's ledger; nobody shall
// have all of them.
type seats struct {
	all, tenant, caller int    // the most
	what, instead       string // in messages: of what, and what to do when all are taken

	mu    sync.Mutex
	taken int
	of    map[string]int
}

func newSeats() *seats {
	return &seats{all: 1024, tenant: 256, caller: 64, what: "streams of events", instead: "read GET /v1/events, or try again", of: map[string]int{}}
}

func newExports() *seats {
	return &seats{all: 16, tenant: 4, caller: 2, what: "exports", instead: "try again", of: map[string]int{}}
}

// enter takes a seat until leave is called. Whoever comes over the operator's
// socket is bounded by the sum alone.
//
// Returns CodeRateLimited when the caller or its tenant has too many, and
// CodeUnavailable when all are taken.
func (s *seats) enter(c cloud.Caller) (leave func(), err error) {
	keys := seatKeys(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		most, whose := s.caller, "You have"
		if k.tenant {
			most, whose = s.tenant, "Your tenant has"
		}
		if s.of[k.key] >= most {
			e := cloud.Errorf(cloud.CodeRateLimited, "%s %d %s open already, and more are not allowed; close one first.", whose, most, s.what)
			e.RetryAfter = 30 * time.Second
			return nil, e
		}
	}
	if s.taken >= s.all {
		e := cloud.Errorf(cloud.CodeUnavailable, "All %d %s are taken now; %s.", s.all, s.what, s.instead)
		e.RetryAfter = 10 * time.Second
		return nil, e
	}
	s.taken++
	for _, k := range keys {
		s.of[k.key]++
	}
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.taken--
		for _, k := range keys {
			if s.of[k.key]--; s.of[k.key] == 0 {
				delete(s.of, k.key)
			}
		}
	}), nil
}

// who is a caller, as far as it shares with itself.
type who struct{ kind, id string }

// whoIs says who that is; nobody over the operator's socket.
func whoIs(c cloud.Caller) who {
	switch {
	case c.UserID != "":
		return who{"user", c.UserID}
	case c.TokenID != "" && c.TenantID != "":
		// Such tokens make others: all of a tenant are one caller, or more tokens would
		// be more callers.
		return who{"tokens of", c.TenantID}
	}
	return who{"token", c.TokenID}
}

type seatKey struct {
	key    string
	tenant bool
}

func seatKeys(c cloud.Caller) (out []seatKey) {
	if w := whoIs(c); w.id != "" {
		out = append(out, seatKey{key: w.kind + " " + w.id})
	}
	if c.TenantID != "" {
		out = append(out, seatKey{"tenant " + c.TenantID, true})
	}
	return out
}

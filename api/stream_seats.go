package api

import (
	"sync"
	"time"

	"lodge/cloud"
)

// seats bound how many streams are open at once. A stream holds a connection
// and little else, but nobody shall have all of them.
type seats struct {
	all, tenant, caller int // the most

	mu    sync.Mutex
	taken int
	of    map[string]int
}

func newSeats() *seats {
	return &seats{all: 1024, tenant: 256, caller: 64, of: map[string]int{}}
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
			e := cloud.Errorf(cloud.CodeRateLimited, "%s %d streams of events open already, and more are not allowed; close one first.", whose, most)
			e.RetryAfter = 30 * time.Second
			return nil, e
		}
	}
	if s.taken >= s.all {
		e := cloud.Errorf(cloud.CodeUnavailable, "All %d streams of events are taken now; read GET /v1/events, or try again.", s.all)
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

type seatKey struct {
	key    string
	tenant bool
}

func seatKeys(c cloud.Caller) (out []seatKey) {
	switch {
	case c.UserID != "":
		out = append(out, seatKey{key: "user " + c.UserID})
	case c.TokenID != "" && c.TenantID != "":
		// Such tokens make others: all of a tenant are one caller, or more tokens would
		// be more callers.
		out = append(out, seatKey{key: "tokens of " + c.TenantID})
	case c.TokenID != "":
		out = append(out, seatKey{key: "token " + c.TokenID})
	}
	if c.TenantID != "" {
		out = append(out, seatKey{"tenant " + c.TenantID, true})
	}
	return out
}

package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/mux"
	"golang.org/x/time/rate"

	"lodge/cloud"
)

// failures bounds how much is written down of what was refused or failed: a
// client that fails a thousand times a second must not fill the disk. What is
// not written one by one is counted, and the count is written.
type failures struct {
	each, all rate.Limit    // entries a second, of one caller and of all
	burst     int           // of one caller
	after     time.Duration // from the first that was dropped to the count

	mu   sync.Mutex
	sum  *rate.Limiter
	of   map[string]*failing
	most int // callers that are told apart
}

// failing is one caller. Refusals for who it is are counted apart, so that no
// flood of slips hides them.
type failing struct {
	limit   *rate.Limiter
	last    time.Time
	caller  cloud.Caller
	dropped int
}

func newFailures() *failures {
	f := &failures{each: rate.Every(10 * time.Second), all: 1, burst: 60, after: time.Minute, of: map[string]*failing{}, most: 10_000}
	f.sum = rate.NewLimiter(f.all, 10*f.burst)
	return f
}

// admit reports whether one more may be written. first is the key to count the
// drops by, from the first of them to the next take.
func (f *failures) admit(now time.Time, c cloud.Caller, code cloud.Code) (ok bool, first string) {
	key := failingKey(c, code)
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.of) >= f.most && f.of[key] == nil {
		f.forget(now)
		if len(f.of) >= f.most {
			key, c = "others", cloud.Caller{Via: c.Via}
		}
	}
	one := f.of[key]
	if one == nil {
		one = &failing{limit: rate.NewLimiter(f.each, f.burst)}
		f.of[key] = one
	}
	one.last, one.caller = now, c
	if one.limit.AllowN(now, 1) && f.sum.AllowN(now, 1) {
		return true, ""
	}
	if one.dropped++; one.dropped == 1 {
		first = key
	}
	return false, first
}

// take gives how many were dropped, and begins anew.
func (f *failures) take(key string) (c cloud.Caller, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one := f.of[key]
	if one == nil {
		return c, 0
	}
	n, one.dropped = one.dropped, 0
	return one.caller, n
}

// forget drops callers that owe nothing.
func (f *failures) forget(now time.Time) {
	for key, one := range f.of {
		if one.dropped == 0 && one.limit.TokensAt(now) >= float64(f.burst) {
			delete(f.of, key)
		}
	}
}

func failingKey(c cloud.Caller, code cloud.Code) string {
	class := "failed "
	if code == cloud.CodeForbidden {
		class = "refused "
	}
	switch {
	case c.UserID != "":
		return class + "user " + c.UserID
	case c.TokenID != "":
		return class + "token " + c.TokenID
	}
	return class + c.Via
}

const (
	actionDropped = "audit.dropped"
	// auditTimeout is for the store; who asked may have left.
	auditTimeout = 5 * time.Second
)

// recordFailure writes down that a change was refused or failed, with its code,
// and whatever was refused for who asked. Failed logins are written where they
// are counted, and nobody knows who sends a bad token.
func (s *server) recordFailure(r *http.Request, rt route, c cloud.Caller, err error) {
	if errors.Is(err, errBusy) {
		return // nothing was begun, and the store has enough to write
	}
	code := cloud.CodeOf(err)
	change := rt.method != http.MethodGet && rt.need != open && c.Via != ""
	change = change && !c.DryRun                                                     // a question is no change that failed
	if s.Audit == nil || !change && code != cloud.CodeForbidden || rt.need == open { // who refuses a login has written it down
		return
	}
	ok, first := s.failures.admit(s.Now(), c, code)
	if first != "" {
		go s.writeDropped(first)
	}
	if !ok {
		return
	}
	e := cloud.AuditEntry{TenantID: c.TenantID, Action: actionOf(rt), Result: string(code)}
	e.Subject, e.Name = failedSubject(r, rt)
	e.Name = rt.method + " " + e.Name
	s.writeFailure(context.WithoutCancel(r.Context()), c, e)
}

func (s *server) writeFailure(ctx context.Context, c cloud.Caller, e cloud.AuditEntry) {
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	if err := s.Audit.RecordRefusal(ctx, c, s.Now(), e); err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "a failed change is not in the audit log", slog.String("request_id", c.RequestID),
			slog.String("action", e.Action), slog.String("result", e.Result), slog.String("name", e.Name), slog.Any("error", err))
	}
}

// writeDropped writes the count of what a caller failed beyond what is written
// one by one, a while after the first or when the daemon stops.
func (s *server) writeDropped(key string) {
	late := time.NewTimer(s.failures.after)
	defer late.Stop()
	select {
	case <-late.C:
	case <-s.Stopping:
	}
	c, n := s.failures.take(key)
	c.RequestID = ""
	s.writeFailure(context.Background(), c, cloud.AuditEntry{
		TenantID: c.TenantID, Action: actionDropped, Name: fmt.Sprintf("%d more", n), Result: string(cloud.CodeRateLimited),
	})
}

// failedSubject is what the path names. Only ids are taken from it: what somebody
// writes in place of one, by mistake, may be a secret.
func failedSubject(r *http.Request, rt route) (ref cloud.Ref, path string) {
	path = rt.path
	for name, value := range mux.Vars(r) {
		id := lowerID(value)
		if !cloud.IsUUID(id) {
			continue
		}
		path = strings.Replace(path, "{"+name+"}", id, 1)
		if name == "id" || ref.ID == "" {
			noun, _, _ := strings.Cut(strings.TrimPrefix(rt.path, "/v1/"), "/")
			ref = cloud.Ref{Kind: cloud.Kind(strings.TrimSuffix(noun, "s")), ID: id}
		}
	}
	return ref, path
}

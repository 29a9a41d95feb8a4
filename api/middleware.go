package api

import (
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"sync"
	"time"

	"lodge/cloud"
)

// Values of headers that most answers carry: made once, never changed.
var (
	typeJSON    = []string{"application/json"}
	typeProblem = []string{"application/problem+json"}
	typeText    = []string{"text/plain; charset=utf-8"}
	typeYAML    = []string{"application/yaml"}
	noSniff     = []string{"nosniff"}
	noStore     = []string{"no-store"}
)

const headerRequestID = "X-Request-Id"

// response notes what became of an answer.
type response struct {
	http.ResponseWriter
	status int
	bytes  int64
	head   bool // a HEAD, which is answered as a GET
	http2  bool
	noRoom bool  // for the body
	busy   bool  // there was no place at the desk
	rest   *rest // the body of the request; nil: none
	desk   *desk
	queue  *queue // in which it has a place at the desk; nil: none

	method, route string // as in the list of routes; empty: none of it
	tenant        string // the id of the one it is about, as far as known
}

func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.rise()
		w.answering()
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.rise()
		w.answering()
		w.status = http.StatusOK
	}
	n, err := w.writePatiently(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController through.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

var responses = sync.Pool{New: func() any { return new(response) }}

// requestID is the id of the request that w answers.
func requestID(w http.ResponseWriter) string {
	if v := w.Header()[headerRequestID]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// middleware gives every request an id, answers a panic, logs at debug, and
// tells who watches.
func (s *server) middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(hw http.ResponseWriter, r *http.Request) {
		w := responses.Get().(*response)
		*w = response{ResponseWriter: hw, http2: r.ProtoMajor == 2}
		w.rest, _ = r.Body.(*rest)
		h := hw.Header()
		id := r.Header.Get(headerRequestID)
		if !goodRequestID(id) {
			id = s.NewID()
		}
		h[headerRequestID] = []string{id}
		h["X-Content-Type-Options"] = noSniff
		h["Cache-Control"] = noStore
		if r.Method == http.MethodHead {
			// net/http drops the body of the answer by its own copy.
			get := *r
			get.Method = http.MethodGet
			r, w.head = &get, true
		}
		expectBody(hw, r)
		var start time.Time
		logs := s.log.Enabled(r.Context(), slog.LevelDebug)
		if logs || s.Watch != nil {
			start = s.Now()
		}
		if s.Watch != nil {
			r = s.Watch.Begin(r, id)
		}
		defer func() {
			cause := recover()
			w.rise()
			if cause != nil {
				s.panicked(w, r, cause)
			}
			if logs {
				s.log.LogAttrs(r.Context(), slog.LevelDebug, "request",
					slog.String("request_id", id), slog.String("method", r.Method), slog.String("path", loggedPath(r)),
					slog.Int("status", w.status), slog.Int64("bytes", w.bytes), slog.Duration("took", s.Now().Sub(start)))
			}
			w.last()
			if s.Watch != nil {
				s.Watch.End(r, cloud.Answered{Method: w.method, Route: w.route, TenantID: w.tenant, Status: w.status, NoRoom: w.noRoom, Busy: w.busy, Took: s.Now().Sub(start)})
			}
			*w = response{}
			responses.Put(w)
		}()
		next.ServeHTTP(w, r)
	})
}

// panicked turns a defect into an answer, or cuts the connection when the
// answer has begun.
func (s *server) panicked(w *response, r *http.Request, cause any) {
	if cause == http.ErrAbortHandler {
		panic(cause)
	}
	err := fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
	s.fail(w, r, err)
}

// loggedPath is the path for the log, without a token that was pasted into it.
func loggedPath(r *http.Request) string { return cloud.MaskSecrets(r.URL.Path) }

// traceID is what proxies call a request by: half the digits of a token, of which
// the other half cannot be guessed.
var traceID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// goodRequestID reports whether a client's own id may stand in answers and
// logs.
func goodRequestID(id string) bool {
	if id == "" || len(id) > 64 || cloud.MaskSecrets(id) != id && !traceID.MatchString(id) {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if !(c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return true
}

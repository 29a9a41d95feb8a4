package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/tmaxmax/go-sse"

	"lodge/api/wire"
	"lodge/cloud"
)

// How a stream of events goes. Each stream has a place in the numbers of the
// events and reads the store on from there, so that a client that is slow, or
// away for a week, costs no memory and misses nothing.
const (
	streamPart  = 100                    // events that are read and sent at once
	streamPause = 100 * time.Millisecond // between two looks of one stream at the store
	streamCheck = 2 * time.Second        // between two looks at who follows
	streamBeat  = 15 * time.Second       // between two signs of life
	streamStall = 30 * time.Second       // how long a client may take nothing
	streamLast  = time.Second            // for the last event of a daemon that stops
	streamRetry = time.Second            // when a browser comes again
)

const (
	headerLastEvent = "Last-Event-ID"
	// eventEnd is the type of the last event of a stream that lodge ends; types of
	// what happened have a dot in them.
	eventEnd = "end"
)

var typeEventStream = []string{"text/event-stream"}

// streamEvents sends what happens as it happens, until the client leaves or may
// see it no more: https://html.spec.whatwg.org/multipage/server-sent-events.html
func (s *server) streamEvents(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	f, err := s.streamFilter(r, c)
	if err != nil {
		return err
	}
	leave, err := s.streams.enter(c)
	if err != nil {
		return err
	}
	defer leave()
	h := w.Header()
	h["Content-Type"] = typeEventStream
	h["X-Accel-Buffering"] = []string{"no"} // nginx would collect events
	w.WriteHeader(http.StatusOK)
	if rw, ok := w.(*response); ok && rw.head {
		return nil
	}
	st := &eventStream{server: s, r: r, as: again(r, c), caller: c, filter: f, w: w, wire: http.NewResponseController(w)}
	st.run(r.Context())
	return nil
}

// streamFilter is what the stream is of, and where it begins: behind the event
// that a client has seen last, or now.
func (s *server) streamFilter(r *http.Request, c cloud.Caller) (cloud.EventFilter, error) {
	q := parseQuery(r, "after", "instance", "tenant")
	f := cloud.EventFilter{After: q.integer("after", -1, 0, math.MaxInt64), Limit: streamPart, SubjectID: q.id("instance")}
	if q.err != nil {
		return f, q.err
	}
	// A browser that comes again has the URL of its first time, and the header.
	if values := r.Header.Values(headerLastEvent); len(values) > 0 {
		seq, err := strconv.ParseInt(values[0], 10, 64)
		if err != nil || seq < 0 || len(values) > 1 {
			return f, invalid(headerLastEvent, "The header %s is the number of one event, as the stream gave it.", headerLastEvent)
		}
		f.After = seq
	}
	var err error
	if f.TenantID, err = s.narrow(r, c, q.Get("tenant")); err != nil {
		return f, err
	}
	last, err := s.Events.LastEvent(r.Context())
	switch {
	case err != nil:
		return f, err
	case f.After > last:
		// It would be silent until the numbers get there, and lose what is before.
		return f, invalid("after", "There is no event %d, the last one is %d; the database is an older one than you have seen, so begin anew.", f.After, last)
	case f.After < 0:
		f.After = last
	}
	return f, nil
}

// again is the request as it would be sent again for the same tenant, whatever
// tenants its caller has joined since.
func again(r *http.Request, c cloud.Caller) *http.Request {
	if c.TenantID == "" {
		return r
	}
	u := *r.URL
	u.RawQuery = url.Values{"tenant": {c.TenantID}}.Encode()
	out := r.WithContext(r.Context())
	out.URL = &u
	return out
}

// eventStream is one client that follows.
type eventStream struct {
	*server
	r, as  *http.Request
	caller cloud.Caller
	filter cloud.EventFilter // After moves on with what was sent
	w      http.ResponseWriter
	wire   *http.ResponseController

	mu   sync.Mutex
	last bool // the daemon stops: the deadline of writes stays
}

// errLeft is returned when nobody reads the stream any more.
var errLeft = errors.New("the client has left")

func (st *eventStream) run(ctx context.Context) {
	// The server's own deadlines are for requests that end.
	_ = st.wire.SetReadDeadline(time.Time{})
	ended, watched := make(chan struct{}), make(chan struct{})
	go func() { defer close(watched); st.watch(ended) }()
	defer func() {
		close(ended)
		<-watched                                 // w is not the stream's any more then
		_ = st.wire.SetWriteDeadline(time.Time{}) // the connection may be used again
	}()
	if err := st.follow(ctx); !errors.Is(err, errLeft) {
		st.end(err)
	}
}

// watch ends a write that a stopping daemon would wait for.
func (st *eventStream) watch(ended <-chan struct{}) {
	select {
	case <-ended:
	case <-st.Stopping:
		st.mu.Lock()
		defer st.mu.Unlock()
		st.last = true
		_ = st.wire.SetWriteDeadline(time.Now().Add(streamLast))
	}
}

// follow sends events until it returns why it ends.
func (st *eventStream) follow(ctx context.Context) error {
	first := &sse.Message{ID: st.cursor(), Retry: streamRetry}
	if err := st.send(first); err != nil {
		return err
	}
	check, beat := time.NewTicker(streamCheck), time.NewTicker(streamBeat)
	defer check.Stop()
	defer beat.Stop()
	of := st.caller.TenantID
	if of == "" {
		of = st.filter.TenantID
	}
	for {
		next := st.Events.NextEvents(of) // before the read, so that nothing falls between
		full, err := st.part(ctx)
		if err != nil {
			return err
		}
		if err := st.wait(ctx, next, full, check.C, beat.C); err != nil {
			return err
		}
	}
}

// part sends what there is, at most streamPart events; full says that there may
// be more.
func (st *eventStream) part(ctx context.Context) (full bool, err error) {
	events, err := st.Events.Events(ctx, st.caller, st.filter)
	if err != nil {
		return false, err
	}
	if len(events) == 0 {
		return false, nil
	}
	// Behind the read: what was recorded after the caller's right had ended must
	// not be among what is sent.
	if err := st.stillMay(ctx); err != nil {
		return false, err
	}
	messages := make([]*sse.Message, 0, len(events))
	for _, e := range events {
		b, err := json.Marshal(wireEvent(e))
		if err != nil {
			return false, err
		}
		st.filter.After = e.Seq
		m := &sse.Message{ID: st.cursor(), Type: sse.Type(e.Type)}
		m.AppendData(string(b))
		messages = append(messages, m)
	}
	return len(events) == st.filter.Limit, st.send(messages...)
}

// wait returns when it is time to look at the store again.
func (st *eventStream) wait(ctx context.Context, next <-chan struct{}, full bool, check, beat <-chan time.Time) error {
	pause := time.NewTimer(streamPause)
	defer pause.Stop()
	rest := pause.C
	if full {
		next, rest = closed, nil // there is more, and the client's speed is the limit
	}
	rung := false
	for {
		select {
		case <-ctx.Done():
			return errLeft
		case <-st.Stopping:
			return cloud.Errorf(cloud.CodeUnavailable, "lodged is stopping; connect again, behind the last event.")
		case <-next:
			rung, next = true, nil
		case <-rest:
			rest = nil
		case <-check:
			if err := st.stillMay(ctx); err != nil {
				return err
			}
		case <-beat:
			m := &sse.Message{}
			m.AppendComment("still here")
			if err := st.send(m); err != nil {
				return err
			}
			rung = true // a lost bell costs time and nothing else
		}
		if rung && rest == nil {
			return nil
		}
	}
}

var closed = func() <-chan struct{} { c := make(chan struct{}); close(c); return c }()

// stillMay returns why a request like the stream's own would be refused now.
func (st *eventStream) stillMay(ctx context.Context) error {
	now, err := st.Caller(st.as)
	if err != nil {
		return err
	}
	if now.Operator != st.caller.Operator || now.TenantID != st.caller.TenantID || !now.Role.Covers(cloud.RoleViewer) {
		return cloud.Errorf(cloud.CodeForbidden, "What you may see has changed; connect again.")
	}
	for _, id := range []string{st.caller.TenantID, st.filter.TenantID} {
		if id != "" {
			_, err := st.Tenants.Tenant(ctx, now, id)
			return err // the other is the same tenant
		}
	}
	return nil
}

// end says why the stream ends, to whoever still reads it.
func (st *eventStream) end(err error) {
	code := cloud.CodeOf(err)
	m, known := meanings[code]
	if !known {
		code, m = cloud.CodeInternal, meanings[cloud.CodeInternal]
	}
	id := requestID(st.w)
	if m.status >= 500 && code != cloud.CodeUnavailable {
		st.log.LogAttrs(st.r.Context(), slog.LevelError, "stream of events failed", slog.String("request_id", id), slog.Any("error", err))
	}
	b, merr := json.Marshal(wire.Failure{
		Type: "urn:lodge:error:" + string(code), Title: m.title, Status: m.status,
		Code: string(code), Detail: cloud.MessageOf(err), RequestID: id,
	})
	if merr != nil {
		panic(merr) // strings always marshal
	}
	msg := &sse.Message{Type: sse.Type(eventEnd)}
	msg.AppendData(string(b))
	_ = st.send(msg) // the client may have left
}

func (st *eventStream) cursor() sse.EventID { return sse.ID(strconv.FormatInt(st.filter.After, 10)) }

// send writes messages and pushes them out.
func (st *eventStream) send(messages ...*sse.Message) error {
	var b bytes.Buffer
	for _, m := range messages {
		if _, err := m.WriteTo(&b); err != nil {
			return err
		}
	}
	st.mu.Lock()
	if !st.last {
		_ = st.wire.SetWriteDeadline(time.Now().Add(streamStall))
	}
	st.mu.Unlock()
	if _, err := st.w.Write(b.Bytes()); err != nil {
		return errLeft
	}
	if err := st.wire.Flush(); err != nil {
		return errLeft
	}
	return nil
}

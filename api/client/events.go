package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tmaxmax/go-sse"

	"lodge/api/wire"
)

// StreamQuery says which events to follow, and where to begin.
type StreamQuery struct {
	Tenant   string // id or name
	Instance string // id
	After    int64  // begin behind the event with this Seq; 0 is from the first on
	FromNow  bool   // begin with what comes next; After is not looked at
	// Broken is told of every break, and how long is waited before the stream is
	// taken up again; nil: nobody is.
	Broken func(err error, wait time.Duration)
}

const (
	streamWaitLeast = 250 * time.Millisecond
	streamWaitMost  = 10 * time.Second
	// streamSilence is three signs of life that did not come.
	streamSilence  = 45 * time.Second
	streamMaxEvent = 1 << 20 // bytes
	streamEnd      = "end"   // the type of the event that says why lodged ends a stream
)

// StreamEvents gives the events as they come, each once and in order. When the
// connection breaks or lodged is restarted, it goes on by itself behind the last
// event; only the first connection must succeed.
//
// The last item has an error: that of ctx when it ends, or what lodged refuses
// the stream for, as a token that was revoked.
func (c *Client) StreamEvents(ctx context.Context, q StreamQuery) iter.Seq2[wire.Event, error] {
	return func(yield func(wire.Event, error) bool) {
		began, wait := false, streamWaitLeast
		for {
			s := stream{Client: c, query: &q}
			err := s.read(ctx, yield)
			began = began || s.began
			switch {
			case errors.Is(err, errEnough):
				return
			case ctx.Err() != nil:
				yield(wire.Event{}, ctx.Err())
				return
			case !began || !passing(err):
				yield(wire.Event{}, err)
				return
			}
			if s.began {
				wait = streamWaitLeast
			}
			pause := max(wait/2+rand.N(wait), s.retryAfter)
			wait = min(2*wait, streamWaitMost)
			if q.Broken != nil {
				q.Broken(err, pause)
			}
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	}
}

// passing reports whether the same request may succeed later.
func passing(err error) bool {
	var e *Error
	return !errors.As(err, &e) || e.Status >= http.StatusInternalServerError || e.Status == http.StatusTooManyRequests
}

// errEnough is returned when the caller wants no more.
var errEnough = errors.New("enough")

// stream is one connection.
type stream struct {
	*Client
	query      *StreamQuery // moves on with what was given
	began      bool         // lodged has sent something
	retryAfter time.Duration
}

func (s *stream) values() url.Values {
	v := url.Values{}
	set(v, "tenant", s.query.Tenant)
	set(v, "instance", s.query.Instance)
	if !s.query.FromNow {
		v.Set("after", strconv.FormatInt(s.query.After, 10))
	}
	return v
}

// read gives what one connection brings, and why it ended.
func (s *stream) read(ctx context.Context, yield func(wire.Event, error) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(streamSilence, cancel)
	defer silence.Stop()
	req, err := s.request(ctx, "GET", "/v1/events/stream", s.values(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream, application/problem+json")
	resp, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
			s.retryAfter = min(time.Duration(n)*time.Second, time.Minute)
		}
		return failure(resp)
	}
	if media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); media != "text/event-stream" {
		return &Error{Status: http.StatusBadRequest, Detail: "What answers is no stream of events; is it lodged?"}
	}
	body := &wholeMessages{r: resp.Body, came: func() { silence.Reset(streamSilence) }}
	for m, err := range sse.Read(body, &sse.ReadConfig{MaxEventSize: streamMaxEvent}) {
		if err != nil {
			return fmt.Errorf("the stream broke off: %w", err)
		}
		s.began = true
		if err := s.take(m, yield); err != nil {
			return err
		}
	}
	return fmt.Errorf("the stream ended: %w", io.ErrUnexpectedEOF)
}

func (s *stream) take(m sse.Event, yield func(wire.Event, error) bool) error {
	switch {
	case m.Type == streamEnd:
		var f wire.Failure
		if err := json.Unmarshal([]byte(m.Data), &f); err != nil {
			return fmt.Errorf("read the end of the stream: %w", err)
		}
		return &Error{Status: f.Status, Code: f.Code, Detail: f.Detail, RequestID: f.RequestID}
	case m.Type == "" && m.Data == "": // where a stream that begins now begins
		n, err := strconv.ParseInt(m.LastEventID, 10, 64)
		if err == nil && s.query.FromNow {
			s.query.After, s.query.FromNow = n, false
		}
		return nil
	}
	var e wire.Event
	if err := json.Unmarshal([]byte(m.Data), &e); err != nil {
		return fmt.Errorf("read an event: %w", err)
	}
	if !s.query.FromNow && e.Seq <= s.query.After {
		return nil // it was given already
	}
	s.query.After, s.query.FromNow = e.Seq, false
	if !yield(e, nil) {
		return errEnough
	}
	return nil
}

// wholeMessages makes an end in the middle of a message a broken connection: the
// parser would take what is there for all of it.
type wholeMessages struct {
	r    io.Reader
	came func() // something did
	tail [2]byte
}

func (w *wholeMessages) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if n > 0 {
		w.came()
	}
	if n > 1 {
		w.tail = [2]byte{p[n-2], p[n-1]}
	} else if n == 1 {
		w.tail = [2]byte{w.tail[1], p[0]}
	}
	if err == io.EOF && w.tail != [2]byte{'\n', '\n'} {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

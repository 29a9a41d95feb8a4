// Package sink is an OpenTelemetry collector for tests: it takes spans by OTLP
// over HTTP, keeps them, and can be as ill as a real one.
package sink

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Span is one as it was received; ids are hexadecimal.
type Span struct {
	Name, Trace, ID, Parent string
	Server                  bool // it is of a request
	Failed                  bool
	Message                 string // of a failure
	State                   string // tracestate
	Attributes              map[string]string
	Service                 map[string]string // whose it is
}

// Health is how the collector answers.
type Health int

// The ways.
const (
	Well    Health = iota
	Refuses        // 503 to everything
	Hangs          // reads the spans and never answers
	Down           // nobody listens
)

// Sink is a running collector.
type Sink struct {
	URL string
	t   testing.TB

	mu     sync.Mutex
	health Health
	change chan struct{} // closed when health changes
	server *http.Server
	spans  []Span
	raw    bytes.Buffer
}

// New starts one on loopback; it ends with the test.
func New(t testing.TB) *Sink {
	t.Helper()
	s := &Sink{t: t, change: make(chan struct{})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.URL = "http://" + l.Addr().String()
	s.serve(l)
	t.Cleanup(func() { s.Be(Down) })
	return s
}

func (s *Sink) serve(l net.Listener) {
	s.server = &http.Server{Handler: http.HandlerFunc(s.take)}
	go func(srv *http.Server) { _ = srv.Serve(l) }(s.server)
}

// Be makes it well or ill from now on.
func (s *Sink) Be(h Health) {
	s.t.Helper()
	s.mu.Lock()
	was := s.health
	s.health = h
	close(s.change)
	s.change = make(chan struct{})
	s.mu.Unlock()
	switch {
	case h == Down && was != Down:
		_ = s.server.Close()
	case h != Down && was == Down:
		l, err := net.Listen("tcp", s.URL[len("http://"):])
		if err != nil {
			s.t.Fatal(err)
		}
		s.serve(l)
	}
}

// Spans are those that were taken.
func (s *Sink) Spans() []Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Span(nil), s.spans...)
}

// Find waits for a span, and ends the test when none comes.
func (s *Sink) Find(what string, d time.Duration, is func(Span) bool) Span {
	s.t.Helper()
	for end := time.Now().Add(d); ; time.Sleep(20 * time.Millisecond) {
		for _, sp := range s.Spans() {
			if is(sp) {
				return sp
			}
		}
		if time.Now().After(end) {
			s.t.Fatalf("no span within %s: %s", d, what)
		}
	}
}

// Has reports whether the text stands anywhere in what was taken.
func (s *Sink) Has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Contains(s.raw.Bytes(), []byte(text))
}

func (s *Sink) take(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	health, change := s.health, s.change
	s.mu.Unlock()
	switch health {
	case Refuses:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case Hangs:
		_, _ = io.Copy(io.Discard, r.Body) // until then net/http does not see the client leave
		select {
		case <-change:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler) // an empty answer would be a good one
	}
	if r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		s.t.Errorf("%s %s", r.URL, r.Header.Get("Content-Type"))
	}
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			s.t.Error(err)
			return
		}
		body = z
	}
	b, err := io.ReadAll(body)
	var in collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(b, &in)
	}
	if err != nil {
		s.t.Error(err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw.Write(b)
	for _, res := range in.ResourceSpans {
		service := texts(res.GetResource().GetAttributes())
		for _, sc := range res.ScopeSpans {
			for _, sp := range sc.Spans {
				s.spans = append(s.spans, span(sp, service))
			}
		}
	}
}

func span(sp *tracepb.Span, service map[string]string) Span {
	return Span{
		Name: sp.Name, Trace: hex.EncodeToString(sp.TraceId), ID: hex.EncodeToString(sp.SpanId), Parent: hex.EncodeToString(sp.ParentSpanId),
		Server: sp.Kind == tracepb.Span_SPAN_KIND_SERVER, State: sp.TraceState,
		Failed: sp.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR, Message: sp.Status.GetMessage(),
		Attributes: texts(sp.Attributes), Service: service,
	}
}

func texts(attributes []*common.KeyValue) map[string]string {
	out := map[string]string{}
	for _, a := range attributes {
		if n, ok := a.Value.GetValue().(*common.AnyValue_IntValue); ok {
			out[a.Key] = strconv.FormatInt(n.IntValue, 10)
			continue
		}
		out[a.Key] = a.Value.GetStringValue()
	}
	return out
}

package traces_test

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"lodge/cloud"
	"lodge/traces"
)

// sink is a collector.
type sink struct {
	URL   string
	mu    sync.Mutex
	spans map[string]*tracepb.Span
}

func newSink(t *testing.T) *sink {
	s := &sink{spans: map[string]*tracepb.Span{}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("%s %s", r.URL, r.Header.Get("Content-Type"))
		}
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Error(err)
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
			t.Error(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, res := range in.ResourceSpans {
			for _, sc := range res.ScopeSpans {
				for _, sp := range sc.Spans {
					s.spans[sp.Name] = sp
				}
			}
		}
	}))
	t.Cleanup(srv.Close)
	s.URL = srv.URL
	return s
}

func attributes(s *tracepb.Span) map[string]string {
	out := map[string]string{}
	for _, a := range s.GetAttributes() {
		out[a.Key] = a.Value.GetStringValue()
	}
	return out
}

func TestARequestAndItsWorkAreOneTraceOfTheClients(t *testing.T) {
	to := newSink(t)
	tr, err := traces.New(t.Context(), traces.Options{Endpoint: to.URL, Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "/v1/instances/7/start", nil)
	r.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	r = tr.Begin(r, "req-1")
	ctx, end := tr.Observe(r.Context(), cloud.WorkTransaction, "power instance", "")
	_, commit := tr.Observe(ctx, cloud.WorkCommit, "commit", "")
	commit(nil)
	end(cloud.Errorf(cloud.CodeConflict, "A secret sentence."))
	tr.End(r, "POST", "/v1/instances/{id}/start", 409, time.Millisecond)
	if err := tr.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	request, tx, done := to.spans["POST /v1/instances/{id}/start"], to.spans["transaction power instance"], to.spans["commit commit"]
	if request == nil || tx == nil || done == nil {
		t.Fatalf("spans: %v", to.spans)
	}
	const client, clientSpan = "\x0a\xf7\x65\x19\x16\xcd\x43\xdd\x84\x48\xeb\x21\x1c\x80\x31\x9c", "\xb7\xad\x6b\x71\x69\x20\x33\x31"
	if string(request.TraceId) != client || string(request.ParentSpanId) != clientSpan || request.Kind != tracepb.Span_SPAN_KIND_SERVER {
		t.Errorf("the request: %v", request)
	}
	if string(tx.ParentSpanId) != string(request.SpanId) || string(done.ParentSpanId) != string(tx.SpanId) {
		t.Error("the work does not hang together")
	}
	if a := attributes(request); a["http.route"] != "/v1/instances/{id}/start" || a["lodge.request_id"] != "req-1" {
		t.Errorf("attributes %v", a)
	}
	if a := attributes(tx); a["error.type"] != "conflict" || tx.Status.GetCode() != tracepb.Status_STATUS_CODE_ERROR || tx.Status.GetMessage() != "conflict" {
		t.Errorf("failure: %v %v", a, tx.Status)
	}
}

func TestAnEndpointIsAURL(t *testing.T) {
	for _, e := range []string{"127.0.0.1:4318", "ftp://a", "http://", "http://u:p@a", "://"} {
		if _, err := traces.New(t.Context(), traces.Options{Endpoint: e}); err == nil {
			t.Errorf("%q is taken", e)
		}
	}
}

// A collector that is away delays nothing but the end, and that for as long as
// it is told to.
func TestACollectorThatIsAwayIsNotWaitedFor(t *testing.T) {
	tr, err := traces.New(t.Context(), traces.Options{Endpoint: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	_, end := tr.Observe(t.Context(), cloud.WorkSweep, "sweep", "")
	end(nil)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	_ = tr.Close(ctx)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the end took %s", took)
	}
}

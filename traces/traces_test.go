package traces_test

import (
	"context"
	"maps"
	"net/http/httptest"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/traces"
	"lodge/traces/sink"
)

// named are the spans by their names.
func named(to *sink.Sink) map[string]sink.Span {
	out := map[string]sink.Span{}
	for _, s := range to.Spans() {
		out[s.Name] = s
	}
	return out
}

func TestARequestAndItsWorkAreOneTraceOfTheClients(t *testing.T) {
	to := sink.New(t)
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
	tr.End(r, cloud.Answered{Method: "POST", Route: "/v1/instances/{id}/start", TenantID: "t-1", Status: 409, Took: time.Millisecond})
	if err := tr.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := named(to)
	request, tx, done := got["POST /v1/instances/{id}/start"], got["transaction power instance"], got["commit commit"]
	if request.ID == "" || tx.ID == "" || done.ID == "" {
		t.Fatalf("spans: %v", got)
	}
	if request.Trace != "0af7651916cd43dd8448eb211c80319c" || request.Parent != "b7ad6b7169203331" || !request.Server {
		t.Errorf("the request: %v", request)
	}
	if tx.Parent != request.ID || done.Parent != tx.ID || tx.Trace != request.Trace || done.Trace != request.Trace {
		t.Error("the work does not hang together")
	}
	want := map[string]string{"http.request.method": "POST", "http.route": "/v1/instances/{id}/start", "http.response.status_code": "409",
		"lodge.request_id": "req-1", "lodge.tenant_id": "t-1"}
	if !maps.Equal(request.Attributes, want) {
		t.Errorf("attributes %v", request.Attributes)
	}
	if tx.Attributes["error.type"] != "conflict" || !tx.Failed || tx.Message != "conflict" {
		t.Errorf("failure: %v", tx)
	}
	if to.Has("A secret sentence.") {
		t.Error("a message is in a span")
	}
	if request.Service["service.name"] != "lodged" || request.Service["service.version"] != "1.2.3" {
		t.Errorf("whose: %v", request.Service)
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

package traces_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/traces"
	"lodge/traces/sink"
)

// settled waits until the outbox is as wanted.
func settled(t *testing.T, tr *traces.Traces, want cloud.TraceStats) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); tr.Stats() != want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%+v, not %+v", tr.Stats(), want)
		}
	}
}

func TestWhatIsTooMuchForASlowCollectorIsDroppedAndCounted(t *testing.T) {
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "100")
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
	asked, answer := make(chan bool, 100), make(chan bool)
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked <- true; <-answer }))
	defer srv.Close()
	tr, err := traces.New(t.Context(), traces.Options{Endpoint: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	spans := func(n int) {
		for range n {
			_, end := tr.Observe(t.Context(), cloud.WorkSweep, "sweep", "")
			end(nil)
		}
	}
	spans(10)
	<-asked // the first batch is on its way
	began := time.Now()
	spans(1000)
	if took := time.Since(began); took > time.Second {
		t.Errorf("1000 spans took %s beside a collector that hangs", took)
	}
	settled(t, tr, cloud.TraceStats{Waiting: 100, Dropped: 910})
	close(answer)
	settled(t, tr, cloud.TraceStats{Sent: 100, Dropped: 910})
	spans(7)
	settled(t, tr, cloud.TraceStats{Sent: 107, Dropped: 910})
	if err := tr.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWhatTheCollectorRefusesIsCounted(t *testing.T) {
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }))
	defer srv.Close()
	tr, err := traces.New(t.Context(), traces.Options{Endpoint: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	_, end := tr.Observe(t.Context(), cloud.WorkSweep, "sweep", "")
	end(nil)
	settled(t, tr, cloud.TraceStats{Failed: 1})
	_ = tr.Close(t.Context())
}

// What a client writes into its headers waits in memory with the span, and may
// hold anything.
func TestASpanRepeatsLittleOfWhatTheClientMadeUp(t *testing.T) {
	to := sink.New(t)
	tr, err := traces.New(t.Context(), traces.Options{Endpoint: to.URL})
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{"vendor=short", "a=" + strings.Repeat("x", 250) + ",b=" + strings.Repeat("y", 250) + ",c=" + strings.Repeat("z", 250)} {
		r := httptest.NewRequest("LODGE_SECRET", "/", nil)
		r.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		r.Header.Set("tracestate", state)
		r = tr.Begin(r, "req-1")
		tr.End(r, cloud.Answered{Status: 404})
	}
	if err := tr.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := to.Spans()
	if len(got) != 2 || got[0].State != "vendor=short" || got[1].State != "" {
		t.Fatalf("%v", got)
	}
	for _, s := range got {
		if s.Name != "_OTHER" || s.Attributes["http.request.method"] != "_OTHER" || to.Has("LODGE_SECRET") {
			t.Errorf("%v", s)
		}
	}
}

// OpenTelemetry waits 2.5 to 7.5 s before it tries again.
func TestABatchIsSentAgainWhereTheCollectorIsIllForAMoment(t *testing.T) {
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "300")
	for _, ill := range []sink.Health{sink.Refuses, sink.Hangs} {
		t.Run(map[sink.Health]string{sink.Refuses: "503", sink.Hangs: "no answer"}[ill], func(t *testing.T) {
			to := sink.New(t)
			to.Be(ill)
			tr, err := traces.New(t.Context(), traces.Options{Endpoint: to.URL})
			if err != nil {
				t.Fatal(err)
			}
			_, end := tr.Observe(t.Context(), cloud.WorkSweep, "sweep", "")
			end(nil)
			time.Sleep(time.Second) // it is tried in vain meanwhile
			if got := tr.Stats(); got != (cloud.TraceStats{Waiting: 1}) {
				t.Fatalf("%+v", got)
			}
			to.Be(sink.Well)
			settled(t, tr, cloud.TraceStats{Sent: 1})
			if n := len(to.Spans()); n != 1 {
				t.Errorf("%d spans arrived", n)
			}
			if err := tr.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

package daemon

import (
	"context"
	"net/http"
	"os"

	"lodge/api"
	"lodge/cloud"
	"lodge/traces"
)

// openTraces returns nil where nobody asked for traces.
func openTraces(cfg Config) (*traces.Traces, error) {
	asked := cfg.OTLPEndpoint != "" || os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
	if !asked || os.Getenv("OTEL_SDK_DISABLED") == "true" {
		return nil, nil
	}
	return traces.New(context.Background(), traces.Options{Endpoint: cfg.OTLPEndpoint, Version: cfg.Version, Log: cfg.Log})
}

// both tells two listeners; the second one hears of an end first.
func both(a, b cloud.Observe) cloud.Observe {
	return func(ctx context.Context, w cloud.Work, name, detail string) (context.Context, func(error)) {
		ctx, endA := a(ctx, w, name, detail)
		ctx, endB := b(ctx, w, name, detail)
		return ctx, func(err error) {
			endB(err)
			endA(err)
		}
	}
}

// watchers tell each of them of every request.
type watchers []api.Watch

func (ws watchers) Begin(r *http.Request, requestID string) *http.Request {
	for _, w := range ws {
		r = w.Begin(r, requestID)
	}
	return r
}

func (ws watchers) End(r *http.Request, a cloud.Answered) {
	for _, w := range ws {
		w.End(r, a)
	}
}

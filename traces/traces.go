package traces

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"lodge/cloud"
)

// Options say where spans go.
type Options struct {
	// Endpoint is the collector's URL, as http://127.0.0.1:4318; spans are sent to
	// its path /v1/traces. "" leaves it to OTEL_EXPORTER_OTLP_TRACES_ENDPOINT and
	// OTEL_EXPORTER_OTLP_ENDPOINT. Headers come from OTEL_EXPORTER_OTLP_HEADERS.
	Endpoint string
	Version  string
	Log      *slog.Logger // hears of spans that cannot be sent, seldom
}

// Traces makes spans.
type Traces struct {
	outbox   *outbox
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	parents  propagation.TraceContext
}

// New starts to send. The collector need not be there. Returns an error for an
// endpoint that is no URL.
func New(ctx context.Context, o Options) (*Traces, error) {
	to, err := target(o.Endpoint)
	if err != nil {
		return nil, err
	}
	client, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(to))
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	// What the environment says (OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME) wins.
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "lodged"), attribute.String("service.version", o.Version)),
		resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	out := newOutbox(client, o.Log)
	t := &Traces{outbox: out, provider: sdk.NewTracerProvider(sdk.WithSpanProcessor(out), sdk.WithResource(about))}
	t.tracer = t.provider.Tracer("lodge")
	return t, nil
}

// Stats says what became of the spans.
func (t *Traces) Stats() cloud.TraceStats { return t.outbox.stats() }

// Close sends what is left, as long as ctx lasts.
func (t *Traces) Close(ctx context.Context) error { return t.provider.Shutdown(ctx) }

// Begin is for api.Watch. A traceparent of the client is honoured.
func (t *Traces) Begin(r *http.Request, requestID string) *http.Request {
	ctx := t.parents.Extract(r.Context(), parent(r.Header))
	method := known(r.Method)
	ctx, _ = t.tracer.Start(ctx, method, trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.request.method", method), attribute.String("lodge.request_id", requestID)))
	return r.WithContext(ctx)
}

// End is for api.Watch.
func (t *Traces) End(r *http.Request, a cloud.Answered) {
	span := trace.SpanFromContext(r.Context())
	if a.Route != "" {
		span.SetName(a.Method + " " + a.Route)
		span.SetAttributes(attribute.String("http.route", a.Route))
	}
	if a.TenantID != "" {
		span.SetAttributes(attribute.String("lodge.tenant_id", a.TenantID))
	}
	span.SetAttributes(attribute.Int("http.response.status_code", a.Status))
	if a.Status >= 500 || a.Status == 0 {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// mostState is as much of a tracestate as W3C asks everybody to pass on. Spans
// wait in memory, and a client may write 32 KiB of headers.
// https://www.w3.org/TR/trace-context/#tracestate-limits
const mostState = 512

// parent is what the client says of its own span.
func parent(h http.Header) propagation.MapCarrier {
	said := propagation.MapCarrier{"traceparent": h.Get("traceparent")}
	if state := h.Get("tracestate"); len(state) <= mostState {
		said["tracestate"] = state
	}
	return said
}

// known is the method as spans have it: what a client made up is not repeated.
// https://opentelemetry.io/docs/specs/semconv/http/http-spans/
func known(method string) string {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE":
		return method
	}
	return "_OTHER"
}

// Observe is the listener for the rooms.
func (t *Traces) Observe(ctx context.Context, w cloud.Work, name, detail string) (context.Context, func(error)) {
	ctx, span := t.tracer.Start(ctx, string(w)+" "+name)
	if detail != "" {
		span.SetAttributes(attribute.String("lodge.detail", detail))
	}
	return ctx, func(err error) {
		if err != nil {
			code := string(cloud.CodeOf(err))
			span.SetAttributes(attribute.String("error.type", code))
			span.SetStatus(codes.Error, code)
		}
		span.End()
	}
}

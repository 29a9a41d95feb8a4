package traces

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
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
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	parents  propagation.TraceContext
}

// New starts to send. The collector need not be there. Returns an error for an
// endpoint that is no URL.
func New(ctx context.Context, o Options) (*Traces, error) {
	to, err := newSender(o.Endpoint)
	if err != nil {
		return nil, err
	}
	out, err := otlptrace.New(ctx, to)
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
	t := &Traces{provider: sdk.NewTracerProvider(sdk.WithBatcher(&told{out, o.Log, time.Time{}}), sdk.WithResource(about))}
	t.tracer = t.provider.Tracer("lodge")
	return t, nil
}

// Close sends what is left, as long as ctx lasts.
func (t *Traces) Close(ctx context.Context) error { return t.provider.Shutdown(ctx) }

// Begin is for api.Watch. A traceparent of the client is honoured.
func (t *Traces) Begin(r *http.Request, requestID string) *http.Request {
	ctx := t.parents.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, _ = t.tracer.Start(ctx, r.Method, trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.request.method", r.Method), attribute.String("lodge.request_id", requestID)))
	return r.WithContext(ctx)
}

// End is for api.Watch.
func (t *Traces) End(r *http.Request, method, route string, status int, _ time.Duration) {
	span := trace.SpanFromContext(r.Context())
	if route != "" {
		span.SetName(method + " " + route)
		span.SetAttributes(attribute.String("http.route", route))
	}
	span.SetAttributes(attribute.Int("http.response.status_code", status))
	if status >= 500 || status == 0 {
		span.SetStatus(codes.Error, "")
	}
	span.End()
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

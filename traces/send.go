package traces

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// target is the URL that spans are sent to.
func target(endpoint string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return "", fmt.Errorf("the traces' endpoint is no URL like http://127.0.0.1:4318")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	return u.String(), nil
}

// silence is how long nothing more is said of spans that cannot be sent.
const silence = 10 * time.Minute

// told says that spans are lost, and goes on. It is called by one at a time.
type told struct {
	sdk.SpanExporter
	log  *slog.Logger
	last time.Time
}

func (e *told) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	if err != nil && e.log != nil && time.Since(e.last) > silence {
		e.last = time.Now()
		e.log.Warn("traces are not sent", "spans", len(spans), "err", err)
	}
	return nil
}

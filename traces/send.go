package traces

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// sender posts spans by OTLP over HTTP. OpenTelemetry's own client brings gRPC
// along, which is 6 MB of lodged and 5 MiB of its memory, for one POST.
// It does not try again: spans of a collector that is away are lost.
type sender struct {
	url    string
	header http.Header
	http   http.Client
}

const sendTimeout = 10 * time.Second

func newSender(endpoint string) (*sender, error) {
	u, err := target(endpoint)
	if err != nil {
		return nil, err
	}
	s := &sender{url: u, header: http.Header{}, http: http.Client{Timeout: sendTimeout}}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"} {
		for _, pair := range strings.Split(os.Getenv(name), ",") {
			key, value, ok := strings.Cut(pair, "=")
			if text, err := url.PathUnescape(strings.TrimSpace(value)); ok && err == nil {
				s.header.Set(strings.TrimSpace(key), text)
			}
		}
	}
	s.header.Set("Content-Type", "application/x-protobuf")
	return s, nil
}

// target is the URL that spans are sent to. The variable for traces alone is
// taken as it is, as OpenTelemetry has it; all others get its path.
func target(endpoint string) (string, error) {
	whole := ""
	if endpoint == "" {
		whole, endpoint = os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")
	}
	given := endpoint
	if whole != "" {
		given = whole
	}
	u, err := url.Parse(given)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return "", fmt.Errorf("the endpoint of traces is no URL like http://127.0.0.1:4318")
	}
	if whole == "" && !strings.HasSuffix(u.Path, "/v1/traces") {
		u = u.JoinPath("v1", "traces")
	}
	return u.String(), nil
}

// Start is for the exporter.
func (s *sender) Start(context.Context) error { return nil }

// Stop is for the exporter.
func (s *sender) Stop(context.Context) error { s.http.CloseIdleConnections(); return nil }

// UploadTraces is for the exporter. TracesData has the same bytes as the
// request of OTLP.
func (s *sender) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	b, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header = s.header.Clone()
	resp, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("the collector answers %s", resp.Status)
	}
	return nil
}

// silence is how long nothing more is said of spans that cannot be sent.
const silence = 10 * time.Minute

// told says that spans are lost, and goes on. It is called by one at a time.
type told struct {
	sdk.SpanExporter
	log  *slog.Logger
	last time.Time
}

// ExportSpans never fails, for nobody could do anything about it.
func (e *told) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	if err != nil && e.log != nil && time.Since(e.last) > silence {
		e.last = time.Now()
		e.log.Warn("traces are not sent", "spans", len(spans), "err", err)
	}
	return nil
}

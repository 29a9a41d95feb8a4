package traces

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"lodge/cloud"
)

// outbox keeps the spans until they are sent, and no more of them than the
// queue of OpenTelemetry's processor holds. That one drops the rest without a
// word, so what would be too many is dropped and counted before it.
type outbox struct {
	sdk.SpanProcessor // sends in batches, in a goroutine of its own
	to                sdk.SpanExporter
	log               *slog.Logger
	most              int64

	waiting, sent, failed, dropped atomic.Int64

	// Of the exporting goroutine alone.
	lost int64     // since it was last told
	told time.Time // when that was
	away bool      // it was told, and no span was sent since
}

func newOutbox(to sdk.SpanExporter, log *slog.Logger) *outbox {
	o := &outbox{to: to, log: log}
	// OTEL_BSP_MAX_QUEUE_SIZE is read by then.
	size := func(opts *sdk.BatchSpanProcessorOptions) { o.most = int64(opts.MaxQueueSize) }
	o.SpanProcessor = sdk.NewBatchSpanProcessor(exporter{o}, size)
	return o
}

func (o *outbox) stats() cloud.TraceStats {
	return cloud.TraceStats{Sent: o.sent.Load(), Failed: o.failed.Load(), Dropped: o.dropped.Load(), Waiting: o.waiting.Load()}
}

// OnEnd takes a span, or drops it; it never waits.
func (o *outbox) OnEnd(s sdk.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	if o.waiting.Add(1) > o.most {
		o.waiting.Add(-1)
		o.dropped.Add(1)
		return
	}
	o.SpanProcessor.OnEnd(s)
}

// exporter is the outbox as its processor sees it. It is called by one at a time.
type exporter struct{ *outbox }

// silence is how long nothing more is said of spans that cannot be sent.
const silence = 10 * time.Minute

// ExportSpans never fails, for nobody could do anything about it.
func (e exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := e.to.ExportSpans(ctx, spans)
	n := int64(len(spans))
	e.waiting.Add(-n)
	if err == nil {
		e.sent.Add(n)
		if e.away {
			e.log.Info("traces are sent again")
			e.away = false
		}
		return nil
	}
	e.failed.Add(n)
	if e.lost += n; e.log != nil && time.Since(e.told) > silence {
		e.log.Warn("traces are not sent", "spans", e.lost, "err", err)
		e.told, e.lost, e.away = time.Now(), 0, true
	}
	return nil
}

// Shutdown lets go of the collector.
func (e exporter) Shutdown(ctx context.Context) error { return e.to.Shutdown(ctx) }

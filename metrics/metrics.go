package metrics

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"lodge/cloud"
)

// Sources are what is asked at each scrape. A nil one is left out.
type Sources struct {
	Census func(context.Context) (cloud.Census, error)
	Store  func() (cloud.StoreStats, error)
	Loop   func() cloud.LoopStats
	Link   func() cloud.LinkStats // nil on a pretend host
	Ledger func(context.Context) (cloud.LedgerStats, error)
	Sink   func(context.Context) (cloud.SinkState, error) // nil: nobody gets usage
	Rate   func(context.Context) (float64, error)         // what an hour of all that is metered now costs
	Acts   func(context.Context) (cloud.ActStats, error)  // what acts by itself
	// Verified is when the ledger was last verified, zero for never, and how much
	// was wrong.
	Verified func() (at time.Time, wrong int64)
	// Backups is nil when none are scheduled.
	Backups func() cloud.BackupStats
	Traces  func() cloud.TraceStats               // nil: there are none
	Disk    func() (free, size uint64, err error) // of the data directory, bytes
	Now     func() time.Time
	Log     *slog.Logger
}

// Build is which lodged counts.
type Build struct{ Version, Commit, Go string }

// Metrics counts. It is made before the parts that tell it, and given its
// Sources after them.
type Metrics struct {
	registry *prometheus.Registry
	now      func() time.Time

	inFlight prometheus.Gauge
	requests *prometheus.HistogramVec
	noRoom   prometheus.Counter
	busy     prometheus.Counter
	work     map[cloud.Work]*counted
}

// New makes the counters. now measures how long work takes.
func New(now func() time.Time, b Build) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), now: now, work: map[cloud.Work]*counted{}}
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "lodge_build_info",
		Help: "1; its labels say which lodged this is."}, []string{"version", "commit", "goversion"})
	build.WithLabelValues(b.Version, b.Commit, b.Go).Set(1)
	m.inFlight = prometheus.NewGauge(prometheus.GaugeOpts{Name: "lodge_http_requests_in_flight",
		Help: "Requests that are being answered."})
	m.requests = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "lodge_http_request_duration_seconds",
		Help:    "Time to answer requests; its count is the number of requests. Route and method are none where no route fits, class is none where the connection was cut.",
		Buckets: []float64{.0005, .001, .005, .01, .05, .1, .5, 1, 5, 30}}, []string{"route", "method", "class"})
	m.noRoom = prometheus.NewCounter(prometheus.CounterOpts{Name: "lodge_http_bodies_refused_total",
		Help: "Requests that were told to come again because there was no room for their bodies."})
	m.busy = prometheus.NewCounter(prometheus.CounterOpts{Name: "lodge_http_requests_refused_total",
		Help: "Requests that were told to come again because more was in work than lodged can do."})
	m.registry.MustRegister(build, m.inFlight, m.requests, m.noRoom, m.busy)
	m.countWork()
	return m
}

// Handler answers scrapes. What cannot be asked is left out, and logged.
func (m *Metrics) Handler(s Sources) http.Handler {
	m.registry.MustRegister(&asked{s, m.now()})
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true, MaxRequestsInFlight: 4, Timeout: 20 * time.Second, ErrorHandling: promhttp.ContinueOnError,
	})
}

// Begin is for api.Watch.
func (m *Metrics) Begin(r *http.Request, _ string) *http.Request {
	m.inFlight.Inc()
	return r
}

// End is for api.Watch.
func (m *Metrics) End(_ *http.Request, a cloud.Answered) {
	m.inFlight.Dec()
	if a.Route == "" {
		a.Method, a.Route = "none", "none"
	}
	if a.NoRoom {
		m.noRoom.Inc()
	}
	if a.Busy {
		m.busy.Inc()
	}
	m.requests.WithLabelValues(a.Route, a.Method, class(a.Status)).Observe(a.Took.Seconds())
}

func class(status int) string {
	switch status / 100 {
	case 1:
		return "1xx"
	case 2:
		return "2xx"
	case 3:
		return "3xx"
	case 4:
		return "4xx"
	case 5:
		return "5xx"
	}
	return "none"
}

// result is how work ended, in the words of the closed list of codes.
func result(err error) string {
	var again *cloud.Replay
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &again):
		return "replay"
	}
	return string(cloud.CodeOf(err))
}

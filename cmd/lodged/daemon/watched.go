package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"lodge/api"
	"lodge/cloud"
	"lodge/metrics"
	"lodge/traces"
)

// watched is how the operator sees into the daemon.
type watched struct {
	metrics *metrics.Metrics
	traces  *traces.Traces // nil: nobody wants them
	proof   *proof
	observe cloud.Observe
	watch   api.Watch

	scrapes http.Handler
	http    *http.Server
	tcp     net.Listener // nil: metrics have no address of their own
}

func newWatched(cfg Config) (watched, error) {
	m := metrics.New(cfg.Now, metrics.Build{Version: cfg.Version, Commit: cfg.Commit, Go: runtime.Version()})
	w := watched{metrics: m, observe: m.Observe, watch: m, proof: &proof{wall: cfg.Now}}
	t, err := openTraces(cfg)
	if err != nil || t == nil {
		return w, err
	}
	w.traces, w.observe, w.watch = t, both(m.Observe, t.Observe), watchers{m, t}
	return w, nil
}

// open asks the parts of d from now on, and listens where that is wanted.
func (w *watched) open(d *Daemon) error {
	cfg := d.cfg
	var rate rater
	from := metrics.Sources{
		Census: d.db.Census, Store: d.db.Stats, Loop: d.loop.Stats, Link: d.host.link,
		Disk:   func() (free, size uint64, err error) { return diskSpace(cfg.DataDir) },
		Ledger: d.db.LedgerStats, Sink: d.sinkState(), Backups: d.backupStats(), Rate: func(ctx context.Context) (float64, error) { return rate.now(ctx, d.db, cfg.Now()) },
		Acts:     func(ctx context.Context) (cloud.ActStats, error) { return d.db.ActStats(ctx, cfg.Now()) },
		Verified: w.proof.last,
		Now:      cfg.Now, Log: cfg.Log,
	}
	if w.traces != nil {
		from.Traces = w.traces.Stats
	}
	w.scrapes = w.metrics.Handler(from)
	if cfg.MetricsListen == "" {
		return nil
	}
	if err := metricsAddress(cfg); err != nil {
		return err
	}
	var err error
	if w.tcp, err = net.Listen("tcp", cfg.MetricsListen); err != nil {
		return fmt.Errorf("listen for scrapes on %s: %w", cfg.MetricsListen, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", w.scrapes)
	w.http = &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout, WriteTimeout: time.Minute, IdleTimeout: idleTimeout}
	return nil
}

// metricsAddress refuses to show the metrics to others by mistake.
func metricsAddress(cfg Config) error {
	host, _, err := net.SplitHostPort(cfg.MetricsListen)
	if err != nil {
		return fmt.Errorf("listen for scrapes on %s: %w", cfg.MetricsListen, err)
	}
	if a, err := netip.ParseAddr(host); cfg.MetricsOpen || err == nil && a.IsLoopback() {
		return nil
	}
	return fmt.Errorf("--metrics-listen %s is no loopback address and asks nobody for a token; add --metrics-open if that is meant, or scrape /metrics of --listen with an operator's token", cfg.MetricsListen)
}

// serve answers scrapes until shutdown.
func (w *watched) serve(served chan<- error) {
	if w.tcp != nil {
		go func() { served <- w.http.Serve(w.tcp) }()
	}
}

func (w *watched) shutdown(ctx context.Context) error {
	if w.http == nil {
		return nil
	}
	if err := w.http.Shutdown(ctx); err != nil {
		return errors.Join(err, w.http.Close())
	}
	return nil
}

// flush is how long the last spans may take.
const flush = 3 * time.Second

// Close lets go of the listener and sends the last spans.
func (w watched) Close() (err error) {
	if w.traces != nil {
		ctx, cancel := context.WithTimeout(context.Background(), flush)
		defer cancel()
		_ = w.traces.Close(ctx) // a collector that is away is no failed stop
	}
	if w.tcp == nil {
		return nil
	}
	return quiet{w.tcp}.Close()
}

// diskSpace is that of the file system that dir is on, in bytes. What is kept
// back for root is not counted: QEMU does not run as root everywhere.
func diskSpace(dir string) (free, size uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, fmt.Errorf("space of the data dir: %w", err)
	}
	return s.Bavail * uint64(s.Bsize), s.Blocks * uint64(s.Bsize), nil
}

package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lodge/cloud"
)

// askFor is how long a scrape waits for the store.
const askFor = 10 * time.Second

// asked is what the parts of lodge are asked at each scrape.
type asked struct {
	Sources
	begun time.Time
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("lodge_"+name, help, labels, nil)
}

var (
	tenants   = desc("tenants", "Tenants.")
	instances = desc("instances", "Instances by the state they were last seen in.", "state")
	images    = desc("images", "Images by state.", "state")
	problems  = desc("problems", "Objects that are not as they are wanted, by the code of their problem. Lodge tries again by itself unless the code says otherwise.", "kind", "code")
	usageLag  = desc("usage_clock_lag_seconds", "Age of the last look at the guests of a host. Usage is proven up to then.", "host")

	closedLag    = desc("usage_closed_lag_seconds", "Time since the end of the last closed hour. Hours are closed a minute after their end; 0 while none is.")
	links        = desc("usage_chain_links", "Links of the chain over the usage ledger.")
	corrections  = desc("usage_pending_corrections", "Closed hours of tenants that wait for their correction.")
	invoices     = desc("usage_invoices", "Invoices that were made.")
	costPerHour  = desc("usage_cost_per_hour", "What an hour of all that is metered now costs at the present prices, in the currency of the book. For graphs, not for bills.")
	sinkLag      = desc("usage_sink_lag_seconds", "Time since the oldest closed hour that the receiver of usage has not taken was closed; 0 when it has all.")
	sinkPending  = desc("usage_sink_pending", "Closed hours of tenants that the receiver of usage has not taken.")
	sinkSent     = desc("usage_sink_events_total", "Events that the receiver of usage has taken, at this address.")
	sinkFailures = desc("usage_sink_failures", "How often in a row the receiver of usage was tried in vain; 0 when it takes events.")

	budgets     = desc("budgets", "Budgets.")
	schedules   = desc("schedules", "Schedules.")
	webhooks    = desc("webhooks", "Webhooks.")
	inForce     = desc("budget_thresholds_in_force", "Thresholds of budgets that were crossed and not taken back, by action.", "action")
	held        = desc("held_instances", "Instances that a budget or a schedule has stopped and may start again.", "by")
	overdue     = desc("budget_overdue_seconds", "Time since the stop of a budget was due that has waited longest; 0 when none is.")
	actsTotal   = desc("acts_total", "What budgets and schedules did: crossed and lifted are thresholds, stopped and started instances.", "by", "act")
	hookPending = desc("webhook_pending", "Messages that wait for their webhooks.")
	hookFailing = desc("webhook_failing", "Messages that wait and were tried in vain.")
	hookOldest  = desc("webhook_oldest_pending_seconds", "Age of the oldest message that waits for its webhook; 0 when none does.")
	hookGivenUp = desc("webhook_given_up", "Messages that were given up in the last 24 hours.")
	verified    = desc("usage_verify_timestamp_seconds", "When the ledger was last verified since lodged was started.")
	verifyWrong = desc("usage_verify_differences", "What the last verification of the ledger found wrong.")

	databaseBytes = desc("store_database_bytes", "Size of the database without its write-ahead log.")
	walBytes      = desc("store_wal_bytes", "Size of the write-ahead log.")
	waits         = desc("store_writer_waits_total", "Changes that had to wait for another one.")
	waited        = desc("store_writer_wait_seconds_total", "Time that changes waited for others.")

	queued   = desc("reconcile_queued", "Objects that wait for a worker.")
	busy     = desc("reconcile_busy", "Objects that are worked on.")
	later    = desc("reconcile_later", "Objects that are looked at again after a while.")
	backoffs = desc("reconcile_backoffs_total", "Failures that are tried again later.")

	linkUp      = desc("libvirt_up", "1 while there is a connection to libvirt.")
	connections = desc("libvirt_connections", "Open connections to libvirt.")
	calls       = desc("libvirt_calls_in_flight", "Calls to libvirt that are under way.")
	dialed      = desc("libvirt_connections_total", "Connections to libvirt made so far.")

	spans       = desc("trace_spans_total", "Spans, by what became of them: sent, failed (the collector did not take them) or dropped (too many waited).", "result")
	spansQueued = desc("trace_spans_queued", "Spans that wait to be sent.")

	orphans = desc("orphans", "Things of lodge's on the hosts that the database does not know; lodge leaves them alone.", "kind")

	backupAge      = desc("backup_age_seconds", "Age of the newest backup; since the start when there is none.")
	backupFailed   = desc("backup_failed", "1 while the last try to make a backup failed.")
	backupFailures = desc("backup_failures_total", "Backups that failed.")
	backupBytes    = desc("backup_bytes", "Size of the newest backup.")

	diskFree = desc("disk_free_bytes", "Space for lodge on the file system of the data directory.")
	diskSize = desc("disk_size_bytes", "Size of the file system of the data directory.")
)

// Describe is for Prometheus. It names nothing, so that what is left out at one
// scrape may be there at the next.
func (a *asked) Describe(chan<- *prometheus.Desc) {}

// Collect is for Prometheus.
func (a *asked) Collect(out chan<- prometheus.Metric) {
	put := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	sum := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	if a.Census != nil {
		a.census(put)
	}
	a.usage(put, sum)
	a.acts(put, sum)
	if a.Store != nil {
		if s, err := a.Store(); a.told("store", err) {
			put(databaseBytes, float64(s.DatabaseBytes))
			put(walBytes, float64(s.WALBytes))
			sum(waits, float64(s.Waits))
			sum(waited, s.Waited.Seconds())
		}
	}
	if a.Loop != nil {
		s := a.Loop()
		put(queued, float64(s.Queued))
		put(busy, float64(s.Busy))
		put(later, float64(s.Waiting))
		sum(backoffs, float64(s.Backoffs))
	}
	if a.Link != nil {
		s := a.Link()
		up := 0.0
		if s.Up {
			up = 1
		}
		put(linkUp, up)
		put(connections, float64(s.Connections))
		put(calls, float64(s.Calls))
		sum(dialed, float64(s.Dialed))
	}
	if a.Traces != nil {
		s := a.Traces()
		sum(spans, float64(s.Sent), "sent")
		sum(spans, float64(s.Failed), "failed")
		sum(spans, float64(s.Dropped), "dropped")
		put(spansQueued, float64(s.Waiting))
	}
	if a.Backups != nil {
		s := a.Backups()
		last := s.Last
		if last.IsZero() {
			last = a.begun
		}
		put(backupAge, a.Now().Sub(last).Seconds())
		put(backupFailed, map[bool]float64{true: 1}[s.Failed])
		sum(backupFailures, float64(s.Failures))
		put(backupBytes, float64(s.Bytes))
	}
	if a.Disk != nil {
		if free, size, err := a.Disk(); a.told("disk", err) {
			put(diskFree, float64(free))
			put(diskSize, float64(size))
		}
	}
}

// told reports whether there is an answer; a failure is for the log.
func (a *asked) told(what string, err error) bool {
	if err != nil && a.Log != nil {
		a.Log.Warn("metrics", "of", what, "err", err)
	}
	return err == nil
}

func (a *asked) census(put func(*prometheus.Desc, float64, ...string)) {
	ctx, cancel := context.WithTimeout(context.Background(), askFor)
	defer cancel()
	c, err := a.Census(ctx)
	if !a.told("census", err) {
		return
	}
	put(tenants, float64(c.Tenants))
	// States that nobody is in are shown, so that a sum over time has no holes.
	for _, s := range cloud.States() {
		put(instances, float64(c.Instances[s]), string(s))
	}
	for _, s := range cloud.ImageStates() {
		put(images, float64(c.Images[s]), string(s))
	}
	for _, kind := range cloud.OrphanKinds() {
		put(orphans, float64(c.Orphans[kind]), string(kind))
	}
	for kind, codes := range c.Problems {
		for code, n := range codes {
			put(problems, float64(n), string(kind), string(code))
		}
	}
	for host, at := range c.Heartbeats {
		if !at.IsZero() {
			put(usageLag, a.Now().Sub(at).Seconds(), host)
		}
	}
}

// usage is the ledger and its receiver, all tenants together.
func (a *asked) usage(put, sum func(*prometheus.Desc, float64, ...string)) {
	ctx, cancel := context.WithTimeout(context.Background(), askFor)
	defer cancel()
	if a.Ledger != nil {
		if l, err := a.Ledger(ctx); a.told("usage ledger", err) {
			lag := 0.0
			if !l.ClosedUntil.IsZero() {
				lag = a.Now().Sub(l.ClosedUntil).Seconds()
			}
			put(closedLag, lag)
			put(links, float64(l.Links))
			put(corrections, float64(l.Pending))
			put(invoices, float64(l.Invoices))
		}
	}
	if a.Rate != nil {
		if rate, err := a.Rate(ctx); a.told("cost per hour", err) {
			put(costPerHour, rate)
		}
	}
	if a.Sink != nil {
		s, err := a.Sink(ctx)
		if !a.told("receiver of usage", err) {
			return
		}
		lag, failures := 0.0, 0.0
		if !s.Since.IsZero() {
			lag = max(0, a.Now().Sub(s.Since).Seconds())
		}
		if s.Problem != nil {
			failures = float64(s.Problem.Attempts)
		}
		put(sinkLag, lag)
		put(sinkPending, float64(s.Pending))
		sum(sinkSent, float64(s.Sent))
		put(sinkFailures, failures)
	}
}

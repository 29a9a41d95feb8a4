package metrics

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"lodge/cloud"
)

// counted is how often a kind of work was done, with what result, and how long
// it took.
type counted struct {
	took  *prometheus.HistogramVec
	ended *prometheus.CounterVec // nil: the count of took says enough
	named bool                   // whether there is more than one name
}

// kinds are the metrics of each kind of work. label is what its name is called;
// "" where there is one only.
var kinds = []struct {
	work          cloud.Work
	metric, label string
	help          string
	buckets       []float64
}{
	{cloud.WorkTransaction, "lodge_store_transaction", "", "changes of the database, the wait for the one before included", quick},
	{cloud.WorkCommit, "lodge_store_commit", "", "commits, which wait for the disk", quick},
	{cloud.WorkTurn, "lodge_reconcile_turn", "kind", "turns of reconcile, each on one object", slow},
	{cloud.WorkStep, "lodge_reconcile_step", "verb", "steps on the host", slow},
	{cloud.WorkSweep, "lodge_reconcile_sweep", "", "looks at everything", slow},
	{cloud.WorkBudget, "lodge_budget_look", "", "looks at a budget, what it did included", quick},
	{cloud.WorkCall, "lodge_libvirt_call", "call", "calls to libvirt", slow},
	{cloud.WorkClose, "lodge_usage_hour_close", "", "closed hours of usage", quick},
	{cloud.WorkDelivery, "lodge_webhook_attempt", "", "attempts to tell webhooks", slow},
	{cloud.WorkExport, "lodge_usage_sink_request", "", "requests to the receiver of usage", slow},
}

var (
	quick = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .5, 1, 5}
	slow  = []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10, 30, 120}
)

func (m *Metrics) countWork() {
	for _, k := range kinds {
		var labels []string
		if k.label != "" {
			labels = []string{k.label}
		}
		c := &counted{named: k.label != "",
			took: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: k.metric + "_duration_seconds",
				Help: "Duration of " + k.help + ".", Buckets: k.buckets}, labels),
		}
		m.registry.MustRegister(c.took)
		if k.work != cloud.WorkTurn { // a turn shows its failures in its steps and in backoffs
			c.ended = prometheus.NewCounterVec(prometheus.CounterOpts{Name: k.metric + "s_total",
				Help: "Number of " + k.help + ", by result: ok, replay or the code of the error."}, append(labels, "result"))
			m.registry.MustRegister(c.ended)
		}
		m.work[k.work] = c
	}
}

// Observe is the listener for the rooms.
func (m *Metrics) Observe(ctx context.Context, w cloud.Work, name, _ string) (context.Context, func(error)) {
	c := m.work[w]
	if c == nil {
		return ctx, func(error) {}
	}
	began := m.now()
	return ctx, func(err error) { c.end(name, m.now().Sub(began).Seconds(), result(err)) }
}

func (c *counted) end(name string, took float64, result string) {
	if !c.named {
		c.took.WithLabelValues().Observe(took)
		c.ended.WithLabelValues(result).Inc()
		return
	}
	c.took.WithLabelValues(name).Observe(took)
	if c.ended != nil {
		c.ended.WithLabelValues(name, result).Inc()
	}
}

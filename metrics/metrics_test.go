package metrics_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/metrics"
)

func scrape(t *testing.T, h http.Handler) string {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	if rec.Code != 200 {
		t.Fatalf("status %d: %s", rec.Code, rec.Body)
	}
	return rec.Body.String()
}

func wantLines(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if !strings.Contains(text, "\n"+l+"\n") {
			t.Errorf("no line %q", l)
		}
	}
}

func TestWorkIsCountedByNameAndResult(t *testing.T) {
	now := time.Unix(0, 0)
	m := metrics.New(func() time.Time { return now }, metrics.Build{Version: "1.2.3"})
	for _, err := range []error{nil, cloud.Errorf(cloud.CodeStorage, "No."), errors.New("unknown"), &cloud.Replay{}} {
		_, end := m.Observe(context.Background(), cloud.WorkStep, "define", "define 0192f0c4")
		now = now.Add(time.Second)
		end(err)
	}
	_, end := m.Observe(context.Background(), "a kind of work that nobody knows", "", "")
	end(nil)
	text := scrape(t, m.Handler(metrics.Sources{}))
	wantLines(t, text,
		`lodge_reconcile_steps_total{result="ok",verb="define"} 1`,
		`lodge_reconcile_steps_total{result="storage_failed",verb="define"} 1`,
		`lodge_reconcile_steps_total{result="internal",verb="define"} 1`,
		`lodge_reconcile_steps_total{result="replay",verb="define"} 1`,
		`lodge_reconcile_step_duration_seconds_sum{verb="define"} 4`,
		`lodge_build_info{commit="",goversion="",version="1.2.3"} 1`)
	if strings.Contains(text, "0192f0c4") {
		t.Error("an id became a label")
	}
}

func TestRequestsAreCountedByRouteAndNotByPath(t *testing.T) {
	m := metrics.New(time.Now, metrics.Build{})
	for _, c := range []struct {
		path, method, route string
		status              int
	}{
		{"/v1/instances/1", "GET", "/v1/instances/{id}", 200},
		{"/v1/instances/2", "GET", "/v1/instances/{id}", 206},
		{"/v1/instances/3", "GET", "/v1/instances/{id}", 404},
		{"/wp-login.php", "", "", 404},
		{"/v1/instances", "POST", "/v1/instances", 0},
	} {
		r := m.Begin(httptest.NewRequest("GET", c.path, nil), "id")
		m.End(r, cloud.Answered{Method: c.method, Route: c.route, Status: c.status, Took: 20 * time.Millisecond})
	}
	m.End(m.Begin(httptest.NewRequest("POST", "/", nil), "id"), cloud.Answered{Method: "POST", Route: "/v1/tokens", Status: 503, NoRoom: true})
	m.End(m.Begin(httptest.NewRequest("GET", "/", nil), "id"), cloud.Answered{Method: "GET", Route: "/v1/cost", Status: 503, Busy: true})
	m.Begin(httptest.NewRequest("GET", "/", nil), "id")
	text := scrape(t, m.Handler(metrics.Sources{}))
	wantLines(t, text,
		`lodge_http_request_duration_seconds_count{class="2xx",method="GET",route="/v1/instances/{id}"} 2`,
		`lodge_http_request_duration_seconds_count{class="4xx",method="GET",route="/v1/instances/{id}"} 1`,
		`lodge_http_request_duration_seconds_count{class="4xx",method="none",route="none"} 1`,
		`lodge_http_request_duration_seconds_count{class="none",method="POST",route="/v1/instances"} 1`,
		`lodge_http_bodies_refused_total 1`,
		`lodge_http_requests_refused_total 1`,
		`lodge_http_requests_in_flight 1`)
	if strings.Contains(text, "wp-login") {
		t.Error("a path became a label")
	}
}

// A store that does not answer costs its own metrics and no others.
func TestWhatCannotBeAskedIsLeftOut(t *testing.T) {
	m := metrics.New(time.Now, metrics.Build{})
	h := m.Handler(metrics.Sources{
		Census: func(context.Context) (cloud.Census, error) { return cloud.Census{}, errors.New("no") },
		Link:   func() cloud.LinkStats { return cloud.LinkStats{Up: true, Connections: 3} },
		Disk:   func() (uint64, uint64, error) { return 0, 0, errors.New("no") },
		Loop:   func() cloud.LoopStats { return cloud.LoopStats{Queued: 7} },
	})
	text := scrape(t, h)
	wantLines(t, text, "lodge_libvirt_up 1", "lodge_libvirt_connections 3", "lodge_reconcile_queued 7")
	for _, not := range []string{"lodge_tenants", "lodge_disk_free_bytes", "lodge_store_database_bytes"} {
		if strings.Contains(text, not) {
			t.Errorf("%s is there", not)
		}
	}
}

func TestWhatActsByItselfIsShown(t *testing.T) {
	now := time.Unix(10000, 0)
	m := metrics.New(func() time.Time { return now }, metrics.Build{})
	proven := false
	for _, w := range []cloud.Work{cloud.WorkClose, cloud.WorkDelivery, cloud.WorkExport} {
		for _, err := range []error{nil, cloud.Errorf(cloud.CodeURLFailed, "No.")} {
			_, end := m.Observe(context.Background(), w, string(w), "")
			end(err)
		}
	}
	h := m.Handler(metrics.Sources{
		Now: func() time.Time { return now },
		Acts: func(context.Context) (cloud.ActStats, error) {
			return cloud.ActStats{Budgets: 2, Schedules: 3, Webhooks: 4, InForce: map[cloud.BudgetAction]int64{cloud.BudgetStop: 1}, Held: map[cloud.Kind]int64{cloud.KindSchedule: 7},
				Acts: map[cloud.Act]int64{{By: cloud.KindBudget, What: cloud.ActCrossed}: 5}, Overdue: now.Add(-90 * time.Second), Pending: 6, Failing: 5, Oldest: now.Add(-time.Hour), GivenUp: 1}, nil
		},
		Verified: func() (time.Time, int64) {
			if !proven {
				return time.Time{}, 0
			}
			return now, 3
		},
	})
	text := scrape(t, h)
	wantLines(t, text,
		"lodge_budgets 2", "lodge_schedules 3", "lodge_webhooks 4", `lodge_budget_thresholds_in_force{action="stop"} 1`, `lodge_budget_thresholds_in_force{action="notify"} 0`,
		`lodge_held_instances{by="schedule"} 7`, `lodge_held_instances{by="budget"} 0`, `lodge_acts_total{act="crossed",by="budget"} 5`, `lodge_acts_total{act="started",by="schedule"} 0`,
		"lodge_budget_overdue_seconds 90", "lodge_webhook_pending 6", "lodge_webhook_failing 5", "lodge_webhook_oldest_pending_seconds 3600", "lodge_webhook_given_up 1",
		`lodge_webhook_attempts_total{result="ok"} 1`, `lodge_webhook_attempts_total{result="url_failed"} 1`, `lodge_usage_sink_requests_total{result="url_failed"} 1`, `lodge_usage_hour_closes_total{result="ok"} 1`)
	if strings.Contains(text, "lodge_usage_verify") {
		t.Error("a proof is shown that was never made")
	}
	proven = true
	wantLines(t, scrape(t, h), "lodge_usage_verify_differences 3", "lodge_usage_verify_timestamp_seconds 10000")
}

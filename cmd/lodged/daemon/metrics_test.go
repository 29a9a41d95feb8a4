package daemon

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"sigs.k8s.io/yaml"

	"lodge/api/client"
	"lodge/api/wire"
	"lodge/backup"
	"lodge/traces/sink"
)

// operatorClient calls over the socket.
func (s *started) operatorClient() *client.Client {
	s.t.Helper()
	c, err := client.New(s.cfg.Socket)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

// running makes an instance and waits until it runs.
func (s *started) running(c *client.Client, name string) wire.Instance {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	disk := make([]byte, 1<<20)
	disk[510], disk[511] = 0x55, 0xaa // what a disk that boots has
	_, err := c.UploadImage(ctx, wire.UploadImage{Name: "debian-12", Default: true}, bytes.NewReader(disk), int64(len(disk)), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	in, err := c.CreateInstance(ctx, wire.CreateInstance{Name: name})
	if err != nil {
		s.t.Fatal(err)
	}
	in, err = c.WaitInstance(ctx, in.ID, func(i wire.Instance) bool { return i.Settled && i.State == "running" }, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return in
}

func scrape(t *testing.T, c *http.Client, url, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// families are what a daemon on a pretend host with traces shows once an
// instance runs.
var families = []string{
	"lodge_build_info", "lodge_http_request_duration_seconds", "lodge_http_requests_in_flight",
	"lodge_reconcile_queued", "lodge_reconcile_busy", "lodge_reconcile_later", "lodge_reconcile_backoffs_total",
	"lodge_reconcile_turn_duration_seconds", "lodge_reconcile_step_duration_seconds", "lodge_reconcile_steps_total",
	"lodge_reconcile_sweep_duration_seconds", "lodge_reconcile_sweeps_total",
	"lodge_instances", "lodge_images", "lodge_tenants", "lodge_usage_closed_lag_seconds", "lodge_usage_pending_corrections", "lodge_usage_chain_links", "lodge_usage_invoices", "lodge_usage_cost_per_hour",
	"lodge_usage_sink_lag_seconds", "lodge_usage_sink_pending", "lodge_usage_sink_events_total", "lodge_usage_sink_failures",
	"lodge_usage_clock_lag_seconds",
	"lodge_budgets", "lodge_schedules", "lodge_webhooks", "lodge_budget_thresholds_in_force", "lodge_budget_overdue_seconds", "lodge_held_instances", "lodge_acts_total",
	"lodge_webhook_pending", "lodge_webhook_failing", "lodge_webhook_oldest_pending_seconds", "lodge_webhook_given_up",
	"lodge_usage_verify_differences", "lodge_usage_verify_timestamp_seconds",
	"lodge_store_transaction_duration_seconds", "lodge_store_transactions_total", "lodge_store_commit_duration_seconds",
	"lodge_store_commits_total", "lodge_store_database_bytes", "lodge_store_wal_bytes", "lodge_store_writer_waits_total",
	"lodge_store_writer_wait_seconds_total", "lodge_disk_free_bytes", "lodge_disk_size_bytes",
	"lodge_trace_spans_total", "lodge_trace_spans_queued",
	"lodge_orphans", "lodge_backup_age_seconds", "lodge_backup_failed", "lodge_backup_failures_total", "lodge_backup_bytes",
	"go_goroutines", "process_resident_memory_bytes",
}

func TestMetricsOfARunningDaemon(t *testing.T) {
	s := start(t, t.TempDir(), func(c *Config) {
		c.MetricsListen, c.OTLPEndpoint = "127.0.0.1:0", sink.New(t).URL
		c.Sink, c.SinkBatch = "http://127.0.0.1:1/", 10
		c.Backups = Backups{To: filepath.Join(t.TempDir(), "backups"), Schedule: "0 0 1 1 *", Keep: backup.Keep{Daily: 1}}
	})
	c := s.operatorClient()
	in := s.running(c, "secret-name")
	if v, err := c.VerifyUsage(context.Background(), ""); err != nil || !v.OK {
		t.Fatal(v, err)
	}
	status, text := scrape(t, http.DefaultClient, "http://"+s.watched.tcp.Addr().String()+"/metrics", "")
	if status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("promlint: %s: %s", p.Metric, p.Text)
	}
	p := expfmt.NewTextParser(model.UTF8Validation)
	got, err := p.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range families {
		if got[name] == nil {
			t.Errorf("no %s", name)
		}
	}
	for _, line := range []string{
		`lodge_instances{state="running"} 1`, `lodge_images{state="active"} 1`, `lodge_tenants 1`,
		`lodge_http_request_duration_seconds_count{class="2xx",method="POST",route="/v1/instances"} 1`,
		`lodge_reconcile_steps_total{result="ok",verb="define"} 1`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	for _, secret := range []string{in.ID, in.Name, in.TenantID, s.cfg.DataDir} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in the metrics", secret)
		}
	}
	if b, err := c.Metrics(context.Background()); err != nil || !strings.Contains(string(b), "lodge_tenants 1") {
		t.Errorf("over the socket: %v %s", err, b)
	}
	// Its own address answers nothing else.
	for _, path := range []string{"/v1/instances", "/", "/debug/pprof/"} {
		if status, _ := scrape(t, http.DefaultClient, "http://"+s.watched.tcp.Addr().String()+path, ""); status != 404 {
			t.Errorf("%s answers %d where the metrics are", path, status)
		}
	}
	addr := s.watched.tcp.Addr().String()
	s.stop()
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Error("metrics are served after the end")
	}
}

func TestMetricsOverTCPAreForOperators(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	url, ctx := "https://"+s.tcp.Addr().String()+"/metrics", context.Background()
	c, tls := s.operatorClient(), s.client()
	for _, u := range []wire.CreateUser{
		{Name: "op", Password: "a few random words", Operator: true},
		{Name: "ada", Password: "a few random words", Tenant: "default", Role: "admin"},
	} {
		if _, err := c.CreateUser(ctx, u); err != nil {
			t.Fatal(err)
		}
	}
	for user, want := range map[string]int{"": 401, "ada": 403, "op": 200} {
		token := ""
		if user != "" {
			session, err := c.Login(ctx, wire.Login{User: user, Password: "a few random words"})
			if err != nil {
				t.Fatal(err)
			}
			token = session.Token
		}
		if user == "op" { // as the docs have it
			_, made := s.call(tls, "POST", "/v1/tokens", token, `{"name":"prometheus","scope":"read","role":"operator"}`)
			token, _ = made["secret"].(string)
		}
		if status, text := scrape(t, tls, url, token); status != want || strings.Contains(text, "lodge_tenants") != (want == 200) {
			t.Errorf("%q gets %d, want %d", user, status, want)
		}
	}
}

func TestMetricsWithoutATokenAreForLoopback(t *testing.T) {
	for listen, ok := range map[string]bool{"127.0.0.1:9177": true, "[::1]:9177": true, "0.0.0.0:9177": false, ":9177": false, "192.0.2.1:9177": false, "localhost:9177": false} {
		if err := metricsAddress(Config{MetricsListen: listen}); (err == nil) != ok {
			t.Errorf("%s: %v", listen, err)
		}
		if err := metricsAddress(Config{MetricsListen: listen, MetricsOpen: true}); err != nil {
			t.Errorf("%s, open: %v", listen, err)
		}
	}
	if err := metricsAddress(Config{MetricsListen: "9177", MetricsOpen: true}); err == nil {
		t.Error("an address without a port separator is taken")
	}
}

var metricName = regexp.MustCompile(`\b(lodge_[a-z_]+|up)\b`)

// Rules that name a metric that is not there never fire.
func TestAlertsNameMetricsThatExist(t *testing.T) {
	var doc struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	b := readFile(t, filepath.Join("..", "..", "..", "docs", "alerts.yaml"))
	if err := yaml.UnmarshalStrict(b, &doc); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"up": true, "lodge_libvirt_up": true, "lodge_problems": true, "lodge_store_commit_duration_seconds_bucket": true}
	for _, f := range families {
		known[f] = true
	}
	var alerts []string
	for _, g := range doc.Groups {
		for _, r := range g.Rules {
			alerts = append(alerts, r.Alert)
			if r.Annotations["summary"] == "" || r.Annotations["description"] == "" || r.Labels["severity"] == "" {
				t.Errorf("%s says too little: %+v", r.Alert, r)
			}
			if _, err := model.ParseDuration(r.For); err != nil {
				t.Errorf("%s: for: %v", r.Alert, err)
			}
			names := metricName.FindAllString(r.Expr, -1)
			if len(names) == 0 {
				t.Errorf("%s looks at nothing: %s", r.Alert, r.Expr)
			}
			for _, n := range names {
				if !known[n] {
					t.Errorf("%s looks at %s, which there is not; there are %v", r.Alert, n, slices.Sorted(maps.Keys(known)))
				}
			}
		}
	}
	for _, a := range []string{"LodgedDown", "LodgeLibvirtAway", "LodgeProblems", "LodgeUsageLag", "LodgeHoursNotClosed", "LodgeUsageSinkLags", "LodgeUsageVerifyDiffers", "LodgeBudgetStopLate", "LodgeWebhookLags", "LodgeWebhookGivenUp", "LodgeDiskFillsUp"} {
		if !slices.Contains(alerts, a) {
			t.Errorf("no alert %s", a)
		}
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

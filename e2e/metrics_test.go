package e2e

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"lodge/traces/sink"
)

// scraped is what /metrics says: by name and labels, a histogram by its _count
// and _sum.
type scraped map[string]float64

func (l *lab) scrape() scraped {
	l.t.Helper()
	resp, err := l.http.Get("http://lodge/metrics")
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		l.t.Fatalf("metrics: %d %v", resp.StatusCode, err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	out := scraped{}
	for name, f := range families {
		for _, m := range f.Metric {
			labels := labelsOf(m)
			switch {
			case m.Histogram != nil:
				out[name+"_count"+labels] = float64(m.Histogram.GetSampleCount())
				out[name+"_sum"+labels] = m.Histogram.GetSampleSum()
			case m.Counter != nil:
				out[name+labels] = m.Counter.GetValue()
			case m.Gauge != nil:
				out[name+labels] = m.Gauge.GetValue()
			}
		}
	}
	return out
}

func labelsOf(m *dto.Metric) string {
	var all []string
	for _, l := range m.Label {
		all = append(all, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
	}
	slices.Sort(all)
	return "{" + strings.Join(all, ",") + "}"
}

// of are the series of one name that are not 0, by their labels.
func (s scraped) of(name string) map[string]float64 {
	out := map[string]float64{}
	for key, v := range s {
		if labels, ok := strings.CutPrefix(key, name+"{"); ok && v != 0 {
			out["{"+labels] = v
		}
	}
	return out
}

// since is what has come to the series of one name.
func (s scraped) since(before scraped, name string) map[string]float64 {
	out := s.of(name)
	for labels, v := range before.of(name) {
		if out[labels] -= v; out[labels] == 0 {
			delete(out, labels)
		}
	}
	return out
}

// asked counts the requests that a test sends, as lodged should.
type asked struct {
	http.RoundTripper
	count map[string]float64
}

var uuidText = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

func (a asked) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := a.RoundTripper.RoundTrip(r)
	if err == nil {
		a.count[fmt.Sprintf(`{class="%dxx",method=%q,route=%q}`, resp.StatusCode/100, r.Method, uuidText.ReplaceAllString(r.URL.Path, "{id}"))]++
	}
	return resp, err
}

// equal compares the series with what they should be.
func equal(t *testing.T, what string, got, want map[string]float64) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

func steps(verbs map[string]float64) map[string]float64 {
	out := map[string]float64{}
	for verb, n := range verbs {
		out[fmt.Sprintf(`{result="ok",verb=%q}`, verb)] = n
	}
	return out
}

func states(s scraped) map[string]float64 { return s.of("lodge_instances") }

func TestMetricsFollowTheLifeOfAnInstance(t *testing.T) {
	l := newLab(t)
	l.importTiny()
	before, began := l.scrape(), time.Now()
	count := asked{l.http.Transport, map[string]float64{`{class="2xx",method="GET",route="/metrics"}`: 1}} // the scrape before is counted since
	l.http.Transport = count
	now := func() (scraped, map[string]float64) {
		sent := maps.Clone(count.count) // a scrape is counted after it was answered
		return l.scrape(), sent
	}

	version := l.call("GET", "/v1/version", nil).body
	build := before.of("lodge_build_info")
	equal(t, "build", build, map[string]float64{fmt.Sprintf("{commit=%q,goversion=%q,version=%q}", version["commit"], version["go"], version["version"]): 1})
	equal(t, "instances before", states(before), map[string]float64{})
	equal(t, "images", before.of("lodge_images"), map[string]float64{`{state="active"}`: 1})
	equal(t, "problems before", before.of("lodge_problems"), map[string]float64{})
	equal(t, "libvirt", before.of("lodge_libvirt_up"), map[string]float64{"{}": 1})

	id := l.tiny("a")
	running, _ := now()
	equal(t, "instances", states(running), map[string]float64{`{state="running"}`: 1})
	equal(t, "steps of the create", running.since(before, "lodge_reconcile_steps_total"),
		steps(map[string]float64{"create-disk": 1, "write-seed": 1, "ensure-network": 1, "ensure-port": 1, "define": 1}))

	if a := l.call("POST", "/v1/instances/"+id+"/stop", map[string]any{"force": true}); a.status != 202 {
		t.Fatalf("stop: %d %v", a.status, a.body)
	}
	l.settled(id, "stopped")
	stopped, _ := now()
	equal(t, "instances", states(stopped), map[string]float64{`{state="stopped"}`: 1})
	equal(t, "steps of the stop", stopped.since(running, "lodge_reconcile_steps_total"), steps(map[string]float64{"power": 1}))

	l.call("POST", "/v1/instances/"+id+"/start", nil)
	l.settled(id, "running")
	again, _ := now()
	equal(t, "instances", states(again), map[string]float64{`{state="running"}`: 1})

	l.call("GET", "/v1/instances/00000000-0000-4000-8000-000000000000", nil)
	l.call("POST", "/v1/instances", "{")
	l.gone(id)
	l.eventually(time.Minute, "its network is gone", func() bool { return len(l.traces()) == 0 })
	l.eventually(time.Minute, "a sweep", func() bool { s, _ := now(); return len(s.since(before, "lodge_reconcile_sweeps_total")) > 0 })
	end, sent := now()
	took := time.Since(began).Seconds()
	equal(t, "instances at the end", states(end), map[string]float64{})
	equal(t, "steps of the delete", end.since(again, "lodge_reconcile_steps_total"),
		steps(map[string]float64{"remove-guest": 1, "remove-disk": 2, "remove-port": 1, "remove-network": 1}))
	equal(t, "requests", end.since(before, "lodge_http_request_duration_seconds_count"), sent)
	equal(t, "problems at the end", end.of("lodge_problems"), map[string]float64{})
	equal(t, "in flight", end.of("lodge_http_requests_in_flight"), map[string]float64{"{}": 1})

	// Every step and call was timed, and none took longer than all of them.
	for total, timed := range map[string]string{"lodge_reconcile_steps_total": "lodge_reconcile_step_duration_seconds", "lodge_libvirt_calls_total": "lodge_libvirt_call_duration_seconds",
		"lodge_store_commits_total": "lodge_store_commit_duration_seconds", "lodge_reconcile_sweeps_total": "lodge_reconcile_sweep_duration_seconds"} {
		var n, durations, sum float64
		for _, v := range end.since(before, total) {
			n += v
		}
		for _, v := range end.since(before, timed+"_count") {
			durations += v
		}
		for _, v := range end.since(before, timed+"_sum") {
			sum += v
		}
		if n == 0 || n != durations || sum <= 0 || sum > 16*took {
			t.Errorf("%s: %v, of them %v timed, %v s in %v s", total, n, durations, sum, took)
		}
	}
	calls := end.since(before, "lodge_libvirt_calls_total")
	for _, look := range []string{"look at guests", "look at networks"} { // as often as something rings
		labels := fmt.Sprintf(`{call=%q,result="ok"}`, look)
		if calls[labels] < 5 || calls[labels] > 100 {
			t.Errorf("%s: %v times", look, calls[labels])
		}
		delete(calls, labels)
	}
	want := map[string]float64{}
	for call, n := range map[string]float64{"ensure pool": 1, "define guest": 1, "power guest": 3, "remove guest": 1, "forget volume": 2,
		"ensure network": 1, "ensure port": 1, "remove port": 1, "remove network": 1} {
		want[fmt.Sprintf(`{call=%q,result="ok"}`, call)] = n
	}
	equal(t, "calls to libvirt", calls, want)
	// Each sweep looks at everything at once; the lab sweeps every 5 s.
	if n := end.since(before, "lodge_reconcile_sweeps_total")[`{result="ok"}`]; n < 1 || n > took/5+1 {
		t.Errorf("%v sweeps in %v s", n, took)
	}
}

var metricName = regexp.MustCompile(`\b(lodge_[a-z_]+)\b`)

// alerts lists the metrics that the rules for Prometheus look at.
func alerts(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "docs", "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(b)) {
		if expr, ok := strings.CutPrefix(strings.TrimSpace(line), "expr:"); ok {
			names = append(names, metricName.FindAllString(expr, -1)...)
		}
	}
	if len(names) < 6 {
		t.Fatalf("the rules look at %v", names)
	}
	return names
}

func TestMetricsShowWhatIsAmiss(t *testing.T) {
	l := newLab(t, "--otlp-endpoint", sink.New(t).URL, "--usage-sink", sink.New(t).URL+"/usage",
		"--backup-to", scratch(t), "--backup-schedule", "0 * * * *")
	l.importTiny()
	id := l.tiny("a")
	lag := func(s scraped) float64 {
		all := s.of("lodge_usage_clock_lag_seconds")
		if len(all) != 1 {
			t.Fatalf("hosts: %v", all)
		}
		for _, v := range all {
			return v
		}
		return 0
	}
	if v := lag(l.scrape()); v <= 0 || v > 10 { // a sweep is every 5 s
		t.Errorf("the usage clock is %v s late while all is well", v)
	}
	l.libvirtd("stop")
	l.eventually(30*time.Second, "the link is down", func() bool { return len(l.scrape().of("lodge_libvirt_up")) == 0 })
	l.eventually(30*time.Second, "the usage clock stands", func() bool { return lag(l.scrape()) > 11 })
	away := l.scrape()
	if _, ok := away["lodge_libvirt_up{}"]; !ok {
		t.Error("lodge_libvirt_up is not there while libvirt is away")
	}
	l.libvirtd("start")
	l.eventually(30*time.Second, "the link is up and the clock goes on", func() bool {
		s := l.scrape()
		return s["lodge_libvirt_up{}"] == 1 && lag(s) < 6
	})
	if a, b := away["lodge_libvirt_connections_total{}"], l.scrape()["lodge_libvirt_connections_total{}"]; b <= a {
		t.Errorf("connections made: %v, then %v", a, b)
	}

	l.call("POST", "/v1/instances/"+id+"/stop", map[string]any{"force": true})
	l.settled(id, "stopped")
	disks, _ := filepath.Glob(filepath.Join(l.dir, "disks", "*"))
	for _, d := range disks {
		if b := filepath.Base(d); !strings.HasPrefix(b, "image-") && !strings.Contains(b, "seed") {
			if err := os.Remove(d); err != nil {
				t.Fatal(err)
			}
		}
	}
	l.call("POST", "/v1/instances/"+id+"/start", nil)
	lost := `{code="disk_missing",kind="instance"}`
	l.eventually(time.Minute, "the lost disk is a problem", func() bool { return l.scrape().of("lodge_problems")[lost] == 1 })
	l.lodge("usage", "verify") // what it found is shown from then on
	shown := l.scrape()
	for _, name := range alerts(t) {
		name = strings.Replace(name, "_bucket", "_count", 1)
		if !slices.ContainsFunc(slices.Collect(maps.Keys(shown)), func(key string) bool { return strings.HasPrefix(key, name+"{") }) {
			t.Errorf("a rule looks at %s, which lodged does not show", name)
		}
	}
	l.gone(id)
	l.eventually(30*time.Second, "no problem is left", func() bool { return len(l.scrape().of("lodge_problems")) == 0 })
}

// A call to libvirt hangs below the step that made it, and that below a turn.
func TestTracesReachDownToLibvirt(t *testing.T) {
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
	to := sink.New(t)
	l := newLab(t, "--otlp-endpoint", to.URL)
	l.importTiny()
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	req, err := http.NewRequest("POST", "http://lodge/v1/instances", strings.NewReader(`{"name":"name-of-a-guest","vcpus":1,"memory_mib":128,"disk_gib":1,"user_data":"#cloud-config\n# words-of-user-data\n"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
	resp, err := l.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	id := filepath.Base(resp.Header.Get("Location"))
	l.settled(id, "running")
	post := to.Find("the POST", 10*time.Second, func(s sink.Span) bool { return s.Trace == trace && s.Server })
	if post.Name != "POST /v1/instances" || post.Attributes["http.response.status_code"] != "202" || post.Attributes["lodge.tenant_id"] != l.instance(id)["tenant_id"] {
		t.Errorf("%+v", post)
	}
	for call, step := range map[string]string{"call define guest": "step define", "call power guest": "step define", "call ensure network": "step ensure-network",
		"call ensure port": "step ensure-port", "call ensure pool": "step create-disk"} {
		to.Find(call+" below "+step, 10*time.Second, func(s sink.Span) bool {
			if s.Name != call {
				return false
			}
			for _, above := range to.Spans() {
				if above.ID == s.Parent && above.Name == step && above.Trace == s.Trace {
					return true
				}
			}
			return false
		})
	}
	to.Find("a look of the sweep", 10*time.Second, func(s sink.Span) bool {
		return strings.HasPrefix(s.Name, "call ") && slices.ContainsFunc(to.Spans(), func(a sink.Span) bool { return a.ID == s.Parent && a.Name == "sweep sweep" })
	})
	l.gone(id)
	for _, secret := range []string{"words-of-user-data", "name-of-a-guest"} {
		if to.Has(secret) {
			t.Errorf("%q is in a span", secret)
		}
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"lodge/traces/sink"
)

// traced is a lodged that sends its spans to a collector, and the operator's way
// into it.
type traced struct {
	*process
	to   *sink.Sink
	http *http.Client
}

func startTraced(t *testing.T) *traced {
	t.Helper()
	// A tenth of what is usual, so that no test waits for long.
	for name, ms := range map[string]string{"OTEL_BSP_SCHEDULE_DELAY": "200", "OTEL_BSP_EXPORT_TIMEOUT": "1000", "OTEL_EXPORTER_OTLP_TIMEOUT": "500"} {
		t.Setenv(name, ms)
	}
	to := sink.New(t)
	p := startProcess(t, "--otlp-endpoint", to.URL)
	socket := ""
	for i, a := range p.cmd.Args {
		if a == "--socket" {
			socket = p.cmd.Args[i+1]
		}
	}
	if !filepath.IsAbs(socket) {
		t.Fatalf("socket %q", socket)
	}
	tr := &http.Transport{MaxIdleConnsPerHost: 8, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &traced{process: p, to: to, http: &http.Client{Transport: tr, Timeout: 30 * time.Second}}
}

// ask sends a request, in a trace of the caller's when one is named.
func (p *traced) ask(method, path, trace, body string) (status int, answer []byte, err error) {
	req, err := http.NewRequest(method, "http://lodge"+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if trace != "" {
		req.Header.Set("traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

// spans reads what became of the spans, as an operator does.
func (p *traced) spans() (sent, failed, dropped, queued int) {
	p.t.Helper()
	status, text, err := p.ask("GET", "/metrics", "", "")
	if err != nil || status != 200 {
		p.t.Fatalf("metrics: %d %v", status, err)
	}
	read := func(name string) int {
		_, rest, ok := strings.Cut(string(text), "\n"+name+" ")
		line, _, _ := strings.Cut(rest, "\n")
		n, err := strconv.ParseFloat(line, 64)
		if !ok || err != nil {
			p.t.Fatalf("no %s", name)
		}
		return int(n)
	}
	return read(`lodge_trace_spans_total{result="sent"}`), read(`lodge_trace_spans_total{result="failed"}`),
		read(`lodge_trace_spans_total{result="dropped"}`), read("lodge_trace_spans_queued")
}

const (
	itsTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	badTrace = "4bf92f3577b34da6a3ce929d0e0e4737"
)

func TestTheSpansOfARequestAndOfItsWork(t *testing.T) {
	p := startTraced(t)
	disk := make([]byte, 1<<20)
	disk[510], disk[511] = 0x55, 0xaa
	resp, err := p.http.Post("http://lodge/v1/images?name=debian-12&default=true", "application/octet-stream", bytes.NewReader(disk))
	if err != nil || resp.StatusCode/100 != 2 {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
	const sshKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1y4K0C8m4RQW8p1zM3yV1H0m3sS7c2rVfQd0q8uY2k"
	status, answer, err := p.ask("POST", "/v1/instances", itsTrace, `{"name":"name-of-a-guest","user_data":"#cloud-config\n# words-of-user-data\n","ssh_keys":["`+sshKey+`"],"labels":{"label-key":"label-text"}}`)
	if err != nil || status != 202 {
		t.Fatalf("%d %s %v", status, answer, err)
	}
	var made struct {
		ID       string
		TenantID string `json:"tenant_id"`
	}
	if err := json.Unmarshal(answer, &made); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := p.ask("POST", "/v1/instances", badTrace, `{"name":""}`); status/100 != 4 {
		t.Errorf("a bad request gets %d", status)
	}
	token := p.login()
	req, _ := http.NewRequest("GET", p.url("/v1/instances/"+made.ID), nil)
	req.Header.Set("Authorization", "Bearer "+token)
	if resp, err := p.client(false).Do(req); err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}

	post := p.to.Find("the POST", 10*time.Second, func(s sink.Span) bool { return s.Trace == itsTrace && s.Server })
	if post.Name != "POST /v1/instances" || post.Parent != "00f067aa0ba902b7" || post.Failed {
		t.Errorf("%+v", post)
	}
	for key, want := range map[string]string{"http.request.method": "POST", "http.route": "/v1/instances", "http.response.status_code": "202", "lodge.tenant_id": made.TenantID} {
		if post.Attributes[key] != want || want == "" {
			t.Errorf("%s is %q, not %q", key, post.Attributes[key], want)
		}
	}
	change := p.to.Find("its change of the database", 5*time.Second, func(s sink.Span) bool { return s.Parent == post.ID && strings.HasPrefix(s.Name, "transaction ") })
	p.to.Find("the commit", 5*time.Second, func(s sink.Span) bool {
		return s.Parent == change.ID && s.Name == "commit commit" && s.Trace == itsTrace
	})
	bad := p.to.Find("the bad request", 5*time.Second, func(s sink.Span) bool { return s.Trace == badTrace && s.Server })
	if bad.Attributes["http.response.status_code"] != "400" || bad.Failed {
		t.Errorf("%+v", bad)
	}
	p.to.Find("the read over TLS", 5*time.Second, func(s sink.Span) bool {
		return s.Name == "GET /v1/instances/{id}" && s.Attributes["lodge.tenant_id"] == made.TenantID
	})

	// The work on the host is traces of its own: a turn, its steps below.
	define := p.to.Find("the step that defines the guest", 20*time.Second, func(s sink.Span) bool {
		return s.Name == "step define" && strings.Contains(s.Attributes["lodge.detail"], made.ID)
	})
	turn := p.to.Find("its turn", 5*time.Second, func(s sink.Span) bool { return s.ID == define.Parent })
	if turn.Name != "turn instance" || turn.Attributes["lodge.detail"] != made.ID || turn.Trace != define.Trace || turn.Parent != "" {
		t.Errorf("%+v above %+v", turn, define)
	}
	p.to.Find("a sweep", 5*time.Second, func(s sink.Span) bool { return s.Name == "sweep sweep" })
	for _, secret := range []string{token, p.password, "words-of-user-data", sshKey[20:60], "name-of-a-guest", "label-text", "label-key", "Bearer"} {
		if p.to.Has(secret) {
			t.Errorf("%q is in a span", secret)
		}
	}
}

// burst sends n reads at 8 connections, and gives the slowest of each hundred
// and the time of all.
func (p *traced) burst(n int) (slowest, all time.Duration) {
	p.t.Helper()
	var mu sync.Mutex
	var took []time.Duration
	var wg sync.WaitGroup
	began := time.Now()
	for range 8 {
		wg.Go(func() {
			for range n / 8 {
				start := time.Now()
				status, _, err := p.ask("GET", "/v1/flavors", "", "")
				if err != nil || status != 200 {
					p.t.Errorf("%d %v", status, err)
					return
				}
				mu.Lock()
				took = append(took, time.Since(start))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	all = time.Since(began)
	slices.Sort(took)
	return took[len(took)*99/100], all
}

// Whatever the collector does, requests are answered as fast, memory stays
// within bounds, every span is accounted for, and it is used again once it is
// well.
func TestAnIllCollectorCostsSpansOnly(t *testing.T) {
	p := startTraced(t)
	const n = 6000 // three times what waits at most
	p.burst(n)     // warm
	slow, all := p.burst(n)
	t.Logf("well: 99 of 100 within %s, all in %s", slow, all)
	for i, ill := range []struct {
		name string
		be   sink.Health
	}{{"down", sink.Down}, {"503", sink.Refuses}, {"hangs", sink.Hangs}} {
		p.to.Be(ill.be)
		before := p.status("VmRSS")
		_, failed, dropped, _ := p.spans()
		slowIll, allIll := p.burst(n)
		t.Logf("%s: 99 of 100 within %s, all in %s", ill.name, slowIll, allIll)
		if slowIll > 4*slow+100*time.Millisecond || allIll > 3*all+2*time.Second {
			t.Errorf("%s: 99 of 100 reads within %s and all in %s, against %s and %s beside a collector that is well", ill.name, slowIll, allIll, slow, all)
		}
		if grown := p.status("VmRSS") - before; grown > 24<<10 {
			t.Errorf("%s: %d KiB more are used", ill.name, grown)
		}
		_, failed2, dropped2, queued := p.spans()
		// Whether a span waits in vain or finds no room depends on the machine's speed;
		// it is counted as lost either way.
		if lost := failed2 - failed + dropped2 - dropped; lost+queued < n-2100 || queued > 2048 {
			t.Errorf("%s: of %d spans %d are lost and %d wait", ill.name, n, lost, queued)
		}
		p.to.Be(sink.Well)
		sent, _, _, _ := p.spans()
		trace := fmt.Sprintf("4bf92f3577b34da6a3ce929d0e0e48%02x", i)
		seen := func(s sink.Span) bool { return s.Trace == trace }
		for end := time.Now().Add(20 * time.Second); !slices.ContainsFunc(p.to.Spans(), seen); time.Sleep(50 * time.Millisecond) {
			if _, _, err := p.ask("GET", "/v1/flavors", trace, ""); err != nil {
				t.Fatal(err)
			}
			if time.Now().After(end) {
				t.Fatalf("%s: nothing arrives once the collector is well", ill.name)
			}
		}
		again := 0
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			before := len(p.to.Spans())
			again, _, _, _ = p.spans()
			if after := len(p.to.Spans()); before == again && again == after {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%s: lodged counts %d sent spans and the collector has %d", ill.name, again, len(p.to.Spans()))
			}
		}
		if again <= sent {
			t.Errorf("%s: sent spans stay at %d", ill.name, again)
		}
	}
}

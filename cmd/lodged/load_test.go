package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Five hundred clients of twenty users in five tenants read and write side by side: 4 of 5
// requests read, the others make, change, switch and delete instances, or ask in a
// dry run. What is answered is what the documentation has: nothing but success, the conflicts of
// people who share things, and the limit of requests. Memory does not grow with
// time, and when all have gone nothing of them is left.
//
// LODGE_LOAD says for how long (make load: 3m); the rates are in the output.
func TestFiveHundredClients(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it takes half a minute")
	}
	long := 15 * time.Second
	if s := os.Getenv("LODGE_LOAD"); s != "" {
		var err error
		if long, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	p := startProcess(t, "--plain-http", "--vcpu-overcommit", "1000")
	root := p.login()
	p.upload(root)
	var tokens []string
	for n := range 20 {
		tenant := fmt.Sprintf("tenant%d", n%5) // a network of one has 253 addresses
		if n < 5 {
			p.post(root, "/v1/tenants", `{"name":"`+tenant+`"}`).want(t, 201)
		}
		tokens = append(tokens, p.userOf(tenant, root, fmt.Sprintf("user%d", n)))
	}
	idle := p.vitals(root)

	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	var all tallies
	var people sync.WaitGroup
	for n := range 500 {
		people.Go(func() {
			c := &loader{p: p, http: p.clientFrom(n % len(tokens)), token: tokens[n%len(tokens)], rand: rand.New(rand.NewPCG(7, uint64(n))), name: fmt.Sprintf("c%d", n), tries: n >= 150}
			defer c.http.CloseIdleConnections()
			for ctx.Err() == nil {
				c.act(ctx, &all)
			}
			c.leave()
		})
	}
	time.Sleep(long / 3)
	early := p.vitals(root)
	people.Wait()
	late := p.vitals(root)
	var after vitals
	for end := time.Now().Add(90 * time.Second); ; time.Sleep(time.Second) { // the host is still deleting
		if after = p.vitals(root); after.like(idle) || time.Now().After(end) {
			break
		}
	}

	t.Logf("%s; with 500 clients: %s; at their end: %s; idle before: %s; after: %s", all.text(long), early, late, idle, after)
	for what, n := range all.odd {
		t.Errorf("%d times %s", n, what)
	}
	if len(all.took) < 1000 {
		t.Errorf("only %d answers: nothing was shown", len(all.took))
	}
	if late.rss > early.rss+40<<10 {
		t.Errorf("memory grew from %d to %d KiB", early.rss, late.rss)
	}
	if !after.like(idle) {
		t.Errorf("left behind: %d goroutines where there were %d, %d files where there were %d", after.goroutines, idle.goroutines, after.files, idle.files)
	}
}

// loader is one client.
type loader struct {
	p     *process
	http  *http.Client
	token string
	rand  *rand.Rand
	name  string
	tries bool   // it makes nothing and asks what would be
	full  bool   // it is told to come again when there is too much to do
	own   string // the instance that it has; "": none
	n     int
}

func (c *loader) act(ctx context.Context, all *tallies) {
	if c.rand.IntN(5) > 0 {
		paths := []string{"/v1/instances?limit=20", "/v1/instances?name_prefix=" + c.name, "/v1/operations?limit=20", "/v1/events?limit=20", "/v1/whoami", "/v1/networks", "/v1/usage", "/v1/cost"}
		if c.own != "" {
			paths = append(paths, "/v1/instances/"+c.own, "/v1/usage?instance="+c.own)
		}
		c.ask(ctx, all, "GET", paths[c.rand.IntN(len(paths))], "")
		return
	}
	if c.tries { // checked to the end in a transaction that is taken back
		c.ask(ctx, all, "POST", "/v1/instances?dry_run=true", `{"name":"`+c.name+`","vcpus":1,"memory_mib":64,"disk_gib":1}`)
		return
	}
	if c.own == "" {
		c.n++
		if status, b := c.ask(ctx, all, "POST", "/v1/instances", fmt.Sprintf(`{"name":"%s-%d","vcpus":1,"memory_mib":64,"disk_gib":1}`, c.name, c.n)); status == 202 {
			var made struct{ ID string }
			if json.Unmarshal(b, &made) == nil {
				c.own = made.ID
			}
		}
		return
	}
	switch c.rand.IntN(4) {
	case 0:
		c.ask(ctx, all, "POST", "/v1/instances/"+c.own+"/stop", `{"force":true}`)
	case 1:
		c.ask(ctx, all, "POST", "/v1/instances/"+c.own+"/start", "")
	case 2:
		c.ask(ctx, all, "PATCH", "/v1/instances/"+c.own, `{"labels":{"n":"`+strconv.Itoa(c.rand.IntN(100))+`"}}`)
	case 3:
		if status, _ := c.ask(ctx, all, "DELETE", "/v1/instances/"+c.own, ""); status == 202 {
			c.own = ""
		}
	}
}

// leave deletes what the client has, whatever it takes.
func (c *loader) leave() {
	for c.own != "" {
		if status, _ := c.ask(context.Background(), &tallies{}, "DELETE", "/v1/instances/"+c.own, ""); status == 202 || status == 404 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (c *loader) ask(ctx context.Context, all *tallies, method, path, body string) (int, []byte) {
	req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), method, c.p.url(path), strings.NewReader(body))
	if err != nil {
		all.add(err.Error(), 0, false)
		return 0, nil
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	start := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		all.add(method+" "+err.Error(), 0, true)
		return 0, nil
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	took := time.Since(start)
	switch {
	case err != nil:
		all.add(method+" "+err.Error(), took, true)
	case resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") != "":
		all.add("429", 0, false)
		time.Sleep(200 * time.Millisecond)
	case c.full && resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "":
		all.add("503", 0, false)
		time.Sleep(200 * time.Millisecond)
	case resp.StatusCode < 300, resp.StatusCode == http.StatusConflict:
		what := strconv.Itoa(resp.StatusCode)
		if resp.StatusCode == http.StatusConflict {
			var e struct{ Code string }
			_ = json.Unmarshal(b, &e)
			what += " " + e.Code
		}
		all.add(what, took, false)
	default:
		all.add(fmt.Sprintf("%s %s: %d %s", method, strings.Split(path, "?")[0], resp.StatusCode, bytes.TrimSpace(b[:min(len(b), 200)])), took, true)
	}
	return resp.StatusCode, b
}

// tallies are what the clients have seen.
type tallies struct {
	mu   sync.Mutex
	took []time.Duration // without what was limited
	seen map[string]int
	odd  map[string]int
}

func (a *tallies) add(what string, took time.Duration, odd bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seen == nil {
		a.seen, a.odd = map[string]int{}, map[string]int{}
	}
	if odd {
		a.odd[what]++
		return
	}
	a.seen[what]++
	if took > 0 {
		a.took = append(a.took, took)
	}
}

func (a *tallies) text(long time.Duration) string {
	slices.Sort(a.took)
	f := figures{took: a.took}
	return fmt.Sprintf("%d answers in %s, %.0f/s, by status %v; half within %s, 99%% within %s, all within %s", len(a.took), long,
		float64(len(a.took))/long.Seconds(), a.seen, f.at(0.5).Round(time.Millisecond), f.at(0.99).Round(time.Millisecond), f.at(1).Round(time.Millisecond))
}

// clientFrom is a client with an address of its own on loopback: lodged takes 256
// connections of one.
func (p *process) clientFrom(n int) *http.Client {
	c := p.client(true)
	c.Timeout = 2 * time.Minute // how long it takes is measured, not judged
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(n+1))}}
	c.Transport.(*http.Transport).DialContext = dialer.DialContext
	return c
}

// vitals are what leaks show in.
type vitals struct{ rss, goroutines, files int }

func (v vitals) String() string {
	return fmt.Sprintf("%d MiB, %d goroutines, %d files", v.rss>>10, v.goroutines, v.files)
}

// like reports whether nothing is left that was not there before.
func (v vitals) like(before vitals) bool {
	return v.goroutines <= before.goroutines+10 && v.files <= before.files+10
}

func (p *process) vitals(token string) vitals {
	p.t.Helper()
	return vitals{p.status("VmRSS"), p.metric(token, "go_goroutines"), p.files()}
}

// upload gives the pretend host an image that all may use.
func (p *process) upload(token string) {
	p.t.Helper()
	raw := make([]byte, 1<<20)
	raw[510], raw[511] = 0x55, 0xaa
	req, err := http.NewRequest("POST", p.url("/v1/images?name=any&public=true&default=true"), bytes.NewReader(raw))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := p.client(false).Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); resp.StatusCode >= 300 {
		p.t.Fatalf("upload: %d %s", resp.StatusCode, b)
	}
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// crowds are what users of many clients each ask for: far more than lodged can do.
var crowds = []struct {
	what  string
	users int
}{{"lists", 2}, {"reports", 2}, {"changes", 2}}

const (
	crowdEach = 300 // clients of a user
	crowdLong = 6 * time.Second
)

// Eighteen hundred clients of six users ask for lists, reports and changes without
// a limit of requests, as soon as they are answered. Each is answered, or told when
// to come again. All the while lodged says at once that it is well, another user is
// served, and an instance of it runs; and when they have gone nothing of them is
// left.
func TestACrowdIsToldToComeAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it takes a quarter of a minute")
	}
	p := startProcess(t, "--plain-http", "--rate-limit", "0", "--vcpu-overcommit", "1000")
	root := p.login()
	p.upload(root)
	ann := p.user(root, "ann")
	idle := p.vitals(root)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var people sync.WaitGroup
	seen, n := make([]tallies, len(crowds)), 0
	type user struct {
		n          int // of all
		kind       int
		token, own string
	}
	var users []user
	for kind, crowd := range crowds {
		for range crowd.users {
			token := p.userOf("default", root, fmt.Sprintf("user%d", n))
			own, _ := p.untilRuns(token, fmt.Sprintf("vm%d", n))
			users = append(users, user{n, kind, token, own})
			n++
		}
	}
	for _, u := range users {
		for c := range crowdEach {
			one := &loader{p: p, http: p.clientFrom(2*u.n + c%2), token: u.token, rand: rand.New(rand.NewPCG(9, uint64(c))), name: "new", own: u.own, full: true}
			people.Go(func() {
				defer one.http.CloseIdleConnections()
				for ctx.Err() == nil {
					one.much(ctx, &seen[u.kind], crowds[u.kind].what)
				}
			})
		}
	}
	var quiet, health tallies
	people.Go(func() { // one who asks for little
		c := &loader{p: p, http: p.clientFrom(100), token: ann, full: true}
		defer c.http.CloseIdleConnections()
		for ctx.Err() == nil {
			c.ask(ctx, &quiet, "GET", "/v1/instances", "")
			c.ask(ctx, &quiet, "POST", "/v1/instances?dry_run=true", `{"name":"one","vcpus":1,"memory_mib":64,"disk_gib":1}`)
			c.ask(ctx, &quiet, "GET", "/v1/usage", "")
			time.Sleep(20 * time.Millisecond)
		}
	})
	people.Go(func() {
		c := &loader{p: p, http: p.clientFrom(101), token: ann}
		defer c.http.CloseIdleConnections()
		for ctx.Err() == nil {
			c.ask(ctx, &health, "GET", "/healthz", "")
			c.ask(ctx, &health, "GET", "/readyz", "")
			time.Sleep(20 * time.Millisecond)
		}
	})
	end := time.Now().Add(crowdLong)
	time.Sleep(crowdLong / 3)
	_, running := p.untilRuns(ann, "web1")
	most := p.vitals(root)
	time.Sleep(time.Until(end))
	cancel()
	people.Wait()

	refused := quiet.seen["503"]
	for kind, crowd := range crowds {
		t.Logf("%s: %s", crowd.what, seen[kind].text(crowdLong))
		refused += seen[kind].seen["503"]
		if seen[kind].seen["503"] == 0 || len(seen[kind].took) == 0 {
			t.Errorf("%s: nothing was shown: %v", crowd.what, seen[kind].seen)
		}
	}
	t.Logf("one who asks for little: %s; an instance of it ran after %s", quiet.text(crowdLong), running.Round(time.Millisecond))
	t.Logf("health: %s", health.text(crowdLong))
	for _, a := range []*tallies{&seen[0], &seen[1], &seen[2], &quiet, &health} {
		for what, n := range a.odd {
			t.Errorf("%d times %s", n, what)
		}
	}
	if told := quiet.seen["503"]; told*5 > len(quiet.took) || len(quiet.took) == 0 {
		t.Errorf("who asks for little was sent away %d times and served %d times", told, len(quiet.took))
	}
	if f := (&figures{took: health.took}); len(health.took) < 2 || f.at(1) > 4*time.Second {
		t.Errorf("%d words of health", len(health.took))
	}
	if running > 15*time.Second {
		t.Errorf("an instance ran after %s", running)
	}
	if peak := p.status("VmHWM"); peak > 256<<10 {
		t.Errorf("lodged took %d MiB", peak>>10)
	}

	p.untilRuns(users[0].token, "again")
	var after vitals
	for end := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		if after = p.vitals(root); after.like(idle) || time.Now().After(end) {
			break
		}
	}
	t.Logf("idle %s; with the crowd %s, at most %d MiB; after %s", idle, most, p.status("VmHWM")>>10, after)
	if !after.like(idle) {
		t.Errorf("left behind: %d goroutines where there were %d, %d files where there were %d", after.goroutines, idle.goroutines, after.files, idle.files)
	}
	if n := p.metric(root, "lodge_http_requests_refused_total"); n < refused { // untilRuns has seen some, too
		t.Errorf("%d refusals are counted, and %d were seen", n, refused)
	}
}

// much is one of the things that a crowd asks for.
func (c *loader) much(ctx context.Context, all *tallies, what string) {
	switch what {
	case "lists":
		c.ask(ctx, all, "GET", []string{"/v1/instances?limit=100", "/v1/operations?limit=100", "/v1/events?limit=100"}[c.rand.IntN(3)], "")
	case "reports":
		c.ask(ctx, all, "GET", []string{"/v1/usage", "/v1/cost", "/v1/usage?by=instance"}[c.rand.IntN(3)], "")
	case "changes":
		if c.rand.IntN(2) == 0 {
			c.ask(ctx, all, "PATCH", "/v1/instances/"+c.own, fmt.Sprintf(`{"labels":{"n":"%d"}}`, c.rand.IntN(100)))
			return
		}
		c.ask(ctx, all, "POST", "/v1/instances?dry_run=true", `{"name":"`+c.name+`","vcpus":1,"memory_mib":64,"disk_gib":1}`)
	}
}

// untilRuns makes an instance and says how long that took until it ran.
func (p *process) untilRuns(token, name string) (id string, took time.Duration) {
	p.t.Helper()
	start := time.Now()
	var made struct{ ID, State string }
	for ; made.State != "running"; time.Sleep(20 * time.Millisecond) {
		if time.Since(start) > time.Minute {
			p.t.Fatalf("an instance is %q after a minute", made.State)
		}
		var a posted
		if made.ID == "" {
			a = p.post(token, "/v1/instances", `{"name":"`+name+`","vcpus":1,"memory_mib":64,"disk_gib":1}`)
		} else {
			a = p.get(token, "/v1/instances/"+made.ID)
		}
		if a.status >= 300 && a.status != http.StatusServiceUnavailable {
			p.t.Fatalf("an instance: %d %s", a.status, a.body)
		}
		if a.status < 300 {
			if err := json.Unmarshal(a.body, &made); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	return made.ID, time.Since(start)
}

func (p *process) get(token, path string) posted {
	p.t.Helper()
	req, err := http.NewRequest("GET", p.url(path), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := p.client(false).Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return posted{resp.StatusCode, b}
}

// metric is a number of the metrics.
func (p *process) metric(token, name string) int {
	p.t.Helper()
	a := p.get(token, "/metrics")
	_, rest, found := strings.Cut(string(a.body), "\n"+name+" ")
	if !found {
		p.t.Fatalf("no %s in %d bytes of metrics, status %d", name, len(a.body), a.status)
	}
	n, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return int(n)
}

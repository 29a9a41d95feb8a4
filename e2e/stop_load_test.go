package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// lodged is told to stop while 150 clients read, write, wait for operations and
// follow events. Whoever had sent a request is answered, or finds the connection
// closed and was promised nothing; the process ends by itself, in its time and with
// 0. The next one does what was promised, and nothing twice: that is read from
// virsh, the file systems and the database file.
func TestAStopUnderLoadLosesNothing(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	l := newLab(t, "--vcpu-overcommit", "64", "--listen", free.Addr().String(), "--plain-http", "--rate-limit", "0")
	l.halting()
	u := &busy{
		chaos: &chaos{lab: l, t: t, tenants: []string{"default", "acme"}, made: map[string]string{}, removed: map[string]bool{}, power: map[string]string{}},
		url:   "http://" + free.Addr().String(), promised: map[string]bool{}, named: map[string]string{}, odd: map[string]int{},
	}
	l.lodge("tenant", "create", "acme")
	for _, tenant := range u.tenants {
		a := l.call("POST", "/v1/tokens", map[string]any{"name": "load", "role": "admin", "tenant": tenant})
		if a.status != 201 {
			t.Fatalf("a token: %d %v", a.status, a.body)
		}
		u.tokens = append(u.tokens, a.body["secret"].(string))
	}

	var people sync.WaitGroup
	for n := range 150 {
		people.Go(func() { u.client(n) })
	}
	time.Sleep(2 * time.Second)
	l.eventually(time.Minute, "much is under way", func() bool {
		u.mu.Lock()
		defer u.mu.Unlock()
		return u.answers.Load() >= 500 && len(u.promised) >= 20
	})
	begin := time.Now()
	u.told = begin
	u.stopping.Store(true)
	l.stop()
	took := time.Since(begin)
	people.Wait()
	t.Logf("stopped within %s; %d answers, %d of them behind the word, %d requests not taken, %d streams and %d waits ended by it; %d operations and %d instances promised, %d of their deletions",
		took.Round(time.Millisecond), u.answers.Load(), u.late.Load(), u.refused.Load(), u.streams.Load(), u.waits.Load(), len(u.promised), len(u.made), len(u.removed))
	if code := l.daemon.ProcessState.ExitCode(); code != 0 {
		t.Errorf("lodged ended with %d", code)
	}
	if took > 15*time.Second {
		t.Errorf("lodged took %s to stop", took)
	}
	for what, n := range u.odd {
		t.Errorf("%d times %s", n, what)
	}
	if u.streams.Load() < 20 || u.waits.Load() == 0 {
		t.Error("nothing was shown: too little was under way")
	}
	log, err := os.ReadFile(l.logFile())
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(log), "\n") {
		// A turn that a slow machine does not end in time is left to the next start.
		left := strings.Contains(line, "context canceled")
		if strings.Contains(line, "level=ERROR") && !left || strings.Contains(line, "cut off") {
			t.Errorf("in the log: %s", line)
		}
	}

	l.start()
	l.eventually(2*time.Minute, "every instance is as it was asked to be", func() bool {
		for _, i := range u.all() {
			if i["settled"] != true || i["problem"] != nil || i["state"] != i["power"] {
				return false
			}
		}
		return true
	})
	for id := range u.promised {
		o := l.call("GET", "/v1/operations/"+id+"?wait=30s", nil)
		if o.status != 200 || o.body["state"] == "running" {
			t.Errorf("operation %s was promised: %d %v", id, o.status, o.body)
		}
	}
	u.settle()
	u.look()
	if out, code := l.lodgeCode("usage", "verify"); code != 0 {
		t.Errorf("the ledger verifies: %s", out)
	}
}

// busy is a lab under load.
type busy struct {
	*chaos
	url      string
	tokens   []string // of the tenants
	stopping atomic.Bool
	told     time.Time // when it was told to stop; read it behind stopping

	answers, late, refused, streams, waits atomic.Int64

	// With the chaos's lock:
	promised map[string]bool   // operations
	named    map[string]string // instances that may have been made without an answer, by name: the tenant
	unsure   []string          // instances of which a change was not answered
	odd      map[string]int
}

func (u *busy) is(odd string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.odd[odd]++
}

// client is one of them, until lodged takes nothing more.
func (u *busy) client(n int) {
	c := &http.Client{Transport: &http.Transport{}, Timeout: 40 * time.Second}
	defer c.CloseIdleConnections()
	token, r := u.tokens[n%2], rand.New(rand.NewPCG(3, uint64(n)))
	own := ""
	for gone := false; !gone; {
		switch {
		case n < 24:
			gone = u.follow(c, token)
		case n < 48:
			gone = u.wait(c, token, r)
		case n < 64:
			own, gone = u.write(c, n, own, r)
		case n < 100:
			_, _, gone = u.send(c, token, "POST", "/v1/instances?dry_run=true", `{"name":"try","vcpus":1,"memory_mib":64,"disk_gib":1}`)
		default:
			paths := []string{"/v1/instances?limit=20", "/v1/operations?limit=50", "/v1/usage", "/v1/cost", "/v1/whoami", "/v1/events?limit=50"}
			_, _, gone = u.send(c, token, "GET", paths[r.IntN(len(paths))], "")
		}
		time.Sleep(time.Duration(r.IntN(50)) * time.Millisecond)
	}
}

// send sends a request. gone says that lodged takes none any more.
func (u *busy) send(c *http.Client, token, method, path, body string) (status int, out map[string]any, gone bool) {
	req, err := http.NewRequest(method, u.url+path, strings.NewReader(body))
	if err != nil {
		u.is(err.Error())
		return 0, nil, true
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	before, begin := u.stopping.Load(), time.Now()
	resp, err := c.Do(req)
	if err != nil {
		// What was sent long before, lodged had begun with.
		if !u.stopping.Load() || u.told.Sub(begin) > time.Second {
			u.is(method + " " + err.Error())
		}
		u.refused.Add(1)
		return 0, nil, true
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || json.Unmarshal(b, &out) != nil {
		u.is(fmt.Sprintf("half an answer to %s %s: %d, %d bytes, %v", method, strings.Split(path, "?")[0], resp.StatusCode, len(b), err))
		return resp.StatusCode, nil, true
	}
	u.answers.Add(1)
	if before {
		u.late.Add(1)
	}
	switch s := resp.StatusCode; {
	case s < 300, s == http.StatusConflict, s == http.StatusNotFound && method == "GET":
	case s == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "":
	default:
		u.is(fmt.Sprintf("%s %s: %d %s", method, strings.Split(path, "?")[0], s, b))
	}
	if id, ok := strings.CutPrefix(resp.Header.Get("Operation-Location"), "/v1/operations/"); ok && resp.StatusCode == http.StatusAccepted {
		u.mu.Lock()
		u.promised[id] = true
		u.mu.Unlock()
	}
	return resp.StatusCode, out, false
}

// write makes, changes and deletes an instance of the client's own.
func (u *busy) write(c *http.Client, n int, own string, r *rand.Rand) (string, bool) {
	tenant, token := u.tenants[n%2], u.tokens[n%2]
	if own == "" {
		u.mu.Lock()
		u.n++
		name, power := fmt.Sprintf("vm%d", u.n), []string{"running", "stopped"}[u.n%2]
		u.named[name] = tenant
		u.mu.Unlock()
		status, out, gone := u.send(c, token, "POST", "/v1/instances", `{"name":"`+name+`","vcpus":1,"memory_mib":64,"disk_gib":1,"power":"`+power+`"}`)
		u.mu.Lock()
		defer u.mu.Unlock()
		if status != 0 {
			delete(u.named, name)
		}
		if status != http.StatusAccepted {
			return "", gone
		}
		own = out["id"].(string)
		u.made[own], u.power[own] = tenant, power
		return own, gone
	}
	path := "/v1/instances/" + own
	one := []struct{ method, path, body, power string }{
		{"POST", path + "/start", "", "running"},
		{"POST", path + "/stop", `{"force":true}`, "stopped"},
		{"PATCH", path, `{"labels":{"n":"` + fmt.Sprint(r.IntN(100)) + `"}}`, ""},
		{"PATCH", path, `{"labels":{"m":"` + fmt.Sprint(r.IntN(100)) + `"}}`, ""},
		{"DELETE", path, "", "gone"},
	}[r.IntN(5)]
	status, _, gone := u.send(c, token, one.method, one.path, one.body)
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case status == 0:
		u.unsure = append(u.unsure, own)
	case status >= 300 || one.power == "":
	case one.power == "gone":
		u.removed[own] = true
		return "", gone
	default:
		u.power[own] = one.power
	}
	return own, gone
}

// wait waits for an operation that somebody was promised.
func (u *busy) wait(c *http.Client, token string, r *rand.Rand) (gone bool) {
	_, out, gone := u.send(c, token, "GET", "/v1/operations?state=running&limit=50", "")
	items, _ := out["items"].([]any)
	if len(items) == 0 {
		return gone
	}
	before := u.stopping.Load()
	id := items[r.IntN(len(items))].(map[string]any)["id"].(string)
	_, out, gone = u.send(c, token, "GET", "/v1/operations/"+id+"?wait=30s", "")
	if !before && u.stopping.Load() && out["state"] == "running" {
		u.waits.Add(1)
	}
	return gone
}

// follow follows the events until lodged says that it stops.
func (u *busy) follow(c *http.Client, token string) (gone bool) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", u.url+"/v1/events/stream", nil)
	if err != nil {
		u.is(err.Error())
		return true
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := c.Do(req)
	if err != nil {
		if !u.stopping.Load() {
			u.is("stream " + err.Error())
		}
		return true
	}
	defer resp.Body.Close()
	lines, last := bufio.NewScanner(resp.Body), ""
	for lines.Scan() {
		if event, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			last = event
		}
	}
	if last != "end" || !u.stopping.Load() {
		u.is(fmt.Sprintf("a stream ends with %q, %v", last, lines.Err()))
		return true
	}
	u.streams.Add(1)
	return true
}

// settle takes what was not answered as it came out: neither was promised.
func (u *busy) settle() {
	u.t.Helper()
	there := map[string]map[string]any{}
	for _, i := range u.all() {
		there[i["id"].(string)] = i
	}
	for id, i := range there {
		if tenant, ok := u.named[i["name"].(string)]; ok && u.made[id] == "" {
			u.t.Logf("%s was made, and its client did not hear of it", i["name"])
			u.made[id], u.power[id] = tenant, i["power"].(string)
		}
	}
	for _, id := range u.unsure {
		if i := there[id]; i != nil {
			u.power[id] = i["power"].(string)
		} else {
			u.removed[id] = true
		}
	}
	var names []string
	for _, i := range there {
		names = append(names, i["name"].(string))
	}
	slices.Sort(names)
	if len(slices.Compact(names)) != len(there) {
		u.t.Errorf("an instance is there twice: %v", names)
	}
}

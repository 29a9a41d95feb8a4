package api_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lodge/api"
	"lodge/api/client"
	"lodge/api/wire"
	"lodge/cloud"
)

// happen writes n events of a tenant, one a commit.
func (g *guarded) happen(tenant string, n int) {
	g.t.Helper()
	for range n {
		img, err := g.db.CreateImage(context.Background(), operator, g.store.now, cloud.NewImage{
			ID: g.store.newID(), TenantID: g.tenants[tenant].ID, Name: fmt.Sprint("image-", made.Add(1)), Source: cloud.SourceUpload, Firmware: cloud.FirmwareBIOS,
		})
		if err != nil || img.ID == "" {
			g.t.Error(err)
		}
	}
}

var made atomic.Int64

// fill records many events of a tenant at once.
func (g *guarded) fill(tenant string, n int) {
	g.t.Helper()
	db, err := sql.Open("sqlite3", "file:"+g.path+"?_busy_timeout=5000")
	if err != nil {
		g.t.Fatal(err)
	}
	defer db.Close()
	_, err = db.Exec(`
		INSERT INTO event (at, tenant_id, subject_kind, subject_id, name, type, message)
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
		SELECT 1, ?, 'instance', 'x', 'web', 'instance.running', 'The instance web runs.' FROM n`, n, g.tenants[tenant].ID)
	if err != nil {
		g.t.Fatal(err)
	}
	g.happen(tenant, 1) // rings
}

func (g *guarded) recorded(tenant string, after int64) (seqs []int64) {
	g.t.Helper()
	for {
		events, err := g.db.Events(context.Background(), operator, cloud.EventFilter{TenantID: g.tenants[tenant].ID, After: after, Limit: 1000})
		if err != nil {
			g.t.Fatal(err)
		}
		if len(events) == 0 {
			return seqs
		}
		for _, e := range events {
			seqs = append(seqs, e.Seq)
		}
		after = seqs[len(seqs)-1]
	}
}

// listen puts the house on a loopback address.
func (g *guarded) listen() *httptest.Server {
	srv := httptest.NewServer(g.front)
	g.t.Cleanup(srv.Close)
	return srv
}

// open follows as an actor, raw.
func (g *guarded) open(ctx context.Context, url, actor, query string) *http.Response {
	g.t.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", url+"/v1/events/stream"+query, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+g.tokens[actor])
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// messages gives the blocks of a stream as they come.
func messages(r io.Reader) <-chan string {
	out := make(chan string, 1000)
	go func() {
		defer close(out)
		block := ""
		for s := bufio.NewScanner(r); s.Scan(); {
			if s.Text() != "" {
				block += s.Text() + "\n"
				continue
			}
			out <- block
			block = ""
		}
	}()
	return out
}

func nextMessage(t *testing.T, c <-chan string) string {
	t.Helper()
	select {
	case m, ok := <-c:
		if !ok {
			t.Fatal("the stream has ended")
		}
		return m
	case <-time.After(10 * time.Second):
		t.Fatal("nothing comes")
	}
	return ""
}

func (g *guarded) client(url, actor string) *client.Client {
	g.t.Helper()
	c, err := client.New(url, client.WithToken(g.tokens[actor]))
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(c.Close)
	return c
}

func TestAStreamIsWhatTheListIs(t *testing.T) {
	g := newGuarded(t)
	srv := g.listen()
	resp := g.open(t.Context(), srv.URL, "ours viewer", "")
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	came := messages(resp.Body)
	last, err := g.db.LastEvent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := nextMessage(t, came), fmt.Sprintf("id: %d\nretry: 1000\n", last); got != want {
		t.Errorf("it begins with %q, not %q", got, want)
	}
	g.happen("theirs", 3) // are in the numbers, and not to be seen
	g.happen("ours", 1)
	m := nextMessage(t, came)
	items := decoded[wire.List[wire.Event]](g.as("ours viewer", "GET", fmt.Sprintf("/v1/events?after=%d", last), "").want(200)).Items
	if len(items) != 1 {
		t.Fatalf("listed %+v", items)
	}
	b, err := json.Marshal(items[0])
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("id: %d\nevent: image.created\ndata: %s\n", items[0].Seq, b); m != want {
		t.Errorf("got %q, want %q", m, want)
	}
}

func TestAStreamIsRefusedAsAList(t *testing.T) {
	g := newGuarded(t)
	const path = "/v1/events/stream"
	g.as("nobody", "GET", path, "").wantFailure(401, cloud.CodeUnauthorized)
	for _, q := range []string{"?after=-1", "?after=x", "?after=99999999", "?instance=x", "?after=1&after=2"} {
		g.as("ours viewer", "GET", path+q, "").wantFailure(400, cloud.CodeInvalid)
	}
	for _, q := range []string{"?limit=5", "?follow=true"} {
		g.as("ours viewer", "GET", path+q, "").wantFailure(400, cloud.CodeUnknownField)
	}
	g.as("ours viewer", "GET", path+"?tenant=theirs", "").wantFailure(404, cloud.CodeNotFound)
	g.as("operator", "GET", path+"?tenant=nobodys", "").wantFailure(404, cloud.CodeNotFound)
	for _, id := range []string{"x", "-1", "99999999", "1\n"} {
		g.do("GET", path, "", "Authorization", "Bearer "+g.tokens["operator"], "Last-Event-ID", id).wantFailure(400, cloud.CodeInvalid)
	}
	a := g.do("GET", path+"?after=99999999", "", "Authorization", "Bearer "+g.tokens["operator"], "Last-Event-ID", "3").want(200)
	if !strings.HasPrefix(string(a.body), "id: 3\nretry: 1000\n\nid: 4\n") {
		t.Errorf("the header does not go before the parameter: %s", a.body)
	}
	if a := g.as("operator", "HEAD", path, ""); a.StatusCode != 200 || len(a.body) > 0 {
		t.Errorf("HEAD: %d %s", a.StatusCode, a.body)
	}
}

// Many write for two tenants while followers of each are cut off again and again
// at any byte: every one gets each event of its tenant once and in order, and
// none of the other's.
func TestNoEventIsLostDoubledOrOutOfOrder(t *testing.T) {
	g := newGuarded(t)
	srv := g.listen()
	from, err := g.db.LastEvent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	t.Log("seed", seed)
	cutter := cutting(t, srv.Listener.Addr().String(), seed)
	const writers, each = 4, 60
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var all sync.WaitGroup
	got := map[string][]int64{}
	var mu sync.Mutex
	var breaks atomic.Int64
	for _, actor := range []string{"ours viewer", "ours admin", "theirs viewer", "theirs member"} {
		tenant, _, _ := strings.Cut(actor, " ")
		all.Go(func() {
			var seqs []int64
			q := client.StreamQuery{After: from, Broken: func(error, time.Duration) { breaks.Add(1) }}
			for len(seqs) < writers*each {
				// The first connection may be cut before anything came.
				for e, err := range g.client(cutter, actor).StreamEvents(ctx, q) {
					if err != nil {
						break
					}
					if e.TenantID != g.tenants[tenant].ID {
						t.Errorf("%s sees %+v", actor, e)
					}
					seqs = append(seqs, e.Seq)
					if q.After = e.Seq; len(seqs) == writers*each {
						break
					}
				}
				if ctx.Err() != nil {
					t.Errorf("%s has %d events in time", actor, len(seqs))
					return
				}
			}
			mu.Lock()
			defer mu.Unlock()
			got[actor] = seqs
		})
	}
	for range writers {
		all.Go(func() {
			for range each {
				g.happen("ours", 1)
				g.happen("theirs", 1)
			}
		})
	}
	all.Wait()
	for actor, seqs := range got {
		tenant, _, _ := strings.Cut(actor, " ")
		if want := g.recorded(tenant, from); !slices.Equal(seqs, want) {
			t.Errorf("%s has %v, recorded are %v", actor, seqs, want)
		}
	}
	if breaks.Load() < 4 {
		t.Errorf("only %d connections were cut", breaks.Load())
	}
	t.Logf("%d breaks", breaks.Load())
}

// cutting is a way to addr that breaks every connection after a random number of
// bytes from there.
func cutting(t *testing.T, addr string, seed uint64) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	random := rand.New(rand.NewPCG(seed, 1))
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			most := 500 + random.Int64N(20_000)
			go func() {
				defer in.Close()
				out, err := net.Dial("tcp", addr)
				if err != nil {
					return
				}
				defer out.Close()
				go func() { _, _ = io.Copy(out, in); out.Close() }()
				_, _ = io.CopyN(in, out, most)
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

func TestAStreamEndsWithTheRightToSeeIt(t *testing.T) {
	for name, end := range map[string]struct {
		actor string
		take  func(*guarded) error
		code  cloud.Code
	}{
		"token revoked": {"token", func(g *guarded) error {
			return g.db.RevokeToken(context.Background(), operator, g.store.now, g.as("token", "GET", "/v1/whoami", "").token())
		}, cloud.CodeUnauthorized},
		"session ended": {"ours viewer", func(g *guarded) error {
			g.as("ours viewer", "DELETE", "/v1/sessions/current", "").want(204)
			return nil
		}, cloud.CodeUnauthorized},
		"user deleted": {"ours viewer", func(g *guarded) error {
			return g.db.DeleteUser(context.Background(), operator, g.store.now, "ours-viewer")
		}, cloud.CodeUnauthorized},
		"membership removed": {"ours viewer", func(g *guarded) error {
			return g.db.RemoveMember(context.Background(), operator, g.store.now, g.tenants["ours"].ID, "ours-viewer")
		}, cloud.CodeNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, quiet := range []bool{true, false} {
				g := newGuarded(t)
				g.tokens["token"] = decoded[wire.Token](g.as("ours admin", "POST", "/v1/tokens", `{"name":"ci","role":"viewer"}`).want(201)).Secret
				srv := g.listen()
				came := messages(g.open(t.Context(), srv.URL, end.actor, "").Body)
				nextMessage(t, came)
				g.happen("ours", 1)
				if m := nextMessage(t, came); !strings.Contains(m, "image.created") {
					t.Fatalf("got %q", m)
				}
				if err := end.take(g); err != nil {
					t.Fatal(err)
				}
				since := time.Now()
				if !quiet {
					g.happen("ours", 1) // nothing of it may be sent
				}
				m := nextMessage(t, came)
				data, ok := strings.CutPrefix(m, "event: end\ndata: ")
				var f wire.Failure
				if err := json.Unmarshal([]byte(data), &f); !ok || err != nil || f.Code != string(end.code) || !strings.HasSuffix(f.Detail, ".") {
					t.Errorf("it ends with %q", m)
				}
				if took := time.Since(since); took > 5*time.Second {
					t.Errorf("it took %s", took)
				}
				if m, open := <-came; open {
					t.Errorf("after the end comes %q", m)
				}
			}
		})
	}
}

// token is the id of the token in an answer of whoami.
func (a *answer) token() string { return decoded[wire.Whoami](a.want(200)).TokenID }

func TestJoiningAnotherTenantEndsNoStream(t *testing.T) {
	g := newGuarded(t)
	srv := g.listen()
	came := messages(g.open(t.Context(), srv.URL, "ours viewer", "").Body)
	nextMessage(t, came)
	if _, err := g.db.SetMember(t.Context(), operator, g.store.now, g.tenants["theirs"].ID, "ours-viewer", cloud.RoleAdmin); err != nil {
		t.Fatal(err)
	}
	g.happen("theirs", 1)
	g.happen("ours", 1)
	if m := nextMessage(t, came); !strings.Contains(m, g.tenants["ours"].ID) {
		t.Errorf("got %q", m)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	g := newGuarded(t)
	srv := httptest.NewServer(api.NewSeats(g.options, 4, 3, 2))
	t.Cleanup(srv.Close)
	refused := func(resp *http.Response, status int, code cloud.Code) {
		t.Helper()
		var f wire.Failure
		if err := json.NewDecoder(resp.Body).Decode(&f); err != nil || resp.StatusCode != status || f.Code != string(code) || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%d %+v %v", resp.StatusCode, f, err)
		}
	}
	follow := func(ctx context.Context, actor string) {
		t.Helper()
		if resp := g.open(ctx, srv.URL, actor, ""); resp.StatusCode != 200 {
			t.Fatalf("%s: %d", actor, resp.StatusCode)
		}
	}
	ctx, leave := context.WithCancel(t.Context())
	follow(ctx, "ours viewer")
	follow(t.Context(), "ours viewer")
	refused(g.open(t.Context(), srv.URL, "ours viewer", ""), 429, cloud.CodeRateLimited)
	follow(t.Context(), "ours admin")
	refused(g.open(t.Context(), srv.URL, "ours member", ""), 429, cloud.CodeRateLimited)
	follow(t.Context(), "theirs viewer")
	refused(g.open(t.Context(), srv.URL, "theirs admin", ""), 503, cloud.CodeUnavailable)
	leave() // whoever leaves makes room
	deadline := time.Now().Add(10 * time.Second)
	for g.open(t.Context(), srv.URL, "theirs admin", "").StatusCode != 200 {
		if time.Now().After(deadline) {
			t.Fatal("the seat stays taken")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// A daemon that stops says so to its followers and waits for none, also not for
// those that read nothing; whoever follows goes on with the next one.
func TestAStreamOutlivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lodge.db")
	stopping := make(chan struct{})
	g := guard(t, houseAt(t, path, func(o *api.Options) { o.Stopping = stopping }))
	from, err := g.db.LastEvent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	srv := &http.Server{Handler: g.front, WriteTimeout: 700 * time.Millisecond, ReadTimeout: 700 * time.Millisecond}
	go func() { _ = srv.Serve(l) }()

	type item struct {
		seq int64
		err error
	}
	came := make(chan item, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var why error
	go func() {
		q := client.StreamQuery{After: from, Broken: func(err error, _ time.Duration) {
			if why == nil {
				why = err
			}
		}}
		for e, err := range g.client("http://"+addr, "ours viewer").StreamEvents(ctx, q) {
			came <- item{e.Seq, err}
		}
		close(came)
	}()
	g.happen("ours", 5)
	time.Sleep(1500 * time.Millisecond) // longer than the deadlines of the server
	g.happen("ours", 5)
	// One that reads nothing, with enough behind it to fill every buffer.
	g.fill("ours", 20_000)
	stuck, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	if err := stuck.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(stuck, "GET /v1/events/stream?after=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", g.tokens["ours admin"])
	want := g.recorded("ours", from)
	var got []int64
	for range want {
		i := <-came
		if i.err != nil {
			t.Fatal(i.err)
		}
		got = append(got, i.seq)
	}
	since := time.Now()
	close(stopping)
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(since); took > 4*time.Second {
		t.Errorf("the stop took %s", took)
	}
	g.happen("ours", 3) // while nobody serves
	second := houseAt(t, path)
	second.front.door = g.front.door
	if l, err = net.Listen("tcp", addr); err != nil {
		t.Fatal(err)
	}
	again := &http.Server{Handler: second.front}
	go func() { _ = again.Serve(l) }()
	defer again.Close()
	want = g.recorded("ours", from)
	for len(got) < len(want) {
		i := <-came
		if i.err != nil {
			t.Fatal(i.err)
		}
		got = append(got, i.seq)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d events came and %d are recorded", len(got), len(want))
	}
	cancel()
	if i := <-came; i.err != context.Canceled {
		t.Errorf("it ends with %+v", i)
	}
	if client.CodeOf(why) != "unavailable" {
		t.Errorf("the stop is told as %v", why)
	}
}

// Followers that read nothing hold a place and one part each: what is recorded
// meanwhile waits in the store.
func TestSlowReadersCostNoMemory(t *testing.T) {
	g := newGuarded(t)
	srv := httptest.NewUnstartedServer(g.front)
	srv.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if err := c.(*net.TCPConn).SetWriteBuffer(64 << 10); err != nil { // the kernel would take megabytes
			t.Error(err)
		}
		return ctx
	}
	srv.Start()
	t.Cleanup(srv.Close)
	const readers = 200
	var conns []net.Conn
	for i := range readers {
		c, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.(*net.TCPConn).SetReadBuffer(128 << 10); err != nil {
			t.Fatal(err)
		}
		actor := []string{"ours viewer", "ours member", "ours admin", "operator"}[i%4]
		fmt.Fprintf(c, "GET /v1/events/stream?after=0&tenant=ours HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", g.tokens[actor])
		if _, err := io.ReadFull(c, make([]byte, 15)); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	fast := messages(g.open(t.Context(), srv.URL, "operator", "?tenant=theirs").Body)
	nextMessage(t, fast)
	before := liveHeap()
	g.fill("ours", 6000) // about 2 MB as a stream, 400 MB for all
	since := time.Now()
	g.happen("theirs", 1)
	nextMessage(t, fast)
	told := time.Since(since)
	// Each sends on until its connection takes no more.
	grown := liveHeap() - before
	for end := time.Now().Add(10 * time.Second); grown > readers*256<<10 && time.Now().Before(end); grown = liveHeap() - before {
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("%d readers: %d KiB in all; a fast one was told after %s", readers, grown>>10, told)
	if grown > readers*256<<10 {
		t.Errorf("%d bytes are held for %d readers that read nothing", grown, readers)
	}
	if told > 5*time.Second {
		t.Errorf("a fast one was told after %s", told)
	}
	// What they have not read is still theirs.
	all := g.recorded("ours", 0)
	count := 0
	_ = conns[0].SetReadDeadline(time.Now().Add(30 * time.Second))
	for s := bufio.NewScanner(conns[0]); count < len(all) && s.Scan(); {
		if id, ok := strings.CutPrefix(s.Text(), "id: "); ok && id != "0" {
			if id != fmt.Sprint(all[count]) {
				t.Fatalf("event %s comes as the one after %d", id, count)
			}
			count++
		}
	}
	if count != len(all) {
		t.Errorf("a slow reader got %d of %d events", count, len(all))
	}
}

// liveHeap is what is in use, without what is garbage and not collected yet.
func liveHeap() int64 {
	runtime.GC()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	return int64(live[0].Value.Uint64())
}

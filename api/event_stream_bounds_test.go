package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"lodge/api"
	"lodge/api/wire"
	"lodge/cloud"
)

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

package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
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

package api_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"lodge/api"
)

// december is a house whose December is closed, in which so many instances ran for
// all of it.
func december(t *testing.T, instances int, change ...func(*api.Options)) *house {
	t.Helper()
	h := newHouse(t, change...)
	h.store.now = time.Date(2026, 11, 30, 23, 30, 0, 0, time.UTC)
	h.upload("name=debian-12&default=true", "RAW").want(201)
	for _, meter := range []string{"vcpu", "memory", "disk"} {
		h.do("POST", "/v1/prices", `{"meter":"`+meter+`","unit_price":"0.0123","currency":"EUR"}`).want(201)
	}
	for n := range instances {
		h.sees(h.create(fmt.Sprintf(`{"name":"web%d","size":"1 vCPU, 1GB","labels":{"n":"%d"}}`, n, n)).ID)
	}
	h.store.now = time.Date(2027, 1, 1, 0, 5, 0, 0, time.UTC)
	h.closeHours()
	return h
}

func TestFocusIsTheSameCompressed(t *testing.T) {
	h := december(t, 3)
	const path = "/v1/export/focus?month=2026-12"
	plain, zipped := raw(h, "GET", path), raw(h, "GET", path, "Accept-Encoding", "gzip")
	if plain.Code != 200 || plain.Header().Get("Content-Encoding") != "" || zipped.Header().Get("Content-Encoding") != "gzip" {
		t.Fatalf("%d, codings %q and %q", plain.Code, plain.Header().Get("Content-Encoding"), zipped.Header().Get("Content-Encoding"))
	}
	if rows := bytes.Count(plain.Body.Bytes(), []byte("\n")); rows != 1+3*4*744+744 { // and the image
		t.Errorf("%d lines", rows)
	}
	if !bytes.Equal(plain.Body.Bytes(), unzip(t, zipped.Body.Bytes())) {
		t.Error("other bytes")
	}
	if zipped.Body.Len() > plain.Body.Len()/5 {
		t.Errorf("%d bytes of %d", zipped.Body.Len(), plain.Body.Len())
	}
}

// exports is how many exports are being written.
func exports() int {
	stacks := make([]byte, 4<<20)
	return bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte("(*server).exportFocus("))
}

// Who leaves in the middle of a month takes all of it with him.
func TestAnExportEndsWithItsClient(t *testing.T) {
	var log bytes.Buffer
	h := december(t, 24, func(o *api.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	srv := httptest.NewServer(h)
	defer srv.Close()
	until := func(what string, n int) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); exports() != n; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d exports are being written", what, exports())
			}
		}
	}
	for _, coding := range []string{"identity", "gzip"} {
		req, err := http.NewRequest("GET", srv.URL+"/v1/export/focus?month=2026-12", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", coding)
		transport := &http.Transport{DisableCompression: true, ReadBufferSize: 4096}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(resp.Body, make([]byte, 16)); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		transport.CloseIdleConnections()
		until(coding+": the client left", 0)
	}
	// One that reads slowly holds its own, and one that reads on gets all of it.
	resp, err := http.Get(srv.URL + "/v1/export/focus?month=2026-12")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines, last := 0, ""
	for s := bufio.NewScanner(resp.Body); s.Scan(); lines++ {
		last = s.Text()
	}
	if lines != 1+24*4*744+744 || !strings.Contains(last, "2027-01-01T00:00:00Z") {
		t.Errorf("%d lines, the last is %s", lines, last)
	}
	until("all is read", 0)
	srv.Close() // no handler is left to write to the log
	if n := strings.Count(log.String(), "an export was cut off"); n == 0 {
		t.Errorf("nobody was cut off: %s", log.String())
	}
}

// An export that is read slowly keeps a month of a ledger, so there are few.
func TestExportsAreFew(t *testing.T) {
	h := december(t, 24)
	srv := httptest.NewServer(api.NewExports(h.options, 1))
	defer srv.Close()
	export := func() *http.Response {
		t.Helper()
		transport := &http.Transport{DisableCompression: true, ReadBufferSize: 4096}
		t.Cleanup(transport.CloseIdleConnections)
		resp, err := (&http.Client{Transport: transport}).Get(srv.URL + "/v1/export/focus?month=2026-12")
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	slow := export() // the rest of it is more than the kernel keeps
	if slow.StatusCode != 200 {
		t.Fatalf("%s", slow.Status)
	}
	for range 3 {
		more := export()
		b, _ := io.ReadAll(more.Body)
		more.Body.Close()
		if more.StatusCode != 503 || more.Header.Get("Retry-After") == "" || !strings.Contains(string(b), "exports are taken now") {
			t.Errorf("%s: %.200s", more.Status, b)
		}
	}
	slow.Body.Close()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		again := export()
		again.Body.Close()
		if again.StatusCode == 200 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the place stays taken: %s", again.Status)
		}
	}
}

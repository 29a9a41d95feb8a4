package daemon

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// dial opens a connection to lodged that speaks one of protos; none: no TLS.
func (s *started) dial(t *testing.T, protos ...string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if len(protos) == 0 {
		return c
	}
	tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: protos})
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	return tc
}

// http2 begins a connection whose windows stay as they are.
func (s *started) http2(t *testing.T, settings ...http2.Setting) *http2.Framer {
	t.Helper()
	c := s.dial(t, "h2")
	if _, err := c.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	f := s.framer(c)
	if err := f.WriteSettings(settings...); err != nil {
		t.Fatal(err)
	}
	return f
}

func (s *started) framer(c net.Conn) *http2.Framer {
	f := http2.NewFramer(c, c)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return f
}

func ask(t *testing.T, f *http2.Framer, end bool, fields ...string) {
	t.Helper()
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i+1 < len(fields); i += 2 {
		if err := e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: b.Bytes(), EndHeaders: true, EndStream: end}); err != nil {
		t.Fatal(err)
	}
}

// untilOver reads frames until the stream is reset or answered to its end; it
// gives the status, "" for none.
func untilOver(f *http2.Framer) (status string) {
	for {
		fr, err := f.ReadFrame()
		if err != nil {
			return status
		}
		switch fr := fr.(type) {
		case *http2.MetaHeadersFrame:
			status = fr.PseudoValue("status")
			if fr.StreamEnded() {
				return status
			}
		case *http2.RSTStreamFrame:
			return status
		case *http2.DataFrame:
			if fr.StreamEnded() {
				return status
			}
		}
	}
}

// drip sends a byte now and then, and ends when lodged has closed the connection
// or answered.
func drip(t *testing.T, c net.Conn, begin string) {
	t.Helper()
	if _, err := c.Write([]byte(begin)); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _, _ = io.Copy(io.Discard, c) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			if _, err := c.Write([]byte("a")); err != nil {
				return
			}
		}
	}
}

// Whatever a client that nobody knows does slowly, it is dropped in a time that is
// known, and nothing of it is left.
func TestDawdlersAreDroppedInTime(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it waits for the time limits themselves, half a minute")
	}
	s := start(t, t.TempDir(), nil)
	const path = "/v1/openapi.yaml"
	s.call(s.client(), "GET", "/v1/version", "", "")
	time.Sleep(time.Second) // reconcile starts its workers after its first sweep, when the API is up already
	before := goroutines()
	var all sync.WaitGroup
	for name, c := range map[string]struct {
		within time.Duration
		do     func()
	}{
		"a silent handshake": {headerTimeout, func() { _, _ = s.dial(t).Read(make([]byte, 1)) }},
		"half a handshake": {headerTimeout, func() {
			c := s.dial(t)
			_, _ = c.Write([]byte{0x16, 3, 1, 2, 0, 1})
			_, _ = c.Read(make([]byte, 1))
		}},
		"silence after it": {headerTimeout, func() { _, _ = s.dial(t, "http/1.1").Read(make([]byte, 1)) }},
		"dribbled headers": {headerTimeout, func() { drip(t, s.dial(t, "http/1.1"), "GET / HTTP/1.1\r\nHost: a\r\nX: ") }},
		"a dribbled login": {30 * time.Second, func() {
			drip(t, s.dial(t, "http/1.1"), "POST /v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n{")
		}},
		"a refused body": {30 * time.Second, func() {
			drip(t, s.dial(t, "http/1.1"), "POST /v1/instances HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n{")
		}},
		"the body of a GET": {30 * time.Second, func() {
			drip(t, s.dial(t, "http/1.1"), "GET /v1/version HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n{")
		}},
		"chunks of no route": {30 * time.Second, func() {
			drip(t, s.dial(t, "http/1.1"), "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n")
		}},
		"answers not read": {writeStall, func() {
			c := s.dial(t, "http/1.1")
			for {
				if _, err := c.Write([]byte(strings.Repeat("GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n", 20))); err != nil {
					return
				}
			}
		}},
		"no preface of HTTP/2": {headerTimeout, func() { _, _ = io.Copy(io.Discard, s.dial(t, "h2")) }},
		"a shut window of HTTP/2": {writeStall, func() {
			f := s.http2(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			ask(t, f, true, ":method", "GET", ":scheme", "https", ":authority", "a", ":path", path)
			if status := untilOver(f); status != "200" {
				t.Errorf("a shut window: status %q", status)
			}
		}},
		"a shut window and a short answer": {writeStall, func() {
			f := s.http2(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			ask(t, f, true, ":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/v1/version")
			untilOver(f)
		}},
		"a body of HTTP/2": {30 * time.Second, func() {
			f := s.http2(t)
			ask(t, f, false, ":method", "POST", ":scheme", "https", ":authority", "a", ":path", "/v1/sessions", "content-type", "application/json")
			if status := untilOver(f); status != "400" {
				t.Errorf("half a body: status %q", status)
			}
		}},
	} {
		all.Go(func() {
			begin := time.Now()
			c.do()
			if took := time.Since(begin); took > c.within+5*time.Second {
				t.Errorf("%s took %s, more than %s", name, took, c.within)
			} else {
				t.Logf("%s: dropped after %s", name, took.Round(100*time.Millisecond))
			}
		})
	}
	ended := make(chan struct{})
	go func() { defer close(ended); all.Wait() }()
	select {
	case <-ended:
	case <-time.After(60 * time.Second):
		t.Fatal("somebody is still waited for after a minute")
	}
	// The connections of HTTP/2 live on after their streams; the test ends them here.
	b := s.tcp.(*bounded)
	b.mu.Lock()
	for e := b.strangers.Front(); e != nil; e = e.Next() {
		_ = e.Value.(*counted).Conn.Close()
	}
	b.mu.Unlock()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		b.mu.Lock()
		open := b.all
		b.mu.Unlock()
		if open == 0 && goroutines() <= before {
			break
		}
		if time.Now().After(end) {
			all := make([]byte, 1<<20)
			t.Fatalf("%d connections, %d goroutines, before %d\n%s", open, goroutines(), before, all[:runtime.Stack(all, true)])
		}
	}
}

// A stream that is silent is not a client that does not read.
func TestAnHTTP2StreamMayBeSilent(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	c := s.client()
	for range 3 {
		resp, err := c.Get("https://" + s.tcp.Addr().String() + "/v1/openapi.yaml")
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.ProtoMajor != 2 || len(b) < 10_000 {
			t.Fatalf("%s, %d bytes: %v", resp.Proto, len(b), err)
		}
	}
}

// pair is a connection of lodged and its other end.
func pair(t *testing.T, l *bounded) (in, out net.Conn) {
	t.Helper()
	accepted := make(chan net.Conn, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			accepted <- c
		}
	}()
	out, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	select {
	case in = <-accepted:
		return in, out
	case <-time.After(5 * time.Second):
		t.Fatal("not accepted")
		return nil, nil
	}
}

func TestStrangersMakeRoomForTheNext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := newBounded(l, 3, 100)
	t.Cleanup(func() { b.Close() })
	first, firstOut := pair(t, b)
	_, secondOut := pair(t, b)
	third, thirdOut := pair(t, b)
	first.(*counted).welcome()
	first.(*counted).welcome() // twice is once
	closed := func(c net.Conn) bool {
		_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, err := c.Read(make([]byte, 1))
		return err == io.EOF
	}
	_, fourthOut := pair(t, b)
	if closed(firstOut) || !closed(secondOut) || closed(thirdOut) || closed(fourthOut) {
		t.Error("not the stranger who was there longest made room")
	}
	third.(*counted).welcome()
	fifth, _ := pair(t, b)
	if !closed(fourthOut) {
		t.Error("the fourth is still there")
	}
	fifth.(*counted).welcome()
	// Only known ones are left: now the newcomer is refused.
	refused, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = b.Accept() }()
	_ = refused.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := refused.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a fourth beside three known ones: %v", err)
	}
	for _, c := range []net.Conn{first, third, fifth, fifth} {
		c.Close()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all != 0 || len(b.of) != 0 || b.strangers.Len() != 0 {
		t.Errorf("%d places, %v, %d strangers are left", b.all, b.of, b.strangers.Len())
	}
}

func TestADeadlineOfTheServerStandsBeforeTheBoundOfWrites(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := newBounded(l, 3, 3)
	t.Cleanup(func() { b.Close() })
	in, _ := pair(t, b)
	defer in.Close()
	for _, set := range []func(time.Time) error{in.SetWriteDeadline, in.SetDeadline} {
		if err := set(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if _, err := in.Write(make([]byte, 64<<20)); err == nil || time.Since(begin) > 5*time.Second {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
	}
}

// What is no request gets the plain words of Go's server, as the docs say, and
// never reaches the routes.
func TestWhatIsNoRequest(t *testing.T) {
	plain := start(t, t.TempDir(), func(c *Config) { c.PlainHTTP = true })
	overTLS := start(t, t.TempDir(), nil)
	for _, c := range []struct{ name, send, status, holds string }{
		{"nonsense", "nonsense\r\n\r\n", "400", "text/plain"},
		{"a bad version", "GET / HTTP/9.9\r\nHost: a\r\n\r\n", "505", "text/plain"},
		{"no host", "GET / HTTP/1.1\r\n\r\n", "400", "missing required Host"},
		{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400", "text/plain"},
		{"a bad host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400", "malformed Host"},
		{"a bad header", "GET / HTTP/1.1\r\nHost: a\r\nX y: z\r\n\r\n", "400", "text/plain"},
		{"a folded header", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n y: z\r\n\r\n", "400", "text/plain"},
		{"a NUL in a header", "GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", "400", "text/plain"},
		{"large headers", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 40<<10) + "\r\n\r\n", "431", "text/plain"},
		{"a large line", "GET /" + strings.Repeat("a", 40<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", "431", "text/plain"},
		{"two lengths", "POST /v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", "400", "text/plain"},
		{"length and chunks", "POST /v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/hosts HTTP/1.1\r\nHost: a\r\n\r\n", "400", "malformed_json"},
		{"a coding that nobody knows", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "501", "text/plain"},
		{"a bad escape", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", "400", "text/plain"},
		{"another expectation", "POST /v1/sessions HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 1\r\n\r\n{", "417", ""},
		{"bad chunks", "POST /v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n", "400", "malformed_json"},
		{"a proxy's tunnel", "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n", "404", "not_found"},
		{"a proxy's request", "GET http://example.org/v1/hosts HTTP/1.1\r\nHost: example.org\r\n\r\n", "401", "unauthorized"},
		{"options of everything", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "404", "not_found"},
		{"an unknown method", "BREW /v1/version HTTP/1.1\r\nHost: a\r\n\r\n", "405", "method_not_allowed"},
		{"a websocket", "GET /v1/version HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "200", `"api":"v1"`},
		{"HTTP/2 in the clear", http2.ClientPreface, "", ""},
	} {
		for scheme, conn := range map[string]net.Conn{"http": plain.dial(t), "https": overTLS.dial(t, "http/1.1")} {
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			_, _ = conn.Write([]byte(c.send))
			got := make([]byte, 4096)
			n, _ := io.ReadAtLeast(conn, got, 12)
			time.Sleep(10 * time.Millisecond) // head and body may come apart
			_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			more, _ := conn.Read(got[n:])
			text := string(got[:n+more])
			if c.status != "" && !strings.HasPrefix(text, "HTTP/1.1 "+c.status) || !strings.Contains(text, c.holds) {
				t.Errorf("%s over %s: %q", c.name, scheme, text)
			}
			if strings.Contains(text, "goroutine") || strings.Contains(text, ".go:") {
				t.Errorf("%s over %s shows the inside: %q", c.name, scheme, text)
			}
			conn.Close()
		}
	}
	resp, err := http.Get("http://" + overTLS.tcp.Addr().String() + "/v1/version")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); resp.StatusCode != 400 || !strings.Contains(string(b), "HTTPS") {
		t.Errorf("plain HTTP on the TLS port: %s %s", resp.Status, b)
	}
}

// goroutines counts those that a client could cause. One waits a minute after a
// flood of failures to write down how many there were; it is bounded by itself.
func goroutines() (n int) {
	all := make([]byte, 4<<20)
	all = all[:runtime.Stack(all, true)]
	for one := range strings.SplitSeq(string(all), "\n\n") {
		if !strings.Contains(one, ".writeDropped(") {
			n++
		}
	}
	return n
}

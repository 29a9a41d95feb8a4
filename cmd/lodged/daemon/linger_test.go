package daemon

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// operatorToken logs in as who the first start has made.
func (s *started) operatorToken(t *testing.T) string {
	t.Helper()
	m := saidPassword.FindStringSubmatch(s.said.String())
	if m == nil {
		t.Fatalf("the way in was not said: %q", s.said.String())
	}
	status, session := s.call(s.client(), "POST", "/v1/sessions", "", fmt.Sprintf(`{"user":"operator","password":%q}`, m[1]))
	if status != 201 {
		t.Fatalf("login: %d %v", status, session)
	}
	return session["token"].(string)
}

// upload is a request whose body lodged does not want.
type upload struct {
	name   string
	path   string
	header []string
	status int
	word   string // of the answer
}

// uploads are such of every kind, with what has to be there before.
func (s *started) uploads(t *testing.T) []upload {
	t.Helper()
	image := make([]byte, 1<<20)
	copy(image[510:], "\x55\xaa") // a disk that boots, as far as anybody can tell
	bearer := []string{"Authorization", "Bearer " + s.operatorToken(t)}
	bytesOf := append([]string{"Content-Type", "application/octet-stream"}, bearer...)
	keyed := append([]string{"Idempotency-Key", "k"}, bytesOf...)
	path := fmt.Sprintf("/v1/images?name=there&sha256=%x", sha256.Sum256(image))
	req, err := http.NewRequest("POST", "https://"+s.tcp.Addr().String()+path, bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(keyed); i += 2 {
		req.Header.Set(keyed[i], keyed[i+1])
	}
	resp, err := s.client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != 201 {
		t.Fatalf("%d %s", resp.StatusCode, b)
	}
	return []upload{
		{"a replay", path, keyed, 201, `"name":"there"`},
		{"a name that is taken", "/v1/images?name=there", bytesOf, 409, "name_taken"},
		{"another type", "/v1/images?name=new", append([]string{"Content-Type", "text/plain"}, bearer...), 415, "unsupported_media_type"},
		{"nobody", "/v1/images?name=new", []string{"Content-Type", "application/octet-stream"}, 401, "unauthorized"},
		{"no route", "/v1/image", bytesOf, 404, "not_found"},
		{"no image", "/v1/images?name=bad&firmware=x", bytesOf, 400, "invalid_request"},
	}
}

const refusedBytes = 20 << 20

// A client that writes all of its body before it reads gets the answer, though
// nobody wants the body.
func TestAnAnswerBeforeTheBodyReachesTheClient(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	big := make([]byte, refusedBytes)
	for _, u := range s.uploads(t) {
		for _, chunked := range []bool{false, true} {
			c := s.dial(t, "http/1.1")
			_ = c.SetDeadline(time.Now().Add(30 * time.Second))
			var head strings.Builder
			fmt.Fprintf(&head, "POST %s HTTP/1.1\r\nHost: a\r\n", u.path)
			for i := 0; i < len(u.header); i += 2 {
				fmt.Fprintf(&head, "%s: %s\r\n", u.header[i], u.header[i+1])
			}
			body := big
			if chunked {
				head.WriteString("Transfer-Encoding: chunked\r\n\r\n")
				body = append(fmt.Appendf(nil, "%x\r\n", len(big)), big...)
				body = append(body, "\r\n0\r\n\r\n"...)
			} else {
				fmt.Fprintf(&head, "Content-Length: %d\r\n\r\n", len(big))
			}
			begin := time.Now()
			if _, err := io.WriteString(c, head.String()); err != nil {
				t.Fatal(err)
			}
			// The network stands still for longer than the answer waits for the rest.
			if _, err := c.Write(body[:1000]); err != nil {
				t.Fatal(err)
			}
			time.Sleep(150 * time.Millisecond)
			if _, err := c.Write(body[1000:]); err != nil {
				t.Errorf("%s, chunked %v: the body: %v", u.name, chunked, err)
				continue
			}
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Errorf("%s, chunked %v: %v", u.name, chunked, err)
				continue
			}
			b, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != u.status || !strings.Contains(string(b), u.word) {
				t.Errorf("%s, chunked %v: %d %s %v", u.name, chunked, resp.StatusCode, b, err)
			}
			t.Logf("%s, chunked %v: %d after %s", u.name, chunked, resp.StatusCode, time.Since(begin).Round(time.Millisecond))
		}
	}
}

// stream is a request over a connection of HTTP/2 of its own that sends all of its
// body, as far as the windows allow it.
func (s *started) stream(t *testing.T, u upload, size int) (status, body string, reset bool) {
	t.Helper()
	c := s.dial(t, "h2")
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := c.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	f := s.framer(c)
	if err := f.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	fields := []string{":method", "POST", ":scheme", "https", ":authority", "a", ":path", u.path, "content-length", strconv.Itoa(size)}
	for i := 0; i < len(u.header); i += 2 {
		fields = append(fields, strings.ToLower(u.header[i]), u.header[i+1])
	}
	ask(t, f, false, fields...)
	var mu sync.Mutex
	more := sync.NewCond(&mu)
	conn, mine, ended := 65535, 65535, false
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for left := size; left > 0; {
			mu.Lock()
			for min(conn, mine) <= 0 && !ended {
				more.Wait()
			}
			n := min(conn, mine, left, 16<<10)
			conn, mine, left = conn-n, mine-n, left-n
			stop := ended
			mu.Unlock()
			if stop || f.WriteData(1, left == 0, make([]byte, n)) != nil {
				return
			}
		}
	}()
	end := func() {
		mu.Lock()
		ended = true
		mu.Unlock()
		more.Broadcast()
	}
	defer func() { end(); <-sent }()
	var got bytes.Buffer
	over := false
	for {
		if over {
			// What comes right behind the end counts: a reset there makes some clients throw
			// the answer away.
			_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		}
		fr, err := f.ReadFrame()
		if err != nil {
			return status, got.String(), reset
		}
		switch fr := fr.(type) {
		case *http2.SettingsFrame:
			mu.Lock()
			if v, ok := fr.Value(http2.SettingInitialWindowSize); ok {
				mine += int(v) - 65535
			}
			mu.Unlock()
			more.Broadcast()
		case *http2.WindowUpdateFrame:
			mu.Lock()
			if fr.StreamID == 0 {
				conn += int(fr.Increment)
			} else {
				mine += int(fr.Increment)
			}
			mu.Unlock()
			more.Broadcast()
		case *http2.MetaHeadersFrame:
			status = fr.PseudoValue("status")
			over = fr.StreamEnded()
		case *http2.DataFrame:
			got.Write(fr.Data())
			over = fr.StreamEnded()
		case *http2.RSTStreamFrame:
			return status, got.String(), true
		}
	}
}

func TestAnAnswerBeforeTheBodyEndsCleanlyOverHTTP2(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	for _, u := range s.uploads(t) {
		begin := time.Now()
		status, body, reset := s.stream(t, u, refusedBytes)
		if status != strconv.Itoa(u.status) || !strings.Contains(body, u.word) || reset {
			t.Errorf("%s: %s %q, reset: %v", u.name, status, body, reset)
		}
		t.Logf("%s: %s after %s", u.name, status, time.Since(begin).Round(time.Millisecond))
	}
}

// Go's client stops to send when it is refused: it has its answer soon.
func TestARefusalIsSoonForWhoStopsToSend(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	for _, expect := range []string{"", "100-continue"} {
		begin := time.Now()
		req, err := http.NewRequest("POST", "https://"+s.tcp.Addr().String()+"/v1/images?name=a", io.LimitReader(zeros{}, 1<<40))
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = 1 << 40
		if expect != "" {
			req.Header.Set("Expect", expect)
		}
		resp, err := s.client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 401 || resp.ProtoMajor != 2 || !strings.Contains(string(b), "unauthorized") {
			t.Errorf("%s %d %s: %v", resp.Proto, resp.StatusCode, b, err)
		}
		took := time.Since(begin)
		if took > 3*time.Second {
			t.Errorf("expect %q: it took %s", expect, took)
		}
		t.Logf("expect %q: %s", expect, took.Round(time.Millisecond))
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Who only ever sends, and a little at a time, is read for a known time.
func TestAnEndlessBodyIsNotReadWithoutEnd(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it waits for the time limit itself, ten seconds")
	}
	s := start(t, t.TempDir(), nil)
	begin := time.Now()
	drip(t, s.dial(t, "http/1.1"), "POST /v1/images HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n{")
	if took := time.Since(begin); took < 5*time.Second || took > 15*time.Second {
		t.Errorf("it took %s, not about ten seconds", took)
	}
}

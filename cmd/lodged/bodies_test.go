package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// eachBody is the longest JSON body that lodged takes.
const eachBody = 1 << 20

// Two thousand bodies of 1 MiB come at once, whole or but for the last byte. What
// lodged keeps of them is bounded, the rest are told to come again, and another
// user is served all the while.
func TestTwoThousandLargeBodiesAtOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it takes half a minute")
	}
	for _, way := range []struct {
		name string
		last int // bytes that are never sent
	}{{"whole", 0}, {"stalled", 1}} {
		t.Run(way.name, func(t *testing.T) {
			p := startProcess(t, "--plain-http", "--rate-limit", "0")
			token := p.login()
			other := p.user(token, "ann")
			before := p.status("VmRSS")
			body := []byte(`{"id":"` + strings.Repeat("x", eachBody-9) + `"}`)
			ctx, stop := context.WithCancel(t.Context())
			var sum sync.Mutex
			said := map[string]int{}
			var senders sync.WaitGroup
			dialing := make(chan struct{}, 64)
			for n := range 2000 {
				senders.Go(func() {
					what := p.sendBody(ctx, n, token, body[:len(body)-way.last], len(body), dialing)
					sum.Lock()
					defer sum.Unlock()
					said[what]++
				})
			}
			busy, cancel := context.WithTimeout(t.Context(), 8*time.Second)
			defer cancel()
			asked, slowest := 0, time.Duration(0)
			for busy.Err() == nil {
				start := time.Now()
				p.post(other, "/v1/tokens", fmt.Sprintf(`{"name":"small","role":"viewer","tenant":"default","scope":"read","expires_in":"%dh"}`, 1+asked%9)).want(t, 201)
				slowest = max(slowest, time.Since(start))
				asked++
				time.Sleep(20 * time.Millisecond)
			}
			peak := p.status("VmHWM")
			stop()
			senders.Wait()
			t.Logf("%d MiB before, at most %d MiB; answers to the large ones %v; the other user: %d requests, the slowest took %s", before>>10, peak>>10, said, asked, slowest)
			if peak > 256<<10 {
				t.Errorf("lodged took %d MiB", peak>>10)
			}
			if said["503"] == 0 || said["503 without Retry-After"] > 0 {
				t.Errorf("nobody was told to come again: %v", said)
			}
			if slowest > 10*time.Second {
				t.Errorf("the other user waited %s", slowest)
			}
		})
	}
}

// sendBody sends a body that is said to be so long, and gives the status of the
// answer.
func (p *process) sendBody(ctx context.Context, n int, token string, body []byte, long int, dialing chan struct{}) string {
	dialing <- struct{}{}
	c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 77, 0, byte(1+n/perAddress))}}).DialContext(ctx, "tcp", p.addr)
	<-dialing
	if err != nil {
		return "no connection"
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	go func() {
		_, _ = fmt.Fprintf(c, "POST /v1/flavors HTTP/1.1\r\nHost: lodge\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", token, long)
		_, _ = io.Copy(c, bytes.NewReader(body))
	}()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "no answer"
	}
	defer resp.Body.Close()
	if resp.StatusCode == 503 && resp.Header.Get("Retry-After") == "" {
		return "503 without Retry-After"
	}
	return fmt.Sprint(resp.StatusCode)
}

// user makes a user who is admin of the default tenant, and logs it in.
func (p *process) user(token, name string) string {
	p.t.Helper()
	return p.userOf("default", token, name)
}

// userOf makes a user who is admin of a tenant, and logs it in.
func (p *process) userOf(tenant, token, name string) string {
	p.t.Helper()
	const password = "a few random words"
	p.post(token, "/v1/users", `{"name":"`+name+`","password":"`+password+`","tenant":"`+tenant+`","role":"admin"}`).want(p.t, 201)
	var s struct{ Token string }
	a := p.post("", "/v1/sessions", `{"user":"`+name+`","password":"`+password+`"}`)
	a.want(p.t, 201)
	if err := json.Unmarshal(a.body, &s); err != nil || s.Token == "" {
		p.t.Fatalf("login of %s: %s", name, a.body)
	}
	return s.Token
}

type posted struct {
	status int
	body   []byte
}

func (a posted) want(t *testing.T, status int) {
	t.Helper()
	if a.status != status {
		t.Fatalf("%d %s", a.status, a.body)
	}
}

// post sends a request of its own connection.
func (p *process) post(token, path, body string) posted {
	p.t.Helper()
	req, err := http.NewRequest("POST", p.url(path), strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
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

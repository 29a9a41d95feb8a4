package api_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lodge/api"
)

const mebibyte = 1 << 20

// pools is a guarded house behind a real listener, whose bodies wait shortly, and
// may stand still.
func pools(t *testing.T) (*guarded, *httptest.Server, api.Pools) {
	t.Helper()
	return poolsThat(t, 200*time.Millisecond, time.Hour)
}

func poolsThat(t *testing.T, wait, still time.Duration, change ...func(*api.Options)) (*guarded, *httptest.Server, api.Pools) {
	t.Helper()
	g := newGuarded(t, change...)
	h, p := api.NewPools(g.options, wait, still)
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return g, srv, p
}

// stalled is a connection that has sent all of a body but its last byte.
func stalled(t *testing.T, srv *httptest.Server, token, path string, n int) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	text := `{"id":"` + strings.Repeat("x", n-9) + `"}`
	go func() { // lodged reads no further while there is no room
		_, _ = fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: lodge\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, token, n, text[:n-1])
	}()
	return c
}

func answered(t *testing.T, c net.Conn) *http.Response {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

func post(t *testing.T, srv *httptest.Server, token, path, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequest("POST", srv.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

// A user whose large bodies stand still uses up its own share: its next one is
// told to come again, its small ones and everybody else's large ones are taken.
func TestSlowBodiesOfOneUserKeepNobodyElseOut(t *testing.T) {
	g, srv, p := pools(t)
	slow, other := g.tokens["operator"], g.tokens["theirs admin"]
	for range 40 { // four have a place, the others hold nothing
		stalled(t, srv, slow, "/v1/flavors", mebibyte)
	}
	late := answered(t, stalled(t, srv, slow, "/v1/flavors", mebibyte))
	if late.StatusCode != 503 || late.Header.Get("Retry-After") == "" || !late.Close {
		t.Errorf("beyond the share: %d %v", late.StatusCode, late.Header)
	}
	if resp := post(t, srv, slow, "/v1/flavors", `{"id":"c9-m9","vcpus":9,"memory_mib":9216,"disk_gib":20}`); resp.StatusCode != 201 {
		t.Errorf("a small body of the same user: %d", resp.StatusCode)
	}
	large := `{"name":"` + strings.Repeat("x", mebibyte-11) + `"}`
	for range 3 {
		if resp := post(t, srv, other, "/v1/instances", large); resp.StatusCode != 400 {
			t.Errorf("a large body of another user: %d", resp.StatusCode)
		}
	}
	srv.CloseClientConnections()
	eventually(t, "places are held for nobody", func() bool { return p.Shares() == 0 })
	if resp := post(t, srv, slow, "/v1/instances", large); resp.StatusCode != 400 {
		t.Errorf("a large body afterwards: %d", resp.StatusCode)
	}
}

// Whoever has not said who it is takes no place from those who have.
func TestBodiesOfStrangersHaveAPoolApart(t *testing.T) {
	g, srv, p := pools(t)
	var open []net.Conn
	for range 65 { // one address has places for 64 of them
		open = append(open, stalled(t, srv, "", "/v1/sessions", 16<<10))
	}
	refused := make(chan int, len(open))
	for _, c := range open {
		go func() {
			_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
			if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
				refused <- resp.StatusCode
			} else {
				refused <- 0
			}
		}()
	}
	if resp := post(t, srv, g.tokens["ours member"], "/v1/instances", `{"name":"web1","size":"odd"}`); resp.StatusCode != 400 {
		t.Errorf("somebody known: %d", resp.StatusCode)
	}
	got := map[int]int{}
	for range open {
		got[<-refused]++
	}
	if got[503] != 1 || got[0] != 64 {
		t.Errorf("answers %v", got)
	}
	for _, path := range []string{"/v1/sessions", "/v1/sessions/oidc", "/v1/sessions/oidc/start"} {
		if resp := post(t, srv, "", path, `{"user":"`+strings.Repeat("x", 16<<10)+`"}`); resp.StatusCode != 413 && resp.StatusCode != 404 {
			t.Errorf("%s: %d for more than a stranger may send", path, resp.StatusCode)
		}
	}
	srv.CloseClientConnections()
	eventually(t, "places are held for nobody", func() bool { return p.Shares() == 0 })
}

// A body whose length nobody promised is read as well: whole, and no further than
// the most it may have.
func TestABodyOfUnknownLengthIsCounted(t *testing.T) {
	g, srv, p := pools(t)
	for n, want := range map[int]int{100: 400, 64 << 10: 400, 64<<10 + 1: 400, mebibyte: 400, mebibyte + 1: 413} {
		req, err := http.NewRequest("POST", srv.URL+"/v1/flavors", struct{ *strings.Reader }{strings.NewReader(`{"id":"` + strings.Repeat("x", n-9) + `"}`)})
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = -1
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+g.tokens["operator"])
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%d bytes: %d, want %d", n, resp.StatusCode, want)
		}
	}
	eventually(t, "places are held for nobody", func() bool { return p.Shares() == 0 })
}

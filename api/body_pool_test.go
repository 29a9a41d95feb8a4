package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// promise is a connection that promises n bytes and sends only these.
func promise(t *testing.T, srv *httptest.Server, from, token, path string, n int, sent string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	head := "POST " + path + " HTTP/1.1\r\nHost: lodge\r\nContent-Type: application/json\r\n"
	if token != "" {
		head += "Authorization: Bearer " + token + "\r\n"
	}
	send := func() { _, _ = fmt.Fprintf(c, "%sContent-Length: %d\r\n\r\n%s", head, n, sent) }
	if len(sent) < 1000 {
		send()
	} else {
		go send() // lodged reads no further while there is no room
	}
	return c
}

// crowd are the callers of two tenants.
var crowd = []string{"ours admin", "ours member", "theirs admin", "theirs member"}

// What is promised and not sent takes no place from anybody.
func TestAPromiseHoldsNothing(t *testing.T) {
	g, srv, p := poolsThat(t, 2*time.Second, time.Hour)
	for _, who := range crowd {
		for range 33 {
			promise(t, srv, "127.0.0.1", g.tokens[who], "/v1/tokens", 100_000, "{")
		}
	}
	for n := 11; n <= 14; n++ {
		for range 66 {
			promise(t, srv, fmt.Sprint("127.0.0.", n), "", "/v1/sessions", 16<<10, "{")
		}
	}
	eventually(t, "the crowd is not there", func() bool { return p.Busy() == 4*33+4*66 })
	begin := time.Now()
	for who, body := range map[string]string{"operator": `{"name":"a","role":"operator"}`, "ours viewer": `{"name":"b"}`, "theirs member": `{"name":"c"}`} {
		if resp := post(t, srv, g.tokens[who], "/v1/tokens", body); resp.StatusCode != 201 {
			t.Errorf("%s: %d", who, resp.StatusCode)
		}
	}
	if resp := post(t, srv, "", "/v1/sessions", `{"user":"nobody","password":"not this one"}`); resp.StatusCode != 401 {
		t.Errorf("a login: %d", resp.StatusCode)
	}
	t.Logf("%d bytes are held; four answers in %s", p.Held(), time.Since(begin))
	if p.Held() != 0 {
		t.Errorf("%d bytes are held", p.Held())
	}
}

// Where the pool is full of bodies that stand still, or send a byte now and then,
// those make room that have done so for the longest; whoever has nothing has room
// at once.
func TestBodiesThatStandStillMakeRoom(t *testing.T) {
	for _, drips := range []bool{false, true} {
		t.Run(fmt.Sprint("drips ", drips), func(t *testing.T) {
			g, srv, p := poolsThat(t, 5*time.Second, 500*time.Millisecond)
			var full []net.Conn
			for _, who := range crowd {
				for range 4 {
					full = append(full, promise(t, srv, "127.0.0.1", g.tokens[who], "/v1/tokens", mebibyte, strings.Repeat(" ", mebibyte-1000)))
				}
			}
			eventually(t, "the pool is not full", func() bool { return p.Held() >= 16<<20 })
			begin := time.Now()
			if resp := post(t, srv, g.tokens["operator"], "/v1/tokens", `{"name":"a`+strings.Repeat(" ", 60<<10)+`"}`); resp.StatusCode != 400 {
				t.Errorf("a body of 60 KiB: %d", resp.StatusCode)
			}
			if took := time.Since(begin); took > 400*time.Millisecond {
				t.Errorf("it waited %s for its own room", took)
			}
			if drips {
				for _, c := range full {
					go func() {
						for range 500 {
							if _, err := c.Write([]byte(" ")); err != nil {
								return
							}
							time.Sleep(10 * time.Millisecond)
						}
					}()
				}
			}
			begin = time.Now()
			if resp := post(t, srv, g.tokens["operator"], "/v1/tokens", `{"name":"`+strings.Repeat("x", mebibyte-11)+`"}`); resp.StatusCode != 400 {
				t.Errorf("a body of 1 MiB: %d", resp.StatusCode)
			}
			t.Logf("a body of 1 MiB took %s", time.Since(begin))
			ended := make(chan int, len(full))
			for _, c := range full {
				go func() {
					_ = c.SetReadDeadline(time.Now().Add(time.Second))
					resp, err := http.ReadResponse(bufio.NewReader(c), nil)
					if err != nil {
						ended <- 0
						return
					}
					if resp.Header.Get("Retry-After") == "" {
						t.Errorf("%d without Retry-After", resp.StatusCode)
					}
					resp.Body.Close()
					ended <- resp.StatusCode
				}()
			}
			got := map[int]int{}
			for range full {
				got[<-ended]++
			}
			if got[503] == 0 || got[503] == len(full) || got[503]+got[0] != len(full) {
				t.Errorf("of the crowd %v", got)
			}
			srv.CloseClientConnections()
			eventually(t, "places are held for nobody", func() bool { return p.Shares() == 0 })
		})
	}
}

// However a body ends, its place is given back.
func TestEveryPlaceIsGivenBack(t *testing.T) {
	g, srv, p := poolsThat(t, 300*time.Millisecond, time.Hour)
	long := strings.Repeat(" ", 100_000)
	for name, end := range map[string]func(c net.Conn){
		"abort": func(c net.Conn) { c.Close() },
		"reset": func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); c.Close() },
		"half":  func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite() },
		"400":   func(c net.Conn) { _, _ = io.WriteString(c, long) },
	} {
		t.Run(name, func(t *testing.T) {
			for range 8 {
				c := promise(t, srv, "127.0.0.1", g.tokens["ours member"], "/v1/tokens", 200_000, long)
				eventually(t, "nothing is held", func() bool { return p.Held() >= 128<<10 })
				end(c)
			}
			eventually(t, "places are held for nobody", func() bool { return p.Shares() == 0 })
		})
	}
	for n, want := range map[int]int{mebibyte: 400, 2 * mebibyte: 413} {
		if resp := post(t, srv, g.tokens["ours member"], "/v1/tokens", strings.Repeat(" ", n)); resp.StatusCode != want {
			t.Errorf("%d bytes: %d", n, resp.StatusCode)
		}
	}
	eventually(t, "places are held for nobody", func() bool { return p.Shares() == 0 })
}

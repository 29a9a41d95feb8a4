package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"lodge/api"
)

// A refusal is there at once, however little of the body is missing, and who sends
// no more is waited for shortly.
func TestARefusalDoesNotWaitForTheBody(t *testing.T) {
	_, srv, p := pools(t)
	for _, missing := range []int{1, 200_000, 300_000} {
		begin := time.Now()
		c := promise(t, srv, "127.0.0.1", "", "/v1/instances", 1+missing, "{")
		if resp := answered(t, c); resp.StatusCode != 401 {
			t.Errorf("%d", resp.StatusCode)
		}
		first := time.Since(begin)
		_, err := io.Copy(io.Discard, c)
		closed := time.Since(begin)
		t.Logf("%d bytes missing: answered after %s, closed after %s (%v)", missing, first, closed, err)
		if first > time.Second || closed > 5*time.Second {
			t.Errorf("%d bytes missing: answered after %s, closed after %s", missing, first, closed)
		}
	}
	eventually(t, "a request is not done", func() bool { return p.Busy() == 0 })
}

// A connection goes on when the rest of a refused body is there; what comes later
// is never taken for another request.
func TestAConnectionOutlivesARefusal(t *testing.T) {
	_, srv, _ := pools(t)
	for _, rest := range []string{"}", "}" + strings.Repeat(" ", 100_000)} {
		for _, late := range []time.Duration{0, 300 * time.Millisecond, 3 * time.Second} {
			c := promise(t, srv, "127.0.0.1", "", "/v1/instances", 1+len(rest), "{")
			r := bufio.NewReader(c)
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			time.Sleep(late)
			_, _ = fmt.Fprintf(c, "%sGET /healthz HTTP/1.1\r\nHost: lodge\r\n\r\n", rest)
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatalf("%d bytes after %s: %v", len(rest), late, err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			if resp.StatusCode != 401 || resp.Close != (late > 0) {
				t.Errorf("%d bytes after %s: %d, close: %v", len(rest), late, resp.StatusCode, resp.Close)
			}
			again, err := http.ReadResponse(r, nil)
			if goesOn := err == nil && again.StatusCode == 200; goesOn != (late == 0) {
				t.Errorf("%d bytes after %s: then %v, %v", len(rest), late, again, err)
			}
		}
	}
}

// Nobody has many refused requests waited for.
func TestLingerersAreBounded(t *testing.T) {
	l := api.NewLingerers()
	var leaves []func()
	enter := func(from string) bool {
		leave, ok := l.Enter(from)
		if ok {
			leaves = append(leaves, leave)
		}
		return ok
	}
	got := map[string]int{}
	for conn := range 64 {
		for range 64 {
			for _, from := range []string{"192.0.2.1:%d", "[2001:db8::%[1]d]:%[1]d", "192.0.2.2:%d"} {
				if enter(fmt.Sprintf(from, conn+1)) {
					got[from[:8]]++
				}
			}
		}
		if conn == 0 && (got["192.0.2."] != 16 || got["[2001:db"] != 8) {
			t.Errorf("of one connection %v", got)
		}
	}
	if got["192.0.2."] != 128 || got["[2001:db"] != 64 {
		t.Errorf("of an address %v", got)
	}
	for n := range 512 {
		enter(fmt.Sprintf("198.51.100.%d:%d", n/4, n))
	}
	if len(leaves) != 256 {
		t.Errorf("%d in all", len(leaves))
	}
	for _, leave := range leaves {
		leave()
	}
	if n := l.Counted(); n != 0 {
		t.Errorf("%d are counted for nobody", n)
	}
}

package daemon

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Tokens that are not good (any more) get nobody in, each refusal is in the log,
// and no secret is.
func TestBadTokensAreRefusedAndTheLogHasNoSecret(t *testing.T) {
	var later atomic.Int64
	s := start(t, t.TempDir(), func(c *Config) {
		c.PlainHTTP = true
		c.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	})
	password := saidPassword.FindStringSubmatch(s.said.String())[1]
	_, session := s.call(http.DefaultClient, "POST", "/v1/sessions", "", fmt.Sprintf(`{"user":"operator","password":%q}`, password))
	root := session["token"].(string)
	token := func(body string) (id, secret string) {
		t.Helper()
		status, k := s.call(http.DefaultClient, "POST", "/v1/tokens", root, body)
		if status != 201 {
			t.Fatalf("%d %v", status, k)
		}
		return k["id"].(string), k["secret"].(string)
	}
	gone, revoked := token(`{"name":"revoked"}`)
	_, short := token(`{"name":"short","expires_in":"1h"}`)
	_, read := token(`{"name":"read","scope":"read"}`)
	_, usage := token(`{"name":"usage","scope":"usage"}`)
	_, viewer := token(`{"name":"viewer","role":"viewer","tenant":"default"}`)
	for _, good := range []string{revoked, short, read, viewer} {
		if status, a := s.call(http.DefaultClient, "GET", "/v1/instances", good, ""); status != 200 {
			t.Fatalf("a good token gets %d %v", status, a)
		}
	}
	if status, _ := s.call(http.DefaultClient, "DELETE", "/v1/tokens/"+gone, root, ""); status != 204 {
		t.Fatalf("revoke: %d", status)
	}
	later.Store(int64(2 * time.Hour))
	for _, c := range []struct {
		name, token, method, path string
		status                    int
		code                      string
	}{
		{"revoked", revoked, "GET", "/v1/instances", 401, "unauthorized"},
		{"expired", short, "GET", "/v1/instances", 401, "unauthorized"},
		{"truncated", root[:len(root)-1], "GET", "/v1/instances", 401, "unauthorized"},
		{"half", root[:20], "GET", "/v1/instances", 401, "unauthorized"},
		{"longer", root + "0", "GET", "/v1/instances", 401, "unauthorized"},
		{"in capitals", strings.ToUpper(root), "GET", "/v1/instances", 401, "unauthorized"},
		{"the password", password, "GET", "/v1/instances", 401, "unauthorized"},
		{"read only", read, "DELETE", "/v1/instances/00000000-0000-4000-8000-000000000001", 403, "forbidden"},
		{"usage only", usage, "GET", "/v1/instances", 403, "forbidden"},
		{"a viewer", viewer, "POST", "/v1/tenants", 403, "forbidden"},
	} {
		status, a := s.call(http.DefaultClient, c.method, c.path, c.token, "")
		if status != c.status || a["code"] != c.code || strings.Contains(fmt.Sprint(a), c.token) {
			t.Errorf("%s: %d %v", c.name, status, a)
		}
		if id := a["request_id"].(string); !strings.Contains(s.log.String(), fmt.Sprintf("request_id=%s method=%s path=%s status=%d", id, c.method, c.path, c.status)) {
			t.Errorf("%s: the log does not have it", c.name)
		}
	}
	s.call(http.DefaultClient, "GET", "/v1/instances?token="+root, "", "") // it is not looked for there, and not logged
	_, audit := s.call(http.DefaultClient, "GET", "/v1/audit?limit=500", root, "")
	for name, secret := range map[string]string{"session": root, "revoked": revoked, "short": short, "read": read, "usage": usage, "viewer": viewer, "password": password} {
		for _, part := range []string{secret, secret[len(secret)/2:]} {
			if strings.Contains(s.log.String(), part) {
				t.Errorf("the log has the %s", name)
			}
			if strings.Contains(fmt.Sprint(audit), part) {
				t.Errorf("the audit log has the %s", name)
			}
		}
	}
}

func TestLimitsAreOverTCPAndNotOnTheSocket(t *testing.T) {
	s := start(t, t.TempDir(), func(c *Config) { c.PlainHTTP, c.RateLimit, c.RateBurst = true, 1, 5 })
	refused := 0
	for range 20 {
		if status, a := s.call(http.DefaultClient, "GET", "/v1/version", "", ""); status == 429 && a["code"] == "rate_limited" {
			refused++
		}
	}
	if refused < 10 {
		t.Errorf("%d of 20 were refused", refused)
	}
	c := s.overSocket()
	for range 20 {
		resp, err := c.Get("http://lodge/v1/instances")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 || resp.Header.Get("RateLimit-Limit") != "" {
			t.Fatalf("%s %v", resp.Status, resp.Header)
		}
	}
}

func (s *started) overSocket() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", s.cfg.Socket)
	}}}
}

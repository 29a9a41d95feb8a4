package daemon

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"lodge/cert/pin"
)

// started is a daemon with a pretend host that serves tenants.
type started struct {
	*Daemon
	t    *testing.T
	said bytes.Buffer
	log  bytes.Buffer
	stop func()
}

func start(t *testing.T, dir string, change func(*Config)) *started {
	t.Helper()
	s := &started{t: t}
	cfg := Config{
		DataDir: dir, Socket: filepath.Join(dir, "s"), Sim: true, Accel: "tcg", Workers: 2, SweepEvery: time.Minute,
		NetworkPool: netip.MustParsePrefix("10.77.0.0/16"), VCPURatio: 16, MemoryRatio: 1, Listen: "127.0.0.1:0",
		Now: time.Now, NewID: uuid.NewString, Log: slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Out: &s.said,
	}
	if change != nil {
		change(&cfg)
	}
	d, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Daemon = d
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	stopped := false
	s.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(s.stop)
	return s
}

func (s *started) client() *http.Client {
	s.t.Helper()
	ca, ok := s.certs.CA()
	if !ok {
		s.t.Fatal("no CA of its own")
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: pin.Config(ca), ForceAttemptHTTP2: true}}
}

func (s *started) call(c *http.Client, method, path, token, body string) (status int, answer map[string]any) {
	s.t.Helper()
	scheme := "https"
	if s.certs == nil {
		scheme = "http"
	}
	req, err := http.NewRequest(method, scheme+"://"+s.tcp.Addr().String()+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if len(b) > 0 {
		if err := json.Unmarshal(b, &answer); err != nil {
			s.t.Fatalf("%s: %v", b, err)
		}
	}
	return resp.StatusCode, answer
}

var saidPassword = regexp.MustCompile(`password +(\S+)`)

func TestTenantsComeInOverTLSWithATokenOnly(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, nil)
	c := s.client()
	if status, _ := s.call(c, "GET", "/v1/instances", "", ""); status != 401 {
		t.Errorf("nobody gets %d", status)
	}
	if status, _ := s.call(c, "GET", "/v1/instances", "lodge_"+strings.Repeat("0", 64)+"_00000000", ""); status != 401 {
		t.Errorf("a made-up token gets %d", status)
	}
	m := saidPassword.FindStringSubmatch(s.said.String())
	if m == nil || !strings.Contains(s.said.String(), s.certs.Fingerprint()) {
		t.Fatalf("the way in was not said: %q", s.said.String())
	}
	status, session := s.call(c, "POST", "/v1/sessions", "", fmt.Sprintf(`{"user":"operator","password":%q}`, m[1]))
	if status != 201 {
		t.Fatalf("login: %d %v", status, session)
	}
	token := session["token"].(string)
	if status, who := s.call(c, "GET", "/v1/whoami", token, ""); status != 200 || who["operator"] != true {
		t.Errorf("whoami: %d %v", status, who)
	}
	for _, secret := range []string{m[1], token} {
		if strings.Contains(s.log.String(), secret) {
			t.Error("the log has a secret in it")
		}
	}
	_, err := (&http.Client{}).Get("https://" + s.tcp.Addr().String() + "/v1/version")
	if err == nil {
		t.Error("a client that pinned nothing trusts the certificate")
	}
	old := pin.Config(nil)
	old.InsecureSkipVerify, old.MaxVersion = true, tls.VersionTLS11
	if conn, err := tls.Dial("tcp", s.tcp.Addr().String(), old); err == nil {
		conn.Close()
		t.Error("TLS 1.1 is spoken")
	}
	s.stop()

	// What was pinned is good after a restart. (The database of a pretend host is not.)
	again := start(t, dir, nil)
	if status, _ := again.call(c, "GET", "/v1/version", "", ""); status != 200 {
		t.Errorf("after a restart: %d", status)
	}
}

func TestPlainHTTPIsForLoopback(t *testing.T) {
	for listen, ok := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true,
		":1": false, "0.0.0.0:1": false, "192.0.2.1:1": false, "localhost:1": false, "[::]:1": false, "nonsense": false,
	} {
		if err := onlyLoopback(listen); (err == nil) != ok {
			t.Errorf("%s: %v", listen, err)
		}
	}
	s := start(t, t.TempDir(), func(c *Config) { c.PlainHTTP = true })
	if status, _ := s.call(http.DefaultClient, "GET", "/v1/version", "", ""); status != 200 {
		t.Errorf("version: %d", status)
	}
}

func TestOneAddressDoesNotTakeAllConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := newBounded(l, 5, 3)
	t.Cleanup(func() { b.Close() })
	accepted := make(chan net.Conn, 10)
	go func() {
		for {
			c, err := b.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	var in []net.Conn
	for range 3 {
		dial()
		in = append(in, <-accepted)
	}
	refused := dial()
	_ = refused.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := refused.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a fourth connection: %v", err)
	}
	in[0].Close()
	in[0].Close() // twice is once
	dial()
	select {
	case <-accepted:
	case <-time.After(5 * time.Second):
		t.Error("the place of a closed connection is not given again")
	}
	for _, c := range []struct {
		a, b string
		same bool
	}{{"[2001:db8::1]:1", "[2001:db8::ffff]:2", true}, {"[2001:db8::1]:1", "[2001:db8:0:1::1]:1", false}, {"192.0.2.1:1", "[::ffff:192.0.2.1]:1", true}} {
		x, y := sourceOf(text(c.a)), sourceOf(text(c.b))
		if (x == y) != c.same {
			t.Errorf("%s is %s, %s is %s", c.a, x, c.b, y)
		}
	}
}

type text string

func (text) Network() string  { return "tcp" }
func (t text) String() string { return string(t) }

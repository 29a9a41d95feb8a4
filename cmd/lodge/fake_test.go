package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"lodge/api/wire"
)

// noon is when every test happens.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) wire.Time { return wire.Time{Time: noon.Add(-d)} }

const (
	web1ID  = "11111111-1111-4111-8111-111111111111"
	db1ID   = "22222222-2222-4222-8222-222222222222"
	imageID = "33333333-3333-4333-8333-333333333333"
	netID   = "44444444-4444-4444-8444-444444444444"
	acmeID  = "55555555-5555-4555-8555-555555555555"
	homeID  = "66666666-6666-4666-8666-666666666666"
)

func web1() wire.Instance {
	return wire.Instance{
		ID: web1ID, Name: "web1", TenantID: homeID, Tenant: "default", Labels: map[string]string{"team": "red", "env": "test"},
		CreatedAt: ago(3 * time.Hour), UpdatedAt: ago(time.Hour), Revision: 7, Flavor: "c2-m4", VCPUs: 2, MemoryMiB: 4096, DiskGiB: 20,
		ImageID: imageID, Image: "debian-12", LoginUser: "debian", Firmware: "uefi", SSHKeys: []string{"ssh-ed25519 AAAA ann"},
		UserDataBytes: 2048, Power: "running", Generation: 3, State: "running", ObservedGeneration: 3, Settled: true,
		Running: &wire.Running{VCPUs: 2, MemoryMiB: 4096}, HostID: "host-1", StartedAt: ago(time.Hour), Addresses: []string{"10.77.0.5"},
		Ports: []wire.Port{{ID: "p", NetworkID: netID, MAC: "52:54:00:aa:bb:cc", FixedIPs: []wire.FixedIP{{SubnetID: "s", Address: "10.77.0.5"}}}},
	}
}

// fake is a /v1 that answers from a table and remembers what it was asked.
type fake struct {
	mu      sync.Mutex
	asked   []string
	answers map[string][]any // by "GET /v1/instances", in order; the last one stays
}

// problem is an answer that says what went wrong.
type problem wire.Failure

// raw is an answer that is not JSON.
type raw string

// sse is an answer that is a stream of events; it ends behind its text.
type sse string

// status is an answer with a status of its own.
type status struct {
	code int
	body any
}

func (f *fake) on(route string, answers ...any) *fake {
	f.answers[route] = answers
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	defer f.mu.Unlock()
	line := r.Method + " " + r.URL.RequestURI()
	if len(body) > 0 {
		line += " " + string(body)
	}
	if len(f.asked) == 0 || f.asked[len(f.asked)-1] != line { // looks in a row are one
		f.asked = append(f.asked, line)
	}
	route := r.Method + " " + r.URL.Path
	queue := f.answers[route]
	if len(queue) == 0 {
		write(w, problem{Status: 404, Code: "not_found", Detail: "There is no such thing."})
		return
	}
	if len(queue) > 1 {
		f.answers[route] = queue[1:]
	}
	write(w, queue[0])
}

func write(w http.ResponseWriter, answer any) {
	switch v := answer.(type) {
	case nil:
		w.WriteHeader(http.StatusNoContent)
	case raw:
		_, _ = io.WriteString(w, string(v))
	case sse:
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, string(v))
	case problem:
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(v.Status)
		_ = json.NewEncoder(w).Encode(v)
	case status:
		w.WriteHeader(v.code)
		_ = json.NewEncoder(w).Encode(v.body)
	default:
		_ = json.NewEncoder(w).Encode(v)
	}
}

// bench is a command line with a fake at the other end.
type bench struct {
	*fake
	app  *app
	out  bytes.Buffer
	err  bytes.Buffer
	in   strings.Reader
	argv []string // of ssh
	dir  string
	env  map[string]string
	addr string // of the fake over TCP, "ADDR" in a golden

	secrets []string // what a person types without echo
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir, err := os.MkdirTemp("", "lodge") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b := &bench{fake: &fake{answers: map[string][]any{}}, dir: dir, env: map[string]string{"LODGE_SOCKET": filepath.Join(dir, "s")}}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(b.fake)
	server.Listener.Close()
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	b.app = &app{
		in: &b.in, out: &b.out, err: &b.err, home: dir, getenv: func(k string) string { return b.env[k] },
		now:      func() time.Time { return noon },
		exec:     func(_ string, argv, _ []string) error { b.argv = argv; return nil },
		sshReady: func(context.Context, string) error { return nil },
		pause:    time.Millisecond,
		secret:   b.typed,
	}
	instances := wire.List[wire.Instance]{Items: []wire.Instance{web1()}}
	b.on("GET /v1/instances", instances).on("GET /v1/instances/"+web1ID, web1())
	return b
}

// typed is what a person types next without echo.
func (b *bench) typed(_ context.Context, prompt string) (string, error) {
	fmt.Fprintln(&b.err, prompt)
	if len(b.secrets) == 0 {
		return "", io.EOF
	}
	s := b.secrets[0]
	b.secrets = b.secrets[1:]
	return s, nil
}

// overTCP puts the fake on a loopback address in place of the socket.
func (b *bench) overTCP(t *testing.T) {
	t.Helper()
	server := httptest.NewServer(b.fake)
	t.Cleanup(server.Close)
	b.addr = strings.TrimPrefix(server.URL, "http://")
	delete(b.env, "LODGE_SOCKET")
}

// run gives the exit code.
func (b *bench) run(args ...string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return b.app.run(ctx, args)
}

// story is everything that can be seen of a run.
func (b *bench) story(args []string, code int) (story string) {
	var s strings.Builder
	fmt.Fprintf(&s, "$ lodge %s\n", strings.Join(args, " "))
	if b.addr != "" {
		defer func() { story = strings.ReplaceAll(story, b.addr, "ADDR") }()
	}
	for _, line := range b.asked {
		fmt.Fprintf(&s, "-> %s\n", line)
	}
	if b.argv != nil {
		fmt.Fprintf(&s, "exec %s\n", strings.Join(b.argv, " "))
	}
	if b.err.Len() > 0 {
		fmt.Fprintf(&s, "-- stderr\n%s", b.err.String())
	}
	fmt.Fprintf(&s, "-- stdout\n%s-- exit %d\n", b.out.String(), code)
	return strings.ReplaceAll(s.String(), b.dir, "DIR")
}

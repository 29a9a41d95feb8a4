package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestMain is lodged itself when a test starts it as a process of its own, whose
// memory and files can be counted.
func TestMain(m *testing.M) {
	if os.Getenv("LODGED_TEST_MAIN") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// process is a lodged on a pretend host.
type process struct {
	t        *testing.T
	cmd      *exec.Cmd
	addr     string
	tls      bool
	password string
	log      *bytes.Buffer
}

var wayIn = regexp.MustCompile(`(?s)address +(https?)://(\S+)\n.*password +(\S+)\n`)

func startProcess(t *testing.T, args ...string) *process {
	t.Helper()
	dir, err := os.MkdirTemp("", "lodged") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &process{t: t, log: &bytes.Buffer{}}
	p.cmd = exec.Command(os.Args[0], append([]string{"--sim", "--data-dir", dir, "--socket", filepath.Join(dir, "s"), "--listen", "127.0.0.1:0"}, args...)...)
	p.cmd.Env = append(os.Environ(), "LODGED_TEST_MAIN=1")
	p.cmd.Stderr = p.log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("lodged ends with %v:\n%s", err, p.log)
		}
	})
	said, lines := "", bufio.NewScanner(out)
	for !strings.Contains(said, "Log in with") {
		if !lines.Scan() {
			t.Fatalf("lodged says %q", said)
		}
		said += lines.Text() + "\n"
	}
	m := wayIn.FindStringSubmatch(said)
	p.tls, p.addr, p.password = m[1] == "https", m[2], m[3]
	return p
}

// status is a number of /proc/PID/status, in KiB or of threads.
func (p *process) status(name string) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), name+":")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

func (p *process) files() int {
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(list)
}

func (p *process) client(keep bool) *http.Client {
	// It is the client that attacks here; pinning has tests of its own.
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: !keep, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
}

func (p *process) url(path string) string {
	if p.tls {
		return "https://" + p.addr + path
	}
	return "http://" + p.addr + path
}

func (p *process) login() string {
	p.t.Helper()
	resp, err := p.client(false).Post(p.url("/v1/sessions"), "application/json", strings.NewReader(`{"user":"operator","password":"`+p.password+`"}`))
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	var s struct{ Token string }
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil || s.Token == "" {
		p.t.Fatalf("login: %s %v", resp.Status, err)
	}
	return s.Token
}

// dawdler opens connections from a loopback address of its own share, and does
// on each something that takes for ever.
type dawdler struct {
	p    *process
	n    int
	open *atomic.Int64 // connections that are open now
	all  *atomic.Int64 // that were made
}

const perAddress = 200 // connections; lodged takes 256 of one

func (d dawdler) run(ctx context.Context, dialing chan struct{}) {
	for ctx.Err() == nil {
		d.once(ctx, dialing)
		select { // an attacker that is dropped comes again
		case <-ctx.Done():
		case <-time.After(time.Duration(5+rand.IntN(10)) * time.Second):
		}
	}
}

func (d dawdler) once(ctx context.Context, dialing chan struct{}) {
	k := d.n / perAddress
	from := &net.TCPAddr{IP: net.IPv4(127, 66, byte(k>>8), byte(k))}
	select {
	case dialing <- struct{}{}:
	case <-ctx.Done():
		return
	}
	c, err := (&net.Dialer{LocalAddr: from, Timeout: 10 * time.Second}).DialContext(ctx, "tcp", d.p.addr)
	if err == nil && d.p.tls && d.n%4 != 2 {
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		t := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
		if err = t.HandshakeContext(ctx); err != nil {
			c.Close()
		}
		c = t
	}
	<-dialing
	if err != nil {
		return
	}
	defer c.Close()
	d.open.Add(1)
	d.all.Add(1)
	defer d.open.Add(-1)
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	_ = c.SetDeadline(time.Time{})
	switch d.n % 4 {
	case 0: // headers that never end
		d.drip(ctx, c, "GET /v1/version HTTP/1.1\r\nHost: lodge\r\nX-Drip: ")
	case 1: // a body that never ends
		d.drip(ctx, c, "POST /v1/sessions HTTP/1.1\r\nHost: lodge\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n{")
	case 2: // not a word, and no handshake
		_, _ = c.Read(make([]byte, 1))
	case 3: // answers that are never read
		req := strings.Repeat("GET /v1/openapi.yaml HTTP/1.1\r\nHost: lodge\r\n\r\n", 20)
		for ctx.Err() == nil {
			if _, err := c.Write([]byte(req)); err != nil {
				return
			}
		}
	}
}

// drip ends when lodged has closed the connection.
func (d dawdler) drip(ctx context.Context, c net.Conn, begin string) {
	if _, err := c.Write([]byte(begin)); err != nil {
		return
	}
	gone := make(chan struct{})
	go func() { defer close(gone); _, _ = io.Copy(io.Discard, c) }()
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-gone:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
			if _, err := c.Write([]byte("a")); err != nil {
				return
			}
		}
	}
}

// figures are how long answers took.
type figures struct {
	took   []time.Duration
	failed []error
}

func (f *figures) ask(ctx context.Context, p *process, c *http.Client, token string) {
	for ctx.Err() == nil {
		start := time.Now()
		req, _ := http.NewRequestWithContext(context.Background(), "GET", p.url("/v1/whoami"), nil)
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := c.Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode != 200 {
				err = fmt.Errorf("status %d", resp.StatusCode)
			}
		}
		if err != nil {
			f.failed = append(f.failed, err)
		}
		f.took = append(f.took, time.Since(start))
		time.Sleep(10 * time.Millisecond)
	}
	slices.Sort(f.took)
}

func (f *figures) at(part float64) time.Duration {
	return f.took[min(int(part*float64(len(f.took))), len(f.took)-1)]
}

// Ten thousand connections dawdle in four ways, from fifty addresses, and come
// again when they are dropped. Whoever has a token goes on to get answers, over
// the connection that it has and over new ones; memory and files stay bounded;
// afterwards nothing is left.
func TestTenThousandSlowConnections(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it takes half a minute")
	}
	const attackers = 10_000
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil || files.Cur < attackers+1000 {
		t.Skipf("skipped: %d files may be open here and the attackers need %d; raise ulimit -n", files.Cur, attackers+1000)
	}
	for _, way := range []struct {
		name string
		args []string
	}{{"plain", []string{"--plain-http", "--rate-limit", "0"}}, {"tls", []string{"--rate-limit", "0"}}} {
		t.Run(way.name, func(t *testing.T) {
			if way.name == "tls" && os.Getenv("LODGE_ATTACK") == "" {
				t.Skip("skipped without LODGE_ATTACK=1: ten thousand handshakes take a minute; make attack")
			}
			p := startProcess(t, way.args...)
			token := p.login()
			kept := p.client(true)
			var quiet figures
			short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			quiet.ask(short, p, kept, token)
			cancel()
			filesBefore, memoryBefore := p.files(), p.status("VmRSS")

			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			var open, all atomic.Int64
			var attack sync.WaitGroup
			dialing := make(chan struct{}, 32)
			for n := range attackers {
				attack.Go(func() { dawdler{p, n, &open, &all}.run(ctx, dialing) })
			}
			for end := time.Now().Add(60 * time.Second); all.Load() < attackers; time.Sleep(50 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("%d connections in a minute", all.Load())
				}
			}
			var old, fresh figures
			busy, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var asking sync.WaitGroup
			asking.Go(func() { old.ask(busy, p, kept, token) })
			asking.Go(func() { fresh.ask(busy, p, p.client(false), token) })
			mostFiles := 0
			for busy.Err() == nil {
				mostFiles = max(mostFiles, p.files())
				time.Sleep(100 * time.Millisecond)
			}
			asking.Wait()
			t.Logf("quiet: p50 %s, p99 %s, %d MiB, %d files", quiet.at(.5), quiet.at(.99), memoryBefore>>10, filesBefore)
			t.Logf("under attack by %d connections in all: kept connection p50 %s, p99 %s (%d answers), new ones p50 %s, p99 %s (%d); at most %d MiB, %d files",
				all.Load(), old.at(.5), old.at(.99), len(old.took), fresh.at(.5), fresh.at(.99), len(fresh.took), p.status("VmHWM")>>10, mostFiles)
			for name, f := range map[string]figures{"kept": old, "new": fresh} {
				if len(f.failed) > 0 {
					t.Errorf("%s: %d of %d requests failed: %v", name, len(f.failed), len(f.took), f.failed[0])
				}
				if f.at(.99) > 2*time.Second {
					t.Errorf("%s: p99 is %s", name, f.at(.99))
				}
			}
			if p.status("VmHWM") > 768<<10 {
				t.Errorf("lodged took %d MiB", p.status("VmHWM")>>10)
			}
			if mostFiles > 4096+512 {
				t.Errorf("%d files were open", mostFiles)
			}
			stop()
			attack.Wait()
			for end := time.Now().Add(20 * time.Second); p.files() > filesBefore+8; time.Sleep(100 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("%d files are open after the attack, %d were before", p.files(), filesBefore)
				}
			}
		})
	}
}

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lodge/api/wire"
)

// silent is standard input that nobody writes to. The first read of it is the
// interrupt's moment.
type silent struct {
	once sync.Once
	read chan struct{}
}

func (s *silent) Read([]byte) (int, error) {
	s.once.Do(func() { close(s.read) })
	select {}
}

// interrupted runs lodge until it waits and then interrupts it.
func (b *bench) interrupted(t *testing.T, waits <-chan struct{}, args ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	code := make(chan int, 1)
	go func() { code <- b.app.run(ctx, args) }()
	select {
	case <-waits:
	case got := <-code:
		t.Fatalf("exit %d before anything was read: %s", got, b.err.String())
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was read")
	}
	cancel()
	select {
	case got := <-code:
		if got != exitInterrupted || !strings.Contains(b.err.String(), "lodge: Interrupted") {
			t.Errorf("exit %d: %s", got, b.err.String())
		}
	case <-time.After(10 * time.Second):
		t.Error("the interrupt is not heeded")
	}
	b.fake.mu.Lock() // what was cut off may still arrive
	defer b.fake.mu.Unlock()
	for _, line := range b.asked {
		// An upload has begun before its first byte is read; cut off, it leaves nothing.
		upload := args[0] == "image" && strings.HasPrefix(line, "POST /v1/images?")
		if !strings.HasPrefix(line, "GET ") && !strings.Contains(line, "dry_run") && !upload {
			t.Errorf("asked %s", line)
		}
	}
}

func TestAnInterruptEndsWhatWaitsForInput(t *testing.T) {
	for args, tty := range map[string]bool{
		"delete web1":                                            true,
		"delete -l env=test":                                     true,
		"create web1 --no-ssh-key --user-data -":                 false,
		"user create ada --password-stdin":                       false,
		"user password ada --password-stdin":                     false,
		"login http://ADDR --token-stdin":                        false,
		"login http://ADDR --user ada --password-stdin":          false,
		"login http://ADDR":                                      true,
		"image import - --name mine":                             false,
		"--context none login http://ADDR --token-stdin -o json": false,
	} {
		t.Run(args, func(t *testing.T) {
			b := newBench(t)
			if strings.Contains(args, "login") {
				b.overTCP(t)
			}
			in := &silent{read: make(chan struct{})}
			b.app.in, b.app.ttyIn = in, tty
			b.on("GET /v1/whoami", wire.Whoami{UserName: "ada"})
			b.on("DELETE /v1/instances", wire.BulkResult{Matched: 1, Instances: []wire.BulkItem{{ID: web1ID, Name: "web1"}}})
			b.interrupted(t, in.read, strings.Fields(strings.ReplaceAll(args, "ADDR", b.addr))...)
		})
	}
}

// fifo makes a pipe and says when somebody waits for its writer.
func fifo(t *testing.T, path string) (waits <-chan struct{}) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	there := make(chan struct{})
	// A writer that does not wait is let in once there is a reader, which then
	// waits for its bytes.
	go func() {
		for t.Context().Err() == nil {
			w, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
			if err == nil {
				t.Cleanup(func() { w.Close() })
				close(there)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	return there
}

func TestAnInterruptEndsAWaitForAPipe(t *testing.T) {
	for _, args := range []string{
		"create web1 --no-ssh-key --user-data PIPE",
		"create web1 --ssh-key PIPE",
		"image import PIPE --name mine",
		"list",
	} {
		t.Run(args, func(t *testing.T) {
			b := newBench(t)
			pipe := filepath.Join(b.dir, "pipe")
			waits := fifo(t, pipe)
			if args == "list" {
				delete(b.env, "LODGE_SOCKET")
				b.env["LODGE_URL"], b.env["LODGE_TOKEN"], b.env["LODGE_CA"] = "https://127.0.0.1:1", secretToken, pipe
			}
			b.interrupted(t, waits, strings.Fields(strings.ReplaceAll(args, "PIPE", pipe))...)
		})
	}
}

func TestAPipeIsNoFileOfContexts(t *testing.T) {
	b := newBench(t)
	delete(b.env, "LODGE_SOCKET")
	fifo(t, b.app.contextFile())
	done := make(chan int, 1)
	go func() { done <- b.run("list") }()
	select {
	case code := <-done:
		if code != exitError || !strings.Contains(b.err.String(), "is not a file of contexts") {
			t.Errorf("exit %d: %s", code, b.err.String())
		}
	case <-time.After(10 * time.Second):
		t.Error("lodge waits for a writer")
	}
}

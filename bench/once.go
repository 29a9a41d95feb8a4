package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/google/uuid"
)

// once is what an Idempotency-Key costs a create: instances a second with and
// without one in turns, and the fsyncs of the daemon for each, as strace counts
// them. Those are counted for flavors: nothing follows their making, so what is
// counted is the request's own.
func (b *bench) once() error {
	const rounds, each, counted = 7, 100, 500
	d, err := b.daemon("once", "--sim", "--workers", "4")
	if err != nil {
		return err
	}
	defer d.stop()
	if err := d.haltImage(); err != nil {
		return err
	}
	// Before there are instances: what the loop records of them are commits too.
	var syncs [2]float64
	for i, keyed := range []bool{false, true} {
		n, err := d.fsyncs(func() error {
			for k := range counted {
				body := fmt.Sprintf(`{"id":"f%d-%d","vcpus":1,"memory_mib":64,"disk_gib":1}`, i, k)
				if err := d.post("/v1/flavors", body, keyed); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		syncs[i] = float64(n) / counted
	}
	line("fsyncs for each create, without and with a key (strace)", fmt.Sprintf("%.2f, %.2f", syncs[0], syncs[1]), "no second one", syncs[1] < syncs[0]+0.1)
	took := map[bool][]time.Duration{}
	for i := range rounds {
		tenant := fmt.Sprintf("t%d", i) // a network has 253 addresses
		if err := d.call("POST", "/v1/tenants", map[string]any{"name": tenant}, nil); err != nil {
			return err
		}
		turns := []bool{false, true}
		if i%2 == 1 {
			slices.Reverse(turns)
		}
		for _, keyed := range turns {
			start := time.Now()
			for k := range each {
				body := fmt.Sprintf(`{"name":"i-%v-%d","vcpus":1,"memory_mib":64,"disk_gib":1,"power":"stopped"}`, keyed, k)
				if err := d.post("/v1/instances?tenant="+tenant, body, keyed); err != nil {
					return err
				}
			}
			took[keyed] = append(took[keyed], time.Since(start)/each)
		}
	}
	plain, keyed := median(took[false]), median(took[true])
	fmt.Printf("%-58s %18s\n", "creates, one after the other, without a key", fmt.Sprintf("%.0f/s", 1/plain.Seconds()))
	fmt.Printf("%-58s %18s\n", "  the same with an Idempotency-Key each", fmt.Sprintf("%.0f/s", 1/keyed.Seconds()))
	return nil
}

func (d *daemon) post(path, body string, keyed bool) error {
	req, err := http.NewRequest("POST", "http://lodge"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if keyed {
		req.Header.Set("Idempotency-Key", uuid.NewString())
	}
	resp, err := d.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("POST %s: %d %s", path, resp.StatusCode, b)
	}
	return err
}

// syncLine is a line of strace -c: "% time, seconds, usecs/call, calls, syscall".
var syncLine = regexp.MustCompile(`(?m)^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(?:fsync|fdatasync|msync|sync_file_range)$`)

// fsyncs counts the daemon's calls that wait for the disk while f runs.
func (d *daemon) fsyncs(f func() error) (int, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var out bytes.Buffer
	attached := &until{word: []byte("attached"), seen: make(chan struct{})}
	cmd := exec.CommandContext(ctx, "strace", "-f", "-c", "-e", "trace=fsync,fdatasync,msync,sync_file_range", "-p", strconv.Itoa(d.cmd.Process.Pid))
	cmd.Stderr = io.MultiWriter(&out, attached)
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("fsyncs are counted by strace: %w", err)
	}
	select {
	case <-attached.seen:
	case <-time.After(5 * time.Second):
		cancel()
		_ = cmd.Wait()
		return 0, fmt.Errorf("strace could not attach: %s", out.Bytes())
	}
	err := f()
	_ = cmd.Process.Signal(syscall.SIGINT)
	_ = cmd.Wait() // it ends by the signal
	n := 0
	for _, m := range syncLine.FindAllStringSubmatch(out.String(), -1) {
		calls, err := strconv.Atoi(m[1])
		if err != nil {
			return 0, err
		}
		n += calls
	}
	return n, err
}

// until closes seen once the word has been written.
type until struct {
	word, all []byte
	seen      chan struct{}
}

func (u *until) Write(p []byte) (int, error) {
	before := bytes.Contains(u.all, u.word)
	u.all = append(u.all, p...)
	if !before && bytes.Contains(u.all, u.word) {
		close(u.seen)
	}
	return len(p), nil
}

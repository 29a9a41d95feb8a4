package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// daemon is a running lodged and a way to talk to it.
type daemon struct {
	dir  string
	cmd  *exec.Cmd
	http *http.Client
	used []time.Duration // CPU time of each burst

	machine time.Duration // CPU time of the machine in the last burst
}

func (b *bench) daemon(name string, flags ...string) (*daemon, error) {
	d := &daemon{dir: b.path(name)}
	if err := os.MkdirAll(d.dir, 0o711); err != nil {
		return nil, err
	}
	socket := filepath.Join(d.dir, "s")
	d.http = &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 64,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	log, err := os.Create(filepath.Join(d.dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	// Sections leave guests and networks behind for the world to end, so each has
	// addresses of its own.
	b.daemons++
	own := []string{"--data-dir", d.dir, "--socket", socket, "--network-pool", fmt.Sprintf("10.%d.0.0/16", 80+b.daemons),
		"--vcpu-overcommit", "1000", "--memory-overcommit", "100"}
	d.cmd = exec.Command(filepath.Join(b.bin, "lodged"), append(own, flags...)...)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	b.end = append(b.end, d.stop)
	for range 300 {
		if resp, err := d.http.Get("http://lodge/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == 200 {
				return d, nil
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil, fmt.Errorf("lodged does not answer; see %s", log.Name())
}

func (d *daemon) stop() {
	if d.cmd.ProcessState != nil {
		return
	}
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	_ = d.cmd.Wait()
}

// call sends JSON and reads JSON; any status but 2xx is an error.
func (d *daemon) call(method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		j, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(j)
	}
	req, err := http.NewRequest(method, "http://lodge"+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := d.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, b)
	}
	if out == nil || len(b) == 0 {
		return nil
	}
	return json.Unmarshal(b, out)
}

type instance struct {
	ID      string          `json:"id"`
	State   string          `json:"state"`
	Problem json.RawMessage `json:"problem"`
}

func small(name string) map[string]any {
	return map[string]any{"name": name, "vcpus": 1, "memory_mib": 64, "disk_gib": 1}
}

// haltImage imports a disk whose boot sector only halts: a guest that is truly
// started and uses no CPU afterwards.
func (d *daemon) haltImage() error {
	disk := make([]byte, 1<<20)
	copy(disk, []byte{0xfa, 0xf4, 0xeb, 0xfc}) // cli; hlt; jmp to hlt
	disk[510], disk[511] = 0x55, 0xaa
	resp, err := d.http.Post("http://lodge/v1/images?name=halt&public=true&default=true", "application/octet-stream", bytes.NewReader(disk))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		b, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("import: %d %s", resp.StatusCode, b)
	}
	return nil
}

// until polls an instance. 3 ms is small beside the figure.
func (d *daemon) until(id, state string) error {
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(3 * time.Millisecond) {
		var i instance
		err := d.call("GET", "/v1/instances/"+id, nil, &i)
		if state == "gone" && err != nil && strings.Contains(err.Error(), ": 404 ") {
			return nil
		}
		if err != nil {
			return err
		}
		if i.State == state {
			return nil
		}
	}
	return fmt.Errorf("instance %s is not %s after 2 minutes", id, state)
}

// rss is the daemon's resident memory in MiB.
func (d *daemon) rss() (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			kib, err := strconv.ParseFloat(f[1], 64)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("no VmRSS")
}

// cpu is the CPU time the daemon has used.
func (d *daemon) cpu() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	user, err := strconv.Atoi(f[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(f[12])
	const tick = 10 * time.Millisecond // USER_HZ is 100 on Linux
	return time.Duration(user+system) * tick, err
}

// scheduled is how long the daemon's threads have run, and how long they were
// ready to run and had no CPU, all together: what is slow because of the machine
// shows in the second. Threads that have ended are missing.
// https://docs.kernel.org/scheduler/sched-stats.html
func (d *daemon) scheduled() (ran, waited time.Duration) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", d.cmd.Process.Pid))
	for _, t := range threads {
		b, err := os.ReadFile(t)
		if err != nil {
			continue
		}
		var r, w time.Duration
		if _, err := fmt.Sscan(string(b), (*int64)(&r), (*int64)(&w)); err == nil {
			ran, waited = ran+r, waited+w
		}
	}
	return ran, waited
}

// machineCPU is the CPU time that everything on the machine has used. It varies
// less than the time on the clock, and shows what a figure is made of.
func machineCPU() time.Duration {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	// cpu user nice system idle iowait irq softirq steal: proc_stat(5)
	f := strings.Fields(string(b[:bytes.IndexByte(b, '\n')]))
	var ticks int
	for i, v := range f[1:] {
		n, err := strconv.Atoi(v)
		if err != nil {
			return 0
		}
		if i == 0 || i == 1 || i == 2 || i == 5 || i == 6 {
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

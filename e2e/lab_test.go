package e2e

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// lab is a lodged with a data dir of its own, and the ways in.
type lab struct {
	t      *testing.T
	dir    string
	socket string
	key    string // private SSH key; .pub beside it
	flags  []string
	as     []string // what lodged is started through: a program with its arguments
	env    []string // more for lodged
	daemon *exec.Cmd
	exited chan struct{}
	http   *http.Client
	// program is another lodged than the usual one; "": that.
	program string
	log     string // a file that is not in dir; "": lodged.log in it

	addresses map[string]string // of instances, for when lodged is down
}

// newLab starts a lodged. When the test ends every instance is deleted, and the
// daemon is stopped.
func newLab(t *testing.T, flags ...string) *lab {
	t.Helper()
	return newLabIn(t, scratch(t), flags...)
}

func newLabIn(t *testing.T, dir string, flags ...string) *lab {
	t.Helper()
	return newLabAs(t, dir, nil, flags...)
}

func newLabAs(t *testing.T, dir string, as []string, flags ...string) *lab {
	t.Helper()
	if os.Getenv("LODGE_WORLD") != "1" {
		t.Skip("needs a libvirt world: run scripts/test")
	}
	l := &lab{t: t, dir: dir, as: as, socket: filepath.Join(dir, "lodge.sock"), key: filepath.Join(dir, "id"), flags: flags}
	l.http = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", l.socket)
	}}}
	writeKey(t, l.key)
	l.start()
	t.Cleanup(func() {
		if t.Failed() {
			if b, err := os.ReadFile(l.logFile()); err == nil {
				t.Logf("the end of lodged's log:\n%s", b[max(0, len(b)-12000):])
			}
			consoles, _ := filepath.Glob(filepath.Join(dir, "console", "*.log"))
			for _, c := range consoles[:min(len(consoles), 3)] {
				b, _ := os.ReadFile(c)
				t.Logf("the end of %s:\n%s", filepath.Base(c), b[max(0, len(b)-3000):])
			}
		}
		l.clear()
		l.stop()
	})
	return l
}

// scratch is a folder that QEMU's user can reach into.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "lodge-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func bin(name string) string {
	dir := os.Getenv("LODGE_BIN")
	if dir == "" {
		dir = "../bin"
	}
	return filepath.Join(dir, name)
}

// logFile is where lodged's words go.
func (l *lab) logFile() string { return cmp.Or(l.log, filepath.Join(l.dir, "lodged.log")) }

// spawn starts lodged.
func (l *lab) spawn() error {
	log, err := os.OpenFile(l.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	args := append([]string{"--data-dir", l.dir, "--socket", l.socket, "--log-level", "debug", "--sweep", "5s"}, l.flags...)
	words := append(append(slices.Clone(l.as), l.executable()), args...)
	daemon := exec.Command(words[0], words[1:]...)
	daemon.Stdout, daemon.Stderr, daemon.Env = log, log, append(os.Environ(), l.env...)
	if err := daemon.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	l.daemon, l.exited = daemon, exited
	go func() { _ = daemon.Wait(); close(exited) }()
	return nil
}

func (l *lab) start() {
	l.t.Helper()
	if err := l.spawn(); err != nil {
		l.t.Fatal(err)
	}
	l.eventually(30*time.Second, "lodged answers", func() bool {
		resp, err := l.http.Get("http://lodge/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// executable is the program: a copy in the lab for one that is no root, who may not
// reach the build's.
func (l *lab) executable() string {
	if len(l.as) == 0 {
		return bin(cmp.Or(l.program, "lodged"))
	}
	return filepath.Join(l.dir, "lodged")
}

// stop ends the daemon in order.
func (l *lab) stop() { l.signal(syscall.SIGTERM) }

// kill ends it as a crash would.
func (l *lab) kill() { l.signal(syscall.SIGKILL) }

func (l *lab) signal(sig syscall.Signal) {
	l.t.Helper()
	_ = l.daemon.Process.Signal(sig)
	select {
	case <-l.exited:
	case <-time.After(40 * time.Second):
		l.t.Error("lodged did not end")
		_ = l.daemon.Process.Kill()
		<-l.exited
	}
}

// clear deletes every instance, so that no guest outlives its test.
func (l *lab) clear() {
	select {
	case <-l.exited:
		return
	default:
	}
	for _, i := range l.list("/v1/instances?limit=500") {
		l.call("DELETE", "/v1/instances/"+i["id"].(string), nil)
	}
	l.eventually(2*time.Minute, "all instances are gone", func() bool { return len(l.list("/v1/instances")) == 0 })
	l.eventually(time.Minute, "and so are their networks", func() bool { return len(l.traces()) == 0 })
}

func writeKey(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); err == nil {
		return
	}
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(priv, "")
	if err != nil {
		t.Fatal(err)
	}
	sshPub, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".pub", ssh.MarshalAuthorizedKey(sshPub), 0o644); err != nil {
		t.Fatal(err)
	}
}

// eventually waits for a condition, with a deadline.
func (l *lab) eventually(d time.Duration, what string, ok func() bool) {
	l.t.Helper()
	for end := time.Now().Add(d); ; time.Sleep(50 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(end) {
			l.t.Fatalf("not within %s: %s", d, what)
		}
	}
}

// lodge runs the CLI and fails the test unless it exits with 0.
func (l *lab) lodge(args ...string) string {
	l.t.Helper()
	out, code := l.lodgeCode(args...)
	if code != 0 {
		l.t.Fatalf("lodge %s: exit %d:\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// lodgeCode runs the CLI; out is stdout and, when it fails, stderr too.
func (l *lab) lodgeCode(args ...string) (out string, code int) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin("lodge"), append([]string{"--socket", l.socket}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return stdout.String(), 0
	case errors.As(err, &exit):
		return stdout.String() + stderr.String(), exit.ExitCode()
	}
	l.t.Fatalf("lodge %v: %v", args, err)
	return "", 0
}

// answer is what came back over HTTP.
type answer struct {
	status int
	body   map[string]any
}

func (a answer) code() string { s, _ := a.body["code"].(string); return s }

// call sends JSON and reads JSON. body may be a string that is sent as it is.
func (l *lab) call(method, path string, body any) answer {
	l.t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	case io.Reader:
		r = b
	default:
		j, err := json.Marshal(b)
		if err != nil {
			l.t.Fatal(err)
		}
		r = bytes.NewReader(j)
	}
	return l.send(method, path, "application/json", r)
}

func (l *lab) send(method, path, contentType string, r io.Reader) answer {
	l.t.Helper()
	req, err := http.NewRequest(method, "http://lodge"+path, r)
	if err != nil {
		l.t.Fatal(err)
	}
	if r != nil {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := l.http.Do(req)
	if err != nil {
		l.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		l.t.Fatalf("%s %s: %v", method, path, err)
	}
	a := answer{status: resp.StatusCode}
	if len(b) > 0 {
		if err := json.Unmarshal(b, &a.body); err != nil {
			l.t.Fatalf("%s %s: %d %q: %v", method, path, resp.StatusCode, b, err)
		}
	}
	return a
}

func (l *lab) list(path string) []map[string]any {
	l.t.Helper()
	a := l.call("GET", path, nil)
	if a.status != 200 {
		l.t.Fatalf("GET %s: %d %v", path, a.status, a.body)
	}
	items, _ := a.body["items"].([]any)
	out := make([]map[string]any, len(items))
	for i, v := range items {
		out[i] = v.(map[string]any)
	}
	return out
}

// instance reads one instance.
func (l *lab) instance(id string) map[string]any {
	l.t.Helper()
	a := l.call("GET", "/v1/instances/"+id, nil)
	if a.status != 200 {
		l.t.Fatalf("instance %s: %d %v", id, a.status, a.body)
	}
	return a.body
}

// create asks for an instance and returns its id.
func (l *lab) create(body map[string]any) string {
	l.t.Helper()
	a := l.call("POST", "/v1/instances", body)
	if a.status != http.StatusAccepted {
		l.t.Fatalf("create: %d %v", a.status, a.body)
	}
	return a.body["id"].(string)
}

// tiny asks for a small guest and waits until it runs.
func (l *lab) tiny(name string, more ...map[string]any) string {
	l.t.Helper()
	body := map[string]any{"name": name, "vcpus": 1, "memory_mib": 128, "disk_gib": 1, "ssh_keys": []string{l.pub()}}
	for _, m := range more {
		for k, v := range m {
			body[k] = v
		}
	}
	id := l.create(body)
	l.settled(id, "running")
	return id
}

func (l *lab) pub() string {
	b, err := os.ReadFile(l.key + ".pub")
	if err != nil {
		l.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// settled waits until the instance is in the state and nothing is left to do.
func (l *lab) settled(id, state string) {
	l.t.Helper()
	var last map[string]any
	defer func() {
		if l.t.Failed() {
			l.t.Logf("instance as last seen: %v", last)
		}
	}()
	l.eventually(2*time.Minute, "instance "+id+" is "+state, func() bool {
		last = l.instance(id)
		task, _ := last["task"].(string)
		return last["state"] == state && task == "" && last["generation"] == last["observed_generation"]
	})
}

func (l *lab) address(id string) string {
	l.t.Helper()
	ports, _ := l.instance(id)["ports"].([]any)
	if len(ports) == 0 {
		l.t.Fatalf("instance %s has no port", id)
	}
	ips, _ := ports[0].(map[string]any)["fixed_ips"].([]any)
	return ips[0].(map[string]any)["address"].(string)
}

// importImage imports the image that an environment variable names, once.
func (l *lab) importImage(name, env, firmware, user string) {
	l.t.Helper()
	path := os.Getenv(env)
	if path == "" {
		l.t.Skipf("needs an image: %s is not set; scripts/test builds it", env)
	}
	l.lodge("image", "import", path, "--name", name, "--firmware", firmware, "--user", user, "--public", "--default")
}

func (l *lab) importTiny() { l.t.Helper(); l.importImage("tiny", "LODGE_TINY_IMAGE", "bios", "root") }

// ssh runs a command in the guest; ok is false while it does not answer.
func (l *lab) ssh(user, address, command string) (out string, ok bool) {
	return l.sshIn(user, address, command, nil)
}

// sshIn is ssh with something to read for the command.
func (l *lab) sshIn(user, address, command string, in io.Reader) (out string, ok bool) {
	cmd := exec.Command("ssh", l.sshArgs(user, address, command)...)
	cmd.Stdin = in
	b, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(b)), err == nil
}

func (l *lab) sshArgs(user, address, command string) []string {
	return []string{"-i", l.key, "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "IdentitiesOnly=yes",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", user + "@" + address, command}
}

// sshWait runs a command in the guest as soon as it answers.
func (l *lab) sshWait(user, address, command string, d time.Duration) string {
	l.t.Helper()
	var out string
	l.eventually(d, "SSH to "+address, func() (ok bool) {
		out, ok = l.ssh(user, address, command)
		return ok
	})
	return out
}

// virsh asks libvirt directly, past lodge.
func (l *lab) virsh(args ...string) string {
	l.t.Helper()
	b, err := exec.Command("virsh", append([]string{"-q", "-c", "qemu:///system"}, args...)...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("virsh %s: %v\n%s", strings.Join(args, " "), err, b)
	}
	return strings.TrimSpace(string(b))
}

// libvirtd stops, starts or kills the world's libvirtd.
func (l *lab) libvirtd(action string) {
	l.t.Helper()
	if b, err := exec.Command(os.Getenv("LODGE_WORLD_LIBVIRTD"), action).CombinedOutput(); err != nil {
		l.t.Fatalf("libvirtd %s: %v\n%s", action, err, b)
	}
}

// traces lists what lodge has on the host, read past lodge.
func (l *lab) traces() []string {
	l.t.Helper()
	var out []string
	for _, line := range strings.Fields(l.virsh("list", "--all", "--name")) {
		out = append(out, "domain "+line)
	}
	for _, line := range strings.Fields(l.virsh("net-list", "--all", "--name")) {
		out = append(out, "network "+line)
		if strings.Contains(l.virsh("net-list", "--name"), line) {
			for _, lease := range strings.Split(l.virsh("net-dhcp-leases", line), "\n") {
				if lease = strings.TrimSpace(lease); lease != "" {
					out = append(out, "lease "+lease)
				}
			}
		}
	}
	for _, pattern := range []string{
		filepath.Join(l.dir, "disks", "*"), filepath.Join(l.dir, "disks", ".*"), filepath.Join(l.dir, "console", "*"),
		"/var/lib/libvirt/qemu/nvram/*", "/var/lib/libvirt/qemu/save/*", "/var/lib/libvirt/qemu/snapshot/*/*",
	} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			l.t.Fatal(err)
		}
		for _, f := range files {
			if b := filepath.Base(f); b != "." && b != ".." && !strings.HasPrefix(b, "image-") {
				out = append(out, "file "+f)
			}
		}
	}
	return out
}

// gone deletes an instance and waits until it is not found any more.
func (l *lab) gone(id string) {
	l.t.Helper()
	if a := l.call("DELETE", "/v1/instances/"+id, nil); a.status != http.StatusAccepted {
		l.t.Fatalf("delete: %d %v", a.status, a.body)
	}
	l.eventually(time.Minute, "instance "+id+" is gone", func() bool {
		return l.call("GET", "/v1/instances/"+id, nil).status == http.StatusNotFound
	})
}

func jsonOf(v any) string { b, _ := json.Marshal(v); return string(b) }

func number(v any) float64 {
	switch n := v.(type) {
	case float64:
		return n
	case string:
		var f float64
		_, _ = fmt.Sscan(n, &f)
		return f
	}
	return 0
}

// define defines a domain past lodge.
func (l *lab) define(xml string) {
	l.t.Helper()
	path := filepath.Join(l.dir, "foreign.xml")
	if err := os.WriteFile(path, []byte(xml), 0o600); err != nil {
		l.t.Fatal(err)
	}
	l.virsh("define", path)
}

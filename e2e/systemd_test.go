package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// machine is a Debian guest, seen as what lodge is installed on: with a real systemd.
// A login takes seconds there without KVM, so one root shell runs everything.
type machine struct {
	*testing.T
	l     *lab
	addr  string
	shell io.WriteCloser
	said  *bufio.Reader
}

// login opens the shell, for so long at most.
func login(t *testing.T, l *lab, addr string, most time.Duration) *machine {
	t.Helper()
	m := &machine{T: t, l: l, addr: addr}
	cmd := m.ssh("sudo bash 2>&1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	m.shell, m.said = in, bufio.NewReader(out)
	// One that hangs is ended, and reads of it end with it.
	over := time.AfterFunc(most, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() {
		over.Stop()
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return m
}

// ssh is more patient than lab's, of which somebody tries again.
func (m *machine) ssh(command string) *exec.Cmd {
	return exec.Command("ssh", append([]string{"-o", "ConnectTimeout=120"}, m.l.sshArgs("debian", m.addr, command)...)...)
}

// root runs a script in the guest as root. ok: it ended with 0.
func (m *machine) root(script string) (out string, ok bool) {
	m.Helper()
	const mark = "-- it ended with "
	if _, err := fmt.Fprintf(m.shell, "( set -u\n%s\n) </dev/null; status=$?; echo; echo \"%s$status\"\n", script, mark); err != nil {
		m.Fatalf("%s: %v", script, err)
	}
	var b strings.Builder // of lines; the mark has one of its own
	for {
		line, err := m.said.ReadString('\n')
		if status, end := strings.CutPrefix(line, mark); end {
			return strings.TrimSpace(b.String()), strings.TrimSpace(status) == "0"
		}
		if b.WriteString(line); err != nil {
			m.Fatalf("%s: the shell ended: %v\n%s", script, err, b.String())
		}
	}
}

// must is root for what has to end well.
func (m *machine) must(script string) string {
	m.Helper()
	out, ok := m.root(script)
	if !ok {
		log, _ := m.root("journalctl -u lodged -o cat --no-pager | tail -n 40")
		m.Fatalf("%s\n%s\nThe end of lodged's journal:\n%s", script, out, log)
	}
	return out
}

// install puts this build there as a user would: the files, then scripts/install.
func (m *machine) install() string {
	m.Helper()
	pack := exec.Command("tar", "--owner=0", "--group=0", "-cf", "-", "-C", bin("."), "--transform=s,^,bin/,", "lodged", "lodge",
		"-C", "..", "--transform=s,^bin/scripts,scripts,", "scripts")
	var said bytes.Buffer
	pack.Stderr = &said
	out, err := pack.StdoutPipe()
	if err == nil {
		err = pack.Start()
	}
	if err != nil {
		m.Fatal(err)
	}
	unpack := m.ssh("sudo mkdir -p /opt/lodge && sudo tar -xf - -C /opt/lodge")
	unpack.Stdin = out
	if got, err := unpack.CombinedOutput(); err != nil {
		m.Fatalf("copy: %v\n%s", err, got)
	}
	if err := pack.Wait(); err != nil {
		m.Fatalf("%v: %s", err, said.Bytes())
	}
	return m.must("/opt/lodge/scripts/install 2>&1")
}

// show reads properties of the unit, as systemd has them.
func (m *machine) show(names ...string) map[string]string {
	m.Helper()
	out := map[string]string{}
	for line := range strings.Lines(m.must("systemctl show lodged -p " + strings.Join(names, ","))) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		out[key] = value
	}
	return out
}

const ready = "curl -fsS --unix-socket /run/lodge/lodge.sock http://lodge/readyz"

// up waits until lodged answers in the guest.
func (m *machine) up() {
	m.Helper()
	m.must(fmt.Sprintf("for i in $(seq 150); do %s >/dev/null 2>&1 && exit 0; sleep 0.2; done; exit 1", ready))
}

// asService is everything about lodged as a service that needs no libvirt beside it.
func asService(t *testing.T, l *lab, addr string) {
	m := login(t, l, addr, 10*time.Minute)
	began := time.Now()
	step := func(what string) { t.Logf("%5.1f s  %s", time.Since(began).Seconds(), what) }
	m.must("install -d -m 755 /etc/lodge; printf 'listen: 127.0.0.1:8443\nbackup-to: /var/backups/lodge\n' >/etc/lodge/lodged.yaml")
	t.Log(m.install())
	step("installed")
	m.itself()
	step("looked at")
	m.shut()
	step("tried the sandbox")
	m.files()
	step("looked at files")
	m.ends()
	step("ended in every way")
	m.restored()
	step("restored")
}

// itself: systemd runs the unit as it is written.
func (m *machine) itself() {
	m.Helper()
	p := m.show("ActiveState", "SubState", "User", "UnitFileState", "MainPID", "NRestarts", "Result", "Type")
	if p["ActiveState"] != "active" || p["SubState"] != "running" || p["User"] != "lodge" || p["UnitFileState"] != "enabled" || p["NRestarts"] != "0" {
		m.Errorf("the unit: %v", p)
	}
	status := map[string]string{}
	for line := range strings.Lines(m.must("cat /proc/" + p["MainPID"] + "/status; echo Id: $(id -u lodge)")) {
		key, value, _ := strings.Cut(line, ":")
		status[key] = strings.TrimSpace(value)
	}
	for _, uid := range strings.Fields(status["Uid"]) {
		if uid != status["Id"] || uid == "0" {
			m.Errorf("it runs as %s, lodge is %s", status["Uid"], status["Id"])
		}
	}
	const four = 1<<12 | 1<<13 | 1<<5 | 1<<2 // NET_ADMIN, NET_RAW, KILL, DAC_READ_SEARCH
	for _, set := range []string{"CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if n, err := strconv.ParseUint(status[set], 16, 64); err != nil || n != four {
			m.Errorf("%s is %s", set, status[set])
		}
	}
	// 2 is a filter.
	if status["NoNewPrivs"] != "1" || status["Seccomp"] != "2" {
		m.Errorf("NoNewPrivs %q, Seccomp %q", status["NoNewPrivs"], status["Seccomp"])
	}
	said := m.must("systemd-analyze security --no-pager lodged.service | tail -n 1")
	found := regexp.MustCompile(`exposure level for lodged.service: ([0-9.]+) `).FindStringSubmatch(said)
	if found == nil {
		m.Fatalf("systemd-analyze says %q", said)
	}
	if level, err := strconv.ParseFloat(found[1], 64); err != nil || level > 2.5 {
		m.Errorf("the unit's exposure is %s of 10", found[1])
	}

	if p := m.show("StartLimitIntervalUSec"); p["StartLimitIntervalUSec"] != "0" {
		m.Errorf("systemd gives up within %v", p)
	}

	// There is no libvirt, and lodged is up and says so.
	m.must(ready)
	if log := m.must("journalctl -u lodged -o cat --no-pager"); !strings.Contains(log, "lodged is up") || !strings.Contains(log, "libvirt.so.0") {
		m.Errorf("the journal does not say that libvirt's library is missing:\n%s", log)
	}
	if out, _ := m.root("lodged doctor"); !strings.Contains(out, "libvirt's client library is not installed") || !strings.Contains(out, "runs as lodge with the capabilities 0x3024") {
		m.Errorf("doctor:\n%s", out)
	}
	if out := m.must("lodge host list"); !strings.Contains(out, "unknown") {
		m.Errorf("the host:\n%s", out)
	}
}

// ends: however it ends, it comes back, but where somebody stopped it.
func (m *machine) ends() {
	m.Helper()
	// In order, and in time.
	begin := time.Now()
	m.must("systemctl stop lodged")
	if took := time.Since(begin); took > 15*time.Second {
		m.Errorf("a stop took %s", took)
	}
	if p := m.show("ActiveState", "Result"); p["ActiveState"] != "inactive" || p["Result"] != "success" {
		m.Errorf("behind a stop: %v", p)
	}
	if out := m.must("ls /run/lodge 2>&1 || true"); !strings.Contains(out, "No such file") {
		m.Errorf("the socket's folder is left: %s", out)
	}
	m.must("systemctl start lodged")
	m.up()
	m.must(`pid=$(systemctl show -p MainPID --value lodged)
		systemctl kill -s KILL --kill-who=main lodged
		for j in $(seq 300); do
			now=$(systemctl show -p MainPID --value lodged)
			[ "$now" = 0 ] || [ "$now" = "$pid" ] || exit 0
			sleep 0.1
		done; exit 1`)
	m.up()
	if p := m.show("ActiveState", "NRestarts"); p["ActiveState"] != "active" || p["NRestarts"] != "1" {
		m.Errorf("behind a kill: %v", p)
	}
}

// restored: root makes a backup and restores it, and the service goes on with it.
func (m *machine) restored() {
	m.Helper()
	m.must("lodge tenant create acme && lodged backup create && lodge tenant create later")
	m.must("systemctl stop lodged && lodged backup restore latest --replace && systemctl start lodged")
	m.up()
	if out := m.must("lodge tenant list"); !strings.Contains(out, "acme") || strings.Contains(out, "later") {
		m.Errorf("restored:\n%s", out)
	}
	// Nothing that needs an address is made before the host was looked at, and there
	// is no libvirt here to do so; the rest goes on.
	if out, ok := m.root("lodge tenant create after 2>&1"); ok || !strings.Contains(out, "has not yet looked at its host") {
		m.Errorf("a tenant behind a restore: %s", out)
	}
	m.must("lodge user create after --no-password")
	// An upgrade finds it as it is.
	m.must("/opt/lodge/scripts/install")
	m.up()
	if out := m.must("lodge user list"); !strings.Contains(out, "after") {
		m.Errorf("behind an upgrade:\n%s", out)
	}
}

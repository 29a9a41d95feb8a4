package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// account makes the user lodge in this world, which has the machine's users and
// may not change them: its own passwd and group lie over theirs.
func account(t *testing.T) {
	t.Helper()
	if os.Getenv("LODGE_WORLD") != "1" {
		t.Skip("needs a libvirt world: run scripts/test")
	}
	if _, err := user.Lookup("lodge"); err != nil {
		lay(t, "/etc/passwd", func(s string) string { return s + "lodge:x:64001:64001::/nonexistent:/usr/sbin/nologin\n" })
		lay(t, "/etc/group", func(s string) string { return s + "lodge:x:64001:\n" })
	}
	lay(t, "/etc/group", func(s string) string {
		return regexp.MustCompile(`(?m)^((?:libvirt|kvm):.*[^:\n])$`).ReplaceAllString(regexp.MustCompile(`(?m)^((?:libvirt|kvm):.*:)$`).ReplaceAllString(s, "${1}lodge"), "$1,lodge")
	})
	if out, err := exec.Command("bash", "-c", ". ../scripts/lib/account.sh && id lodge").CombinedOutput(); err != nil || !strings.Contains(string(out), "(libvirt)") {
		t.Fatalf("the user lodge: %v\n%s", err, out)
	}
}

// lay mounts a changed copy over a file, in this world only.
func lay(t *testing.T, path string, change func(string) string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	over, err := os.CreateTemp("/run", "over-")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := over.WriteString(change(string(b))); err != nil {
		t.Fatal(err)
	}
	if err := over.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(over.Name(), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "--bind", over.Name(), path).CombinedOutput(); err != nil {
		t.Fatalf("mount over %s: %v\n%s", path, err, out)
	}
	t.Cleanup(func() {
		_ = exec.Command("umount", path).Run()
		_ = os.Remove(over.Name())
	})
}

// newOwnLab starts lodged as the service does: the user lodge with the unit's
// capabilities and system calls. But for its umask: what is private is made so and
// not by chance.
func newOwnLab(t *testing.T, flags ...string) *lab {
	t.Helper()
	account(t)
	asLodge, err := filepath.Abs("../scripts/lib/as-lodge")
	if err != nil {
		t.Fatal(err)
	}
	dir := scratch(t)
	b, err := os.ReadFile(bin("lodged"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "lodged"), b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("bash", "-c", `. ../scripts/lib/account.sh && account_dirs "$0"`, dir).CombinedOutput(); err != nil {
		t.Fatalf("account_dirs: %v\n%s", err, out)
	}
	as := append([]string{asLodge, "sh", "-c", `umask 0; exec "$0" "$@"`}, underTheFilter(t, scratch(t))...)
	return newLabAs(t, dir, as, flags...)
}

// status reads one line of /proc/PID/status.
func (l *lab) status(key string) string {
	l.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.daemon.Process.Pid))
	if err != nil {
		l.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "\n"+key+":")
	value, _, _ := strings.Cut(rest, "\n")
	return strings.Join(strings.Fields(value), " ")
}

// The whole life of a guest, and the host's faults, without root.
func TestLodgedNeedsNoRoot(t *testing.T) {
	l := newOwnLab(t)
	uid := strings.Fields(l.status("Uid"))
	if uid[0] == "0" || uid[1] == "0" || l.status("NoNewPrivs") != "1" {
		t.Fatalf("lodged runs as %v, NoNewPrivs %s", uid, l.status("NoNewPrivs"))
	}
	if _, err := exec.LookPath("systemd-analyze"); err == nil && l.status("Seccomp") != "2" {
		t.Errorf("lodged has Seccomp %s, not the unit's filter", l.status("Seccomp"))
	}
	const four = 1<<12 | 1<<13 | 1<<5 | 1<<2 // NET_ADMIN, NET_RAW, KILL, DAC_READ_SEARCH
	for _, set := range []string{"CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if n, err := strconv.ParseUint(l.status(set), 16, 64); err != nil || n != four {
			t.Errorf("%s is %x, %v", set, n, err)
		}
	}

	l.importTiny()
	a, b := l.tiny("a"), l.tiny("b")
	l.sshWait("root", l.address(a), "true", time.Minute)
	if out := l.lodge("console-log", "a"); !strings.Contains(out, "lodge-tiny") {
		t.Errorf("the console says:\n%s", out)
	}
	l.modes()

	// Off and on again: the disk went to QEMU's user and came back.
	l.call("POST", "/v1/instances/"+a+"/stop", map[string]any{"force": true})
	l.settled(a, "stopped")
	l.call("POST", "/v1/instances/"+a+"/start", nil)
	l.settled(a, "running")
	l.sshWait("root", l.address(a), "true", time.Minute)

	// An end that nobody saw, from libvirt's log.
	l.kill()
	l.virsh("destroy", "lodge-"+b)
	l.start()
	l.settled(b, "running")

	// A network without its bridge, and one without its DHCP server.
	net := l.virsh("net-list", "--name")
	bridge := strings.TrimSpace(strings.TrimPrefix(strings.Split(l.virsh("net-info", net), "Bridge:")[1], ""))
	if out, err := exec.Command("ip", "link", "set", bridge, "down").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	l.eventually(time.Minute, "the bridge is up", func() bool {
		out, _ := exec.Command("ip", "-o", "link", "show", bridge).Output()
		return strings.Contains(string(out), ",UP") || strings.Contains(string(out), "<UP")
	})
	for _, rule := range []string{"LIBVIRT_FWI", "LIBVIRT_FWO"} {
		if out, err := exec.Command("iptables", "-F", rule).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
	}
	l.eventually(time.Minute, "the firewall rules are back", func() bool {
		out, _ := exec.Command("iptables", "-S", "LIBVIRT_FWI").Output()
		return strings.Contains(string(out), bridge)
	})
	l.sshWait("root", l.address(a), "true", time.Minute)

	l.gone(a)
	l.gone(b)
}

// modes walks everything that lodge and libvirt keep of this lab: nobody else reads what is private.
func (l *lab) modes() {
	l.t.Helper()
	allowed := map[string]fs.FileMode{ // what is for others, by its path below the data directory
		".":        0o711,
		"disks":    0o711,
		"console":  0o711,
		"host-id":  0o644,
		"disks/i":  0o644, // images: QEMU reads them, whoever has one open
		"lodged":   0o755, // of this test
		"id.pub":   0o644,
		"lodged.l": 0o644, // lodged.log, of this test; lodged.lock is 0600
	}
	seen := map[string]int{}
	err := filepath.WalkDir(l.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(l.dir, path)
		key := rel
		if strings.HasPrefix(rel, "disks/image-") {
			key = "disks/i"
		}
		if rel == "lodged.log" {
			key = "lodged.l"
		}
		kind := filepath.Ext(rel)
		seen[kind]++
		most := allowed[key]
		switch {
		case most != 0:
		case info.Mode()&fs.ModeSocket != 0:
			most = 0o660
		case e.IsDir():
			most = 0o700
		default:
			most = 0o600
		}
		if info.Mode().Perm()&^most != 0 {
			l.t.Errorf("%s has mode %04o, at most %04o is right", rel, info.Mode().Perm(), most)
		}
		if owner := info.Sys().(*syscall.Stat_t); owner.Uid != 0 && info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSocket == 0 {
			l.t.Errorf("%s is written by others: %04o", rel, info.Mode().Perm())
		}
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	for _, kind := range []string{".db", ".sock", ".qcow2", ".img", ".log"} {
		if seen[kind] == 0 {
			l.t.Errorf("no %s was there to be looked at: %v", kind, seen)
		}
	}
	info, err := os.Stat("/var/lib/libvirt/dnsmasq")
	if err != nil {
		l.t.Fatal(err)
	}
	if info.Mode()&fs.ModeSticky == 0 || info.Mode().Perm() != 0o775 {
		l.t.Errorf("the folder of leases has mode %v", info.Mode())
	}
}

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The main job, once, as a user would do it: through the CLI, with a stock
// Debian image under UEFI, from the request to the bill and to nothing.
func TestADebianGuestFromTheRequestToTheBill(t *testing.T) {
	l := newLab(t)
	l.importImage("debian-12", "LODGE_DEBIAN_IMAGE", "uefi", "debian")
	before := l.traces()

	userData := filepath.Join(l.dir, "user-data")
	if err := os.WriteFile(userData, []byte("#cloud-config\nwrite_files:\n- path: /etc/made-by\n  content: user data\nruncmd:\n- [touch, /run/user-data-ran]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	l.lodge("create", "web1", "--size", "2 vCPU, 4GB", "--ssh-key", l.key+".pub", "--user-data", userData, "--wait")

	var inst map[string]any
	if err := json.Unmarshal([]byte(l.lodge("show", "web1", "-o", "json")), &inst); err != nil {
		t.Fatal(err)
	}
	id := inst["id"].(string)
	if inst["state"] != "running" || number(inst["vcpus"]) != 2 || number(inst["memory_mib"]) != 4096 {
		t.Errorf("instance: %v", inst)
	}
	if files, _ := filepath.Glob("/var/lib/libvirt/qemu/nvram/*"); len(files) == 0 {
		t.Error("a UEFI guest runs without NVRAM")
	}

	addr := l.address(id)
	l.sshWait("debian", addr, "true", 4*time.Minute)
	if out, _ := l.ssh("debian", addr, "cloud-init status --wait"); !strings.Contains(out, "status: done") {
		t.Errorf("cloud-init: %s", out)
	}
	for command, check := range map[string]func(string) bool{
		"nproc":    func(s string) bool { return s == "2" },
		"hostname": func(s string) bool { return s == "web1" },
		// 4 GiB less what the firmware and the kernel keep.
		"awk '/MemTotal/ {print int($2/1024)}' /proc/meminfo": func(s string) bool { n, _ := strconv.Atoi(s); return n > 3700 && n <= 4096 },
		// The disk of 20 GiB, and the root file system grown into it.
		"lsblk -bdno SIZE /dev/vda":                                   func(s string) bool { return s == strconv.Itoa(20<<30) },
		"df --output=size -BG / | tail -1":                            func(s string) bool { n, _ := strconv.Atoi(strings.Trim(s, " G")); return n >= 18 },
		"cat /etc/made-by":                                            func(s string) bool { return s == "user data" },
		"ls /run/user-data-ran":                                       func(s string) bool { return s == "/run/user-data-ran" },
		"cat /sys/class/net/e*/address | head -1":                     func(s string) bool { return s == l.port(id)["mac"] },
		"test -d /sys/firmware/efi && echo uefi":                      func(s string) bool { return s == "uefi" },
		"cat /sys/class/misc/hw_random/rng_available":                 func(s string) bool { return strings.Contains(s, "virtio_rng") },
		"test -e /dev/virtio-ports/org.qemu.guest_agent.0 && echo ok": func(s string) bool { return s == "ok" },
	} {
		if out, ok := l.ssh("debian", addr, command); !ok || !check(out) {
			t.Errorf("%s: %q %v", command, out, ok)
		}
	}
	if out := l.lodge("ssh", "web1", "--", "-i", l.key, "hostname"); strings.TrimSpace(out) != "web1" {
		t.Errorf("lodge ssh: %q", out)
	}
	if out := l.lodge("console-log", "web1"); !strings.Contains(out, "login:") && !strings.Contains(out, "Linux version") {
		t.Errorf("console log of %d bytes has no boot in it", len(out))
	}
	if out := l.lodge("usage"); !strings.Contains(out, "web1") {
		t.Errorf("usage: %s", out)
	}
	if u := l.usage(id); u.instance < 10*time.Second || u.vcpu != 2*u.instance || u.memory != 4096*u.instance || u.intervals != 1 {
		t.Errorf("usage: %+v", u)
	}

	// A machine with systemd, already up: what lodge itself is installed on.
	t.Run("LodgeIsAServiceThere", func(t *testing.T) { asService(t, l, addr) })

	l.lodge("delete", "web1", "--yes", "--wait")
	l.eventually(30*time.Second, "nothing of it is left", func() bool { return len(l.traces()) == len(before) })
	if after := l.traces(); jsonOf(after) != jsonOf(before) {
		t.Errorf("left behind: %v, before: %v", after, before)
	}
	// What was used stays on the bill, and no longer grows.
	last := l.usage(id)
	time.Sleep(1100 * time.Millisecond)
	if again := l.usage(id); again != last || last.instance == 0 {
		t.Errorf("usage of a deleted instance: %+v, then %+v", last, again)
	}
}

// port is the first port of an instance.
func (l *lab) port(id string) map[string]any {
	l.t.Helper()
	return l.instance(id)["ports"].([]any)[0].(map[string]any)
}

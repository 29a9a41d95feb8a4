package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// verdict is what a judge is expected to say: the level and words of it.
type verdict struct {
	name  string
	got   finding
	level level
	words string // in Found or Do
}

func checkVerdicts(t *testing.T, cases []verdict) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.got.Level != c.level {
				t.Errorf("level %s, want %s: %s", c.got.Level, c.level, c.got.Found)
			}
			if text := c.got.Found + "\n" + c.got.Do; !strings.Contains(text, c.words) {
				t.Errorf("%q is not in\n%s", c.words, text)
			}
			if !strings.HasSuffix(c.got.Found, ".") {
				t.Errorf("no sentence: %q", c.got.Found)
			}
			if (c.got.Level == levelOK) != (c.got.Do == "") {
				t.Errorf("what to do goes with everything but ok; got %s, %q", c.got.Level, c.got.Do)
			}
		})
	}
}

func TestHostIsJudged(t *testing.T) {
	day := time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)
	checkVerdicts(t, []verdict{
		{"x86", judgeHost(hostFacts{"6.1", "x86_64", 1, true, "amd64"}), levelOK, "with 1 CPU."},
		{"arm", judgeHost(hostFacts{"6.1", "aarch64", 8, true, "arm64"}), levelWarn, "x86-64 only"},
		{"user", judgeHost(hostFacts{"6.1", "x86_64", 2, false, "amd64"}), levelOK, "ordinary user"},
		{"memory", judgeMemory(memoryFacts{total: 16 << 30, available: 12 << 30}), levelOK, "12 GiB of 16 GiB"},
		{"little memory", judgeMemory(memoryFacts{total: 4 << 30, available: 1 << 30}), levelWarn, "2 GiB"},
		{"no meminfo", judgeMemory(memoryFacts{err: fs.ErrNotExist}), levelWarn, "could not be read"},
		{"clock", judgeClock(clockFacts{now: day}), levelOK, "2026-11-22T06:00:00Z"},
		{"1970", judgeClock(clockFacts{now: time.Unix(0, 0)}), levelFail, "Set the clock"},
		{"unsynchronised", judgeClock(clockFacts{now: day, unsync: true}), levelWarn, "NTP"},
		{"clock hidden", judgeClock(clockFacts{now: day, err: unix.EPERM}), levelWarn, "could not be asked"},
		{"no group", judgeGroup(groupFacts{root: true}), levelWarn, "groupadd"},
		{"not a member", judgeGroup(groupFacts{exists: true}), levelWarn, "usermod"},
		{"member", judgeGroup(groupFacts{exists: true, member: true}), levelOK, "may use the socket"},
		{"root needs no group", judgeGroup(groupFacts{exists: true, root: true}), levelOK, ""},
		{"init", judgeInit(initFacts{name: "systemd"}), levelOK, "systemd"},
		{"zombies", judgeInit(initFacts{name: "sh", zombies: 3}), levelWarn, "tini -s"},
	})
}

func TestDataDirIsJudged(t *testing.T) {
	qemu := &account{name: "libvirt-qemu", uid: 64055, gids: []uint32{108}}
	lib := []step{{"/", 0o755, 0, 0, false}, {"/var", 0o755, 0, 0, false}, {"/var/lib", 0o755, 0, 0, false}}
	home := []step{{"/", 0o755, 0, 0, false}, {"/home", 0o755, 0, 0, false}, {"/home/ann", 0o700, 1000, 1000, false}}
	acl := []step{{"/home/ann", 0o710, 1000, 1000, true}}
	group := []step{{"/srv/vm", 0o750, 0, 108, false}}
	base := dirFacts{path: "/d", existing: "/d", exists: true, isDir: true, root: true, writable: true, qemu: qemu}
	with := func(steps []step, change func(*dirFacts)) finding {
		d := base
		d.steps = steps
		if change != nil {
			change(&d)
		}
		return judgeDataDir(d)
	}
	checkVerdicts(t, []verdict{
		{"usual", with(lib, nil), levelOK, "/d"},
		{"not there yet", with(lib, func(d *dirFacts) { d.exists = false }), levelOK, "will be made"},
		{"in a home", with(home, nil), levelFail, "chmod o+x /home/ann"},
		{"in a home, QEMU as root", with(home, func(d *dirFacts) { d.qemu = &account{name: "root"} }), levelOK, ""},
		{"in a home, for the sim", with(home, func(d *dirFacts) { d.qemu = nil }), levelOK, ""},
		{"access list", with(acl, nil), levelOK, ""},
		{"by group", with(group, nil), levelOK, ""},
		{"everybody's", with([]step{{"/", 0o755, 0, 0, false}, {"/d", 0o777, 0, 0, false}}, nil), levelWarn, "chmod 711 /d"},
		{"below everybody's", with([]step{{"/tmp", 0o777, 0, 0, false}, {"/d", 0o711, 0, 0, false}}, nil), levelOK, "/d"},
		{"a file", with(lib, func(d *dirFacts) { d.isDir = false }), levelFail, "not a folder"},
		{"read-only", with(lib, func(d *dirFacts) { d.writable = false }), levelFail, "Nothing can be written"},
		{"a user looks", with(lib, func(d *dirFacts) { d.writable, d.root = false, false }), levelWarn, "sudo lodged doctor"},
		{"a user's sim", with(lib, func(d *dirFacts) { d.writable, d.root, d.sim = false, false, true }), levelFail, "Nothing can be written"},
		{"hidden", judgeDataDir(dirFacts{path: "/d", err: fs.ErrPermission}), levelWarn, "could not be looked at"},
		{"much space", judgeDisk(diskFacts{path: "/d", available: 100 << 30, total: 200 << 30, files: 1e6, countsFiles: true}), levelOK, "100 GiB of 200 GiB"},
		{"little space", judgeDisk(diskFacts{path: "/d", available: 5 << 30, total: 200 << 30}), levelWarn, "5 GiB"},
		{"no space", judgeDisk(diskFacts{path: "/d", available: 5 << 20, total: 200 << 30}), levelFail, "5 MiB"},
		{"no files", judgeDisk(diskFacts{path: "/d", available: 100 << 30, files: 3, countsFiles: true}), levelFail, "3 more files"},
		{"read-only disk", judgeDisk(diskFacts{path: "/d", available: 100 << 30, readOnly: true}), levelFail, "read-only"},
		{"idle", judgeLock(lockFacts{dir: "/d"}), levelOK, "No lodged is running"},
		{"running", judgeLock(lockFacts{dir: "/d", held: true, pid: "7", answers: true}), levelOK, "(pid 7)"},
		{"silent", judgeLock(lockFacts{dir: "/d", socket: "/s", held: true}), levelWarn, "nobody answers on /s"},
		{"other data dir", judgeLock(lockFacts{dir: "/d", socket: "/s", answers: true}), levelWarn, "another data dir"},
		{"free", judgeConfinement(confinementFacts{dir: "/srv"}), levelOK, "Neither"},
		{"apparmor", judgeConfinement(confinementFacts{dir: "/var/lib/lodge", apparmor: true}), levelOK, "AppArmor"},
		{"apparmor elsewhere", judgeConfinement(confinementFacts{dir: "/srv", apparmor: true}), levelWarn, "local/abstractions"},
		{"turned off", judgeConfinement(confinementFacts{dir: "/var/lib/lodge", apparmor: true, driver: "none"}), levelWarn, "security_driver"},
		{"not by default", judgeConfinement(confinementFacts{dir: "/var/lib/lodge", selinux: true, confined: "0"}), levelWarn, "SELinux"},
		{"nothing to turn off", judgeConfinement(confinementFacts{dir: "/srv", driver: "none"}), levelOK, "Neither"},
		{"selinux elsewhere", judgeConfinement(confinementFacts{dir: "/srv", selinux: true}), levelWarn, "semanage"},
	})
}

func TestAccelerationIsJudged(t *testing.T) {
	full := accelFacts{wanted: "auto", arch: "amd64", root: true, flags: true, group: true, asked: true, offered: true}
	with := func(change func(*accelFacts)) finding {
		a := full
		change(&a)
		return judgeAccel(a)
	}
	checkVerdicts(t, []verdict{
		{"kvm", judgeAccel(full), levelOK, "auto will take KVM"},
		{"a device without flags", with(func(a *accelFacts) { a.flags = false }), levelWarn, "guests hang"},
		{"and for root alone", with(func(a *accelFacts) { a.flags, a.group = false, false }), levelWarn, "chgrp kvm"},
		{"no device", with(func(a *accelFacts) { a.device = fs.ErrNotExist }), levelWarn, "modprobe"},
		{"nothing at all", with(func(a *accelFacts) { a.flags, a.device = false, fs.ErrNotExist }), levelWarn, "VT-x"},
		{"not for this user", with(func(a *accelFacts) { a.device = fs.ErrPermission }), levelWarn, "group kvm"},
		{"busy", with(func(a *accelFacts) { a.device = unix.EBUSY }), levelWarn, "dmesg"},
		{"libvirt says no", with(func(a *accelFacts) { a.offered = false }), levelWarn, "does not offer"},
		{"libvirt is silent", with(func(a *accelFacts) { a.offered, a.asked = false, false }), levelOK, "auto will take KVM"},
		{"forced", with(func(a *accelFacts) { a.wanted = "kvm" }), levelOK, "forced"},
		{"forced in vain", with(func(a *accelFacts) { a.wanted, a.flags = "kvm", false }), levelFail, "--accel auto"},
		{"held back", with(func(a *accelFacts) { a.wanted = "tcg" }), levelWarn, "although"},
		{"tcg", with(func(a *accelFacts) { a.wanted, a.flags = "tcg", false }), levelOK, "TCG is forced"},
		{"test driver", with(func(a *accelFacts) { a.pretend = true }), levelOK, "test driver"},
	})
}

func TestLibvirtAndProgramsAreJudged(t *testing.T) {
	root := libvirtFacts{uri: "qemu:///system", root: true}
	says := func(l libvirtFacts, text string) finding {
		l.err = errors.New(text)
		return judgeLibvirt(l)
	}
	checkVerdicts(t, []verdict{
		{"answers", judgeLibvirt(libvirtFacts{uri: "qemu:///system", lib: 9000000}), levelOK, "libvirt 9.0.0"},
		{"no library", says(root, "Failed to open libvirt.so.0"), levelFail, "not installed"},
		{"no daemon", says(root, "Failed to connect socket to '/var/run/libvirt/libvirt-sock': No such file or directory"), levelFail, "systemctl"},
		{"a user", says(libvirtFacts{uri: "qemu:///system"}, "authentication unavailable: no polkit agent available"), levelWarn, "without root"},
		{"something else", says(root, "internal error."), levelFail, "internal error."},
		{"qemu", judgeQEMU(qemuFacts{asked: true, emulator: "/usr/bin/q", version: 7002019}), levelOK, "QEMU 7.2.19"},
		{"old qemu", judgeQEMU(qemuFacts{asked: true, emulator: "/usr/bin/q", version: 4002000}), levelWarn, "4.2.0"},
		{"no qemu", judgeQEMU(qemuFacts{asked: true}), levelFail, "apt install"},
		{"qemu unknown to libvirt", judgeQEMU(qemuFacts{asked: true, onPath: "/usr/bin/q"}), levelFail, "does not offer"},
		{"qemu without libvirt", judgeQEMU(qemuFacts{onPath: "/usr/bin/q"}), levelOK, "could not be asked"},
		{"uefi", judgeUEFI(uefiFacts{found: []string{"/x.fd"}}), levelOK, "/x.fd"},
		{"no uefi", judgeUEFI(uefiFacts{}), levelWarn, "ovmf"},
		{"dnsmasq", judgeDnsmasq("/usr/sbin/dnsmasq"), levelOK, "/usr/sbin"},
		{"no dnsmasq", judgeDnsmasq(""), levelFail, "dnsmasq-base"},
	})
}

func TestNetworkIsJudged(t *testing.T) {
	const pool = "10.77.0.0/16"
	rules := func(tool string, lines ...string) finding {
		return judgeFirewall(firewallFacts{root: true, pool: pool, tool: tool, rules: strings.Join(lines, "\n") + "\n"})
	}
	checkVerdicts(t, []verdict{
		{"bridge", judgeBridge(bridgeFacts{root: true, netAdmin: true, tried: true}), levelOK, "can be made"},
		{"no tun", judgeBridge(bridgeFacts{root: true, netAdmin: true, tried: true, tun: fs.ErrNotExist}), levelFail, "modprobe tun"},
		{"no bridges", judgeBridge(bridgeFacts{root: true, netAdmin: true, tried: true, err: unix.ENOPKG}), levelFail, "modprobe bridge"},
		{"refused", judgeBridge(bridgeFacts{root: true, netAdmin: true, tried: true, err: unix.EPERM}), levelFail, "cannot be made"},
		{"no capability", judgeBridge(bridgeFacts{root: true, tried: true}), levelFail, "NET_ADMIN"},
		{"no namespace", judgeBridge(bridgeFacts{root: true, netAdmin: true}), levelWarn, "ip link add"},
		{"bridge as a user", judgeBridge(bridgeFacts{}), levelWarn, "without root"},
		{"forwards", judgeForwarding(forwardingFacts{on: true}), levelOK, "forwarded."},
		{"not yet", judgeForwarding(forwardingFacts{}), levelOK, "libvirt turns it on"},
		{"never", judgeForwarding(forwardingFacts{readOnly: true}), levelFail, "sysctl -w"},
		{"open", rules("iptables", "-P FORWARD ACCEPT"), levelOK, "lets forwarded packets through"},
		{"docker", rules("iptables", "-P FORWARD DROP", "-N DOCKER", "-A FORWARD -j DOCKER-USER"), levelWarn, "DOCKER-USER -s " + pool},
		{"docker, cured", rules("iptables", "-P FORWARD DROP", "-N DOCKER", "-A DOCKER-USER -s "+pool+" -j ACCEPT"), levelOK, "let through"},
		{"docker beside libvirt", rules("iptables", "-P FORWARD DROP", "-N DOCKER", "-A FORWARD -j LIBVIRT_FWO"), levelOK, "libvirt"},
		{"ufw", rules("iptables", "-P FORWARD DROP", "-A FORWARD -j ufw-before-forward"), levelWarn, "ufw route allow"},
		{"somebody", rules("iptables", "-P FORWARD DROP"), levelWarn, "forward chain"},
		{"nft open", rules("nft", "table inet filter {", "chain input {", "type filter hook input priority filter; policy drop;", "}", "}"), levelOK, "lets"},
		{"nft docker", rules("nft", "table ip filter {", "chain DOCKER {", "}", "chain FORWARD {", "type filter hook forward priority filter; policy drop;", "}", "}"), levelWarn, "Docker"},
		{"no tool", judgeFirewall(firewallFacts{root: true}), levelWarn, "apt install"},
		{"firewall as a user", judgeFirewall(firewallFacts{}), levelWarn, "without root"},
	})
}

func TestFactsAreRead(t *testing.T) {
	if got := meminfo([]byte("MemTotal:  100 kB\nMemAvailable:   7 kB\n"), "MemAvailable"); got != 7<<10 {
		t.Errorf("meminfo: %d", got)
	}
	for stat, want := range map[string]bool{
		"7 (a) Z 1 7 7": true, "7 (a) Z) S 1 7": false, "7 (x) y) Z 1 7": true, "7 (a) Z 12 7": false, "": false,
	} {
		if orphanZombie([]byte(stat)) != want {
			t.Errorf("orphanZombie(%q) is not %t", stat, want)
		}
	}
	locks := []byte("1: FLOCK  ADVISORY  WRITE 123 fd:01:456 0 EOF\n2: POSIX  ADVISORY  READ 5 fd:01:789 0 EOF\n")
	if !flocked(locks, 456) || flocked(locks, 789) || flocked(locks, 45) {
		t.Error("flocked takes the wrong line")
	}
	if got := qemuConfUser([]byte("# user = \"no\"\n#user = \"no\"\nuser = \"+64055\"\n")); got != "+64055" {
		t.Errorf("qemuConfUser: %q", got)
	}
	if !hasCapability([]byte("CapEff:\t0000000000001000\n"), unix.CAP_NET_ADMIN) || hasCapability([]byte("CapEff:\t0\n"), unix.CAP_NET_ADMIN) {
		t.Error("hasCapability reads the wrong bit")
	}
	if !virtFlags([]byte("flags\t: fpu svm\n")) || virtFlags([]byte("flags\t: fpu svmx\nvmx flags\t: vmx\n")) {
		t.Error("virtFlags takes the wrong word")
	}
}

func TestALockThatIsHeldIsFoundWithoutTakingIt(t *testing.T) {
	dir := t.TempDir()
	file, err := os.Create(filepath.Join(dir, "lodged.lock"))
	if err != nil {
		t.Fatal(err)
	}
	folder, err := os.Open(dir) // what is left when the file was removed by hand
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*os.File{file, folder} {
		if l := probeLock(dir, filepath.Join(dir, "s")); l.held || running(dir) {
			t.Error("held before anybody took it")
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		if l := probeLock(dir, filepath.Join(dir, "s")); !l.held || l.answers || !running(dir) {
			t.Errorf("%s is locked: got %+v", f.Name(), l)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDoctorReportsAndFails(t *testing.T) {
	all := []check{
		{"one", true, func(context.Context) finding { return ok("Fine.") }},
		{"two", true, func(context.Context) finding { return warn("So so.", "Look.") }},
		{"three", false, func(context.Context) finding { return fail("Bad.", "Mend it.") }},
	}
	var out bytes.Buffer
	if err := runDoctor(t.Context(), &out, "text", all, true); err != nil {
		t.Errorf("the sim has no third check: %v", err)
	}
	want := "ok    one           Fine.\nwarn  two           So so.\n                    Look.\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	out.Reset()
	err := runDoctor(t.Context(), &out, "json", all, false)
	if err == nil || err.Error() != "the check of three failed" {
		t.Errorf("got %v", err)
	}
	var report struct {
		OK     bool
		Checks []finding
	}
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	if report.OK || len(report.Checks) != 3 || report.Checks[2] != (finding{"three", levelFail, "Bad.", "Mend it."}) {
		t.Errorf("got %+v", report)
	}
}

func TestDoctorRunsOnThePretendHost(t *testing.T) {
	cmd := command()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"doctor", "--sim", "--data-dir", t.TempDir()})
	if err := cmd.ExecuteContext(t.Context()); err != nil && !strings.Contains(err.Error(), "disk space") {
		t.Errorf("%v\n%s", err, out.String())
	}
	if !strings.Contains(out.String(), "clock") || strings.Contains(out.String(), "libvirt") {
		t.Errorf("got\n%s", out.String())
	}
}

func TestTheGuardsAreJudged(t *testing.T) {
	checkVerdicts(t, []verdict{
		{"sandbox", judgeSandbox(sandboxFacts{}), levelOK, "seccomp sandbox"},
		{"sandbox forced", judgeSandbox(sandboxFacts{seccomp: "1", user: "qemu"}), levelOK, ""},
		{"no sandbox", judgeSandbox(sandboxFacts{seccomp: "0"}), levelWarn, "seccomp_sandbox is 0"},
		{"QEMU as root", judgeSandbox(sandboxFacts{user: "root"}), levelWarn, "runs as root"},
		{"a user looks at the sandbox", judgeSandbox(sandboxFacts{err: fs.ErrPermission}), levelWarn, "sudo lodged doctor"},
		{"limits", judgeLimits(limitFacts{root: true, heeds: true}), levelOK, "ceiling of memory"},
		{"weights that no disk heeds", judgeLimits(limitFacts{root: true}), levelWarn, "count on no disk"},
		{"some limits", judgeLimits(limitFacts{root: true, lacks: []string{"memory", "io"}}), levelWarn, "CAP_SYS_RESOURCE; io takes"},
		{"limits unknown", judgeLimits(limitFacts{root: true, err: fs.ErrNotExist}), levelWarn, "driver.pid"},
		{"a user looks at the limits", judgeLimits(limitFacts{err: fs.ErrPermission}), levelWarn, "sudo lodged doctor"},
		{"limits of a pretend libvirt", judgeLimits(limitFacts{pretend: true}), levelOK, ""},
		{"own user", judgeAccount(accountFacts{pid: "7", uid: "990", name: "lodge", caps: "3024"}), levelOK, "as lodge with the capabilities 0x3024"},
		{"root", judgeAccount(accountFacts{pid: "7", uid: "0", name: "root", root: true}), levelWarn, "scripts/install"},
		{"no user", judgeAccount(accountFacts{none: true}), levelWarn, "no user lodge"},
		{"not running", judgeAccount(accountFacts{}), levelOK, "does not run"},
		{"a user looks at the account", judgeAccount(accountFacts{err: fs.ErrPermission}), levelWarn, "sudo lodged doctor"},
	})
}

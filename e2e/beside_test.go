package e2e

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The service beside a real libvirtd under a real systemd, with a guest of its own: an
// emulated machine in an emulated one, so it is `make service` and no part of scripts/test.
func TestTheServiceBesideALibvirtOfItsOwn(t *testing.T) {
	if os.Getenv("LODGE_HOST_IMAGE") == "" {
		t.Skip("a guest in a guest without KVM takes minutes: make service runs it")
	}
	l := newLab(t)
	l.importImage("host", "LODGE_HOST_IMAGE", "bios", "debian")
	id := l.create(map[string]any{"name": "host1", "vcpus": 2, "memory_mib": 3072, "disk_gib": 10, "ssh_keys": []string{l.pub()}})
	l.settled(id, "running")
	l.sshWait("debian", l.address(id), "cloud-init status --wait", 30*time.Minute)
	m := login(t, l, l.address(id), 50*time.Minute)
	began := time.Now()
	step := func(what string) { t.Logf("%5.1f s  %s", time.Since(began).Seconds(), what) }

	// The outer lodge has the default range; a tenant's network here must be another.
	m.must("install -d -m 755 /etc/lodge; printf 'network-pool: 10.90.0.0/16\n' >/etc/lodge/lodged.yaml")
	t.Log(m.must("systemctl is-active libvirtd || true; . /etc/os-release; uname -r; cat /sys/module/apparmor/parameters/enabled; cat /sys/fs/cgroup/cgroup.controllers; cat /sys/fs/cgroup/machine.slice/cgroup.controllers 2>&1 || true"))
	// libvirtd is started by its socket, at lodged's first call.
	t.Log(m.install())
	step("installed")
	m.must("for i in $(seq 300); do lodge host list | grep -q QEMU && exit 0; sleep 1; done; lodge host list; exit 1")
	step("libvirt is there")
	runs := m.must("lodge host list; systemctl show lodged -p User,MainPID,NRestarts; cat /proc/$(systemctl show lodged -p MainPID --value)/status | grep -E '^(Uid|CapEff|NoNewPrivs|Seccomp):'")
	t.Log(runs)
	for _, want := range []string{"User=lodge\n", "NRestarts=0\n", "CapEff:\t0000000000003024\n", "NoNewPrivs:\t1\n", "Seccomp:\t2"} {
		if !strings.Contains(runs, want) {
			t.Errorf("lodged does not run with %q", want)
		}
	}
	doctor, _ := m.root("lodged doctor")
	t.Log(doctor)
	for _, holds := range []string{
		"ok +confinement AppArmor", "ok +sandbox ", "ok +account .* as lodge with the capabilities 0x3024",
		"warn +limits .* have a ceiling of memory.* count on no disk", // a disk that heeds weights for I/O is the operator's to set up
	} {
		if !regexp.MustCompile(`(?m)^` + holds).MatchString(doctor) {
			t.Errorf("doctor does not find: %s", holds)
		}
	}

	image, err := os.Open(os.Getenv("LODGE_TINY_IMAGE"))
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	give := m.ssh("cat >/tmp/tiny.qcow2")
	give.Stdin = image
	if out, err := give.CombinedOutput(); err != nil {
		t.Fatalf("copy: %v\n%s", err, out)
	}
	m.must("lodge image import /tmp/tiny.qcow2 --name tiny --user root --firmware bios --public --default")
	step("imported")
	m.must("timeout 600 lodge create nested --size '2 vCPU, 128MB' --disk 1GB --no-ssh-key --wait")
	step("a guest in the guest runs")
	m.confined()
	step("looked at its QEMU")

	// lodged is killed, and the kernel ends a QEMU at its ceiling: both come back.
	m.must("systemctl kill -s KILL --kill-who=main lodged; echo 16M >" + groupOfQEMU + "/libvirt/memory.max")
	t.Log(m.must("for i in $(seq 60); do journalctl -k -o cat --no-pager | grep 'Memory cgroup out of memory: Killed process.*qemu-system' && exit 0; sleep 1; done; exit 1"))
	m.must("for i in $(seq 300); do lodge show nested -o json 2>/dev/null | grep -q '\"state\": *\"running\"' && virsh -q -c qemu:///system list --name | grep -q lodge && exit 0; sleep 1; done; lodge show nested; exit 1")
	step("both came back")
	m.must("timeout 600 lodge delete nested --yes --wait; virsh -q -c qemu:///system list --all --name | grep lodge && exit 1 || exit 0")
	step("and is deleted")
	if out, _ := m.root("journalctl -u lodged -o cat --no-pager | grep -iE 'permission|not permitted|read-only'"); out != "" {
		t.Errorf("the sandbox was in the way:\n%s", out)
	}
}

// groupOfQEMU is the guest's control group in a script; its memory is held one below.
const groupOfQEMU = "/sys/fs/cgroup$(sed 's|^0::||; s|/libvirt/.*||' /proc/$(cat /run/libvirt/qemu/lodge-*.pid)/cgroup)"

// confined: what the kernel holds the only guest's QEMU to, of 2 vCPUs and 128 MiB.
func (m *machine) confined() {
	m.Helper()
	held := m.must(`group="`+groupOfQEMU+`"
		for f in cpu.weight io.weight libvirt/memory.max libvirt/memory.current; do echo "$f $(cat $group/$f 2>&1)"; done
		proc=/proc/$(cat /run/libvirt/qemu/lodge-*.pid)
		grep -E '^(Uid|CapEff|NoNewPrivs|Seccomp):' $proc/status | tr '\t' ' '
		echo "user $(stat -c %U $proc) label $(cat $proc/attr/current)"
		tr '\0' ' ' <$proc/cmdline | grep -oE -- '-accel [a-z]+|-sandbox [^ ]+'`) + "\n"
	m.Log(held)
	ceiling := 128 + 32 + 512
	if !strings.Contains(held, "-accel kvm") { // QEMU emulates SVM, and KVM runs on that
		ceiling += 1024
	}
	for _, want := range []string{
		fmt.Sprintf("libvirt/memory.max %d\n", ceiling<<20), "cpu.weight 200\n", "io.weight default 200\n",
		"CapEff: 0000000000000000\n", "NoNewPrivs: 1\n", "Seccomp: 2\n", "user libvirt-qemu label libvirt-", " (enforce)\n",
		"-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny\n",
	} {
		if !strings.Contains(held, want) {
			m.Errorf("its QEMU is not held to %q", want)
		}
	}

	// Even root, with the profile of this QEMU, reads its disks and nothing else.
	m.must(`label=$(cut -d' ' -f1 /proc/$(cat /run/libvirt/qemu/lodge-*.pid)/attr/current)
		try() { aa-exec -p "$label" -- /bin/cat "$1" 2>&1 >/dev/null; }
		for f in /var/lib/lodge/disks/image-*; do try "$f" || exit 1; done
		for f in /var/lib/lodge/lodge.db /etc/shadow; do
			out=$(try "$f") && exit 2
			echo "$out" | grep -q 'Permission denied' || { echo "$f: $out"; exit 3; }
		done`)
}

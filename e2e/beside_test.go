package e2e

import (
	"fmt"
	"os"
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
	l.sshWait("debian", l.address(id), "cloud-init status --wait", 15*time.Minute)
	m := login(t, l, l.address(id), 50*time.Minute)
	began := time.Now()
	step := func(what string) { t.Logf("%5.1f s  %s", time.Since(began).Seconds(), what) }

	// The outer lodge has the default range; a tenant's network here must be another.
	m.must("install -d -m 755 /etc/lodge; printf 'network-pool: 10.90.0.0/16\n' >/etc/lodge/lodged.yaml")
	t.Log(m.must("systemctl is-active libvirtd || true; . /etc/os-release; uname -r; cat /sys/module/apparmor/parameters/enabled; cat /sys/fs/cgroup/cgroup.controllers; cat /sys/fs/cgroup/machine.slice/cgroup.controllers 2>&1 || true"))
	// libvirtd is started by its socket, at lodged's first call.
	t.Log(m.install())
	step("installed")
	out, _ := m.root("lodged doctor")
	t.Log(out)
	m.must("for i in $(seq 60); do lodge host list | grep -q QEMU && exit 0; sleep 1; done; lodge host list; exit 1")
	t.Log(m.must("lodge host list; systemctl show lodged -p User,MainPID,NRestarts; cat /proc/$(systemctl show lodged -p MainPID --value)/status | grep -E '^(Uid|CapEff|NoNewPrivs|Seccomp):'"))

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
	m.must("timeout 600 lodge create nested --size '1 vCPU, 128MB' --disk 1GB --no-ssh-key --wait")
	step("a guest in the guest runs")

	// What the kernel holds its QEMU to.
	t.Log(m.must(`pid=$(cat /run/libvirt/qemu/lodge-*.pid)
		echo "user $(ps -o user= -p $pid) label $(cat /proc/$pid/attr/current)"
		grep -E '^(Uid|CapEff|NoNewPrivs|Seccomp):' /proc/$pid/status`))
	held := m.must(`pid=$(cat /run/libvirt/qemu/lodge-*.pid)
		group=/sys/fs/cgroup$(cut -d: -f3 /proc/$pid/cgroup)
		case $group in */libvirt/*) group=${group%/libvirt/*};; esac
		for f in memory.max cpu.weight io.weight io.bfq.weight; do echo "$f $(cat $group/$f 2>&1)"; done`)
	t.Log(held)
	ceiling := 128 + 32 + 512
	if !strings.Contains(m.must("lodge host list"), "kvm") { // QEMU emulates SVM, and KVM runs on that
		ceiling += 1024
	}
	for _, want := range []string{fmt.Sprintf("memory.max %d\n", ceiling<<20), "cpu.weight 100\n"} {
		if !strings.Contains(held+"\n", want) {
			t.Errorf("the kernel holds QEMU to\n%s, not to %s", held, want)
		}
	}
	if out := m.must("cat /proc/$(cat /run/libvirt/qemu/lodge-*.pid)/attr/current"); !strings.Contains(out, "libvirt-") || !strings.Contains(out, "enforce") {
		t.Errorf("AppArmor has QEMU under %q", out)
	}

	// lodged is killed and its guest destroyed: both come back.
	m.must("systemctl kill -s KILL --kill-who=main lodged; virsh -q -c qemu:///system destroy $(virsh -q -c qemu:///system list --name | head -n 1)")
	m.must("for i in $(seq 300); do lodge show nested -o json 2>/dev/null | grep -q '\"state\": *\"running\"' && virsh -q -c qemu:///system list --name | grep -q lodge && exit 0; sleep 1; done; lodge show nested; exit 1")
	step("both came back")
	m.must("timeout 600 lodge delete nested --yes --wait; virsh -q -c qemu:///system list --all --name | grep lodge && exit 1 || exit 0")
	step("and is deleted")
	if out, _ := m.root("journalctl -u lodged -o cat --no-pager | grep -iE 'permission|not permitted|read-only'"); out != "" {
		t.Errorf("the sandbox was in the way:\n%s", out)
	}
}

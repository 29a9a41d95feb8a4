package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLodgeComesBackWhenLibvirtdDoes(t *testing.T) {
	l := newLab(t)
	l.importTiny()
	id := l.tiny("a")
	l.libvirtd("stop")
	defer l.libvirtd("start")

	// Reads still answer, a wish is taken, and the instance says what is wrong.
	wish := l.create(map[string]any{"name": "b", "vcpus": 1, "memory_mib": 128, "disk_gib": 1})
	l.eventually(30*time.Second, "the problem is shown", func() bool {
		return problemCode(l.instance(id)) == "hypervisor_unavailable" && problemCode(l.instance(wish)) == "hypervisor_unavailable"
	})
	if s := l.instance(id)["state"]; s != "running" {
		t.Errorf("an instance nobody can look at is %v", s)
	}
	l.libvirtd("start")
	l.settled(wish, "running")
	l.settled(id, "running")
	l.eventually(30*time.Second, "the problems are gone", func() bool {
		return problemCode(l.instance(id)) == "" && problemCode(l.instance(wish)) == ""
	})
}

func TestLodgedStartsWhileLibvirtdIsDown(t *testing.T) {
	l := newLab(t)
	l.importTiny()
	l.libvirtd("stop")
	defer l.libvirtd("start")
	l.stop()
	l.start()
	id := l.create(map[string]any{"name": "a", "vcpus": 1, "memory_mib": 128, "disk_gib": 1})
	l.eventually(30*time.Second, "the problem is shown", func() bool { return problemCode(l.instance(id)) == "hypervisor_unavailable" })
	l.libvirtd("start")
	l.settled(id, "running")
	l.eventually(30*time.Second, "the host is known", func() bool {
		host := l.list("/v1/hosts")[0]
		return strings.Contains(host["hypervisor"].(string), "QEMU") && host["accel"] == "tcg"
	})
}

func TestABrandNewLodgedStartsWhileLibvirtdIsDown(t *testing.T) {
	if os.Getenv("LODGE_WORLD") != "1" {
		t.Skip("needs a libvirt world: run scripts/test")
	}
	(&lab{t: t}).libvirtd("stop")
	defer (&lab{t: t}).libvirtd("start")
	l := newLab(t)
	if host := l.list("/v1/hosts")[0]; number(host["memory_mib"]) == 0 || number(host["vcpus"]) == 0 {
		t.Errorf("host: %v", host)
	}
	l.eventually(30*time.Second, "the host shows the problem", func() bool { return problemCode(l.list("/v1/hosts")[0]) == "hypervisor_unavailable" })
	l.libvirtd("start")
	l.eventually(30*time.Second, "the host has recovered", func() bool { return problemCode(l.list("/v1/hosts")[0]) == "" })
	l.importTiny()
	l.tiny("a")
}

func problemCode(inst map[string]any) string {
	p, _ := inst["problem"].(map[string]any)
	s, _ := p["code"].(string)
	return s
}

func TestUsageIsExactWhenLodgedIsKilled(t *testing.T) {
	l := newLab(t)
	l.importTiny()
	on, dies := l.tiny("runs-on"), l.tiny("dies")
	time.Sleep(6 * time.Second) // a heartbeat

	l.kill()
	l.virsh("destroy", "lodge-"+dies)
	down := time.Now()
	time.Sleep(5 * time.Second)
	l.start()
	// Destroyed by hand: started again. Until the first look the rows say what was
	// seen before.
	l.eventually(time.Minute, "the guest that died runs again", func() bool { return l.virsh("domstate", "lodge-"+dies) == "running" })
	l.settled(on, "running")
	l.settled(dies, "running")
	back := time.Since(down)

	whole, part := l.usage(on), l.usage(dies)
	if whole.intervals != 1 {
		t.Errorf("a guest that ran on has %d intervals", whole.intervals)
	}
	if part.intervals != 2 {
		t.Errorf("a guest that died has %d intervals, want the time before and the time after", part.intervals)
	}
	// Both began at nearly the same time, so what one has less is its dead time:
	// at least as long as lodged was down, for libvirt's log has the end.
	dead := whole.instance - part.instance - part.started.Sub(whole.started)
	if dead < 5*time.Second || dead > back+time.Second {
		t.Errorf("dead for %s (down %s): %+v and %+v", dead, back, whole, part)
	}
	if part.evidence != "log" {
		t.Errorf("the end of a guest that nobody saw die is known by %q", part.evidence)
	}
}

func TestASecondDaemonOnTheSameDataDirIsRefused(t *testing.T) {
	l := newLab(t)
	out, err := exec.Command(bin("lodged"), "--data-dir", l.dir, "--socket", filepath.Join(l.dir, "other.sock")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "another lodged") {
		t.Errorf("%v: %s", err, out)
	}
	if a := l.call("GET", "/readyz", nil); a.status != 200 {
		t.Errorf("the first one suffered: %d", a.status)
	}
}

func TestAFullDiskIsSaidCleanedAndRetried(t *testing.T) {
	if os.Getenv("LODGE_WORLD") != "1" {
		t.Skip("needs a libvirt world: run scripts/test")
	}
	dir := scratch(t)
	disks := filepath.Join(dir, "disks")
	if err := os.MkdirAll(disks, 0o711); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=400m,mode=711", "lodge-e2e", disks).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v %s", err, out)
	}
	defer func() { _ = exec.Command("umount", "-l", disks).Run() }()
	l := newLabIn(t, dir)
	l.importTiny()

	big := filepath.Join(dir, "big.raw")
	disk(t, big, 600<<20)
	out, code := l.lodgeCode("image", "import", big, "--name", "big", "--sha256", strings.Repeat("0", 64))
	if code == 0 || !strings.Contains(out, "space") {
		t.Errorf("import on a full disk: exit %d: %s", code, out)
	}
	if left, _ := filepath.Glob(filepath.Join(disks, ".import*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if n := len(l.list("/v1/images?name=big")); n != 0 {
		t.Errorf("%d images are left", n)
	}

	fill := filepath.Join(disks, "fill")
	_ = exec.Command("dd", "if=/dev/zero", "of="+fill, "bs=1M").Run() // ends with the disk full
	id := l.create(map[string]any{"name": "a", "vcpus": 1, "memory_mib": 128, "disk_gib": 1})
	l.eventually(30*time.Second, "the instance says that the disk is full", func() bool { return problemCode(l.instance(id)) == "disk_full" })
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	l.settled(id, "running")
	l.pausedForSpace(fill)
}

// pausedForSpace has a guest write more than there is room for: it is paused, says so,
// and goes on where it was when there is space.
func (l *lab) pausedForSpace(fill string) {
	l.t.Helper()
	id := l.tiny("writer")
	address, pid := l.address(id), l.qemu(id)
	l.sshWait("root", address, "true", time.Minute)
	_ = exec.Command("dd", "if=/dev/zero", "of="+fill, "bs=1M").Run() // ends with the disk full
	wrote := make(chan string, 1)
	go func() {
		out, ok := l.ssh("root", address, "dd if=/dev/urandom of=/dev/vda bs=1M seek=700 count=16 conv=fsync 2>&1 && echo all of it")
		wrote <- fmt.Sprint(ok, " ", out)
	}()
	l.eventually(30*time.Second, "it is paused", func() bool { return problemCode(l.instance(id)) == "guest_paused" })
	if s := l.virsh("domstate", "--reason", "lodge-"+id); !strings.Contains(s, "paused") || !strings.Contains(s, "I/O error") {
		l.t.Errorf("the guest is %s", s)
	}
	select {
	case out := <-wrote:
		l.t.Errorf("the guest went on: %s", out)
	default:
	}
	if err := os.Remove(fill); err != nil {
		l.t.Fatal(err)
	}
	l.settled(id, "running")
	l.eventually(30*time.Second, "it has no problem", func() bool { return problemCode(l.instance(id)) == "" })
	select {
	case out := <-wrote:
		if !strings.Contains(out, "all of it") {
			l.t.Errorf("the guest's write ended with: %s", out)
		}
	case <-time.After(time.Minute):
		l.t.Error("the guest's write did not end")
	}
	if now := l.qemu(id); now != pid {
		l.t.Errorf("it was process %d and is %d", pid, now)
	}
}

// disk makes a raw file that looks like a disk.
func disk(t *testing.T, path string, size int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i * 7)
	}
	block[510], block[511] = 0x55, 0xaa
	for n := int64(0); n < size; n += int64(len(block)) {
		if _, err := f.Write(block); err != nil {
			t.Fatal(err)
		}
	}
}

// Without its id lodged would take the instances for another host's and leave
// them to themselves, with their meters running.
func TestALostHostIDIsTakenFromTheDatabase(t *testing.T) {
	l := newLab(t)
	l.importTiny()
	id := l.tiny("a")
	path := filepath.Join(l.dir, "host-id")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, spoil := range []func() error{
		func() error { return os.Truncate(path, 0) },
		func() error { return os.Remove(path) },
		func() error { return os.WriteFile(path, []byte("rubbish\n"), 0o644) },
	} {
		l.stop()
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		l.start()
		if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
			t.Errorf("the host id was %q and is %q, %v", before, after, err)
		}
	}
	if n := len(l.list("/v1/hosts")); n != 1 {
		t.Errorf("%d hosts", n)
	}
	l.virsh("destroy", "lodge-"+id)
	l.eventually(time.Minute, "the guest is looked after", func() bool { return l.virsh("domstate", "lodge-"+id) == "running" })
	l.gone(id)
}

package e2e

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// What befalls a host, on one lodged with guests that only halt: each case leaves
// behind what the next one begins with, and everything is looked at past lodge.
func TestFaultsOfTheHost(t *testing.T) {
	l := newLab(t, "--vcpu-overcommit", "64", "--sweep", "2s")
	l.halting()
	h := &hostFaults{chaos: chaos{lab: l, t: t, most: 12, tenants: []string{"default"}, made: map[string]string{}, removed: map[string]bool{}, power: map[string]string{}, herd: map[string]string{}, uefi: map[string]bool{}, points: map[string]int{}}}
	for _, c := range []struct {
		name string
		test func()
	}{
		{"libvirtd is killed while much is asked for", h.libvirtdKilled},
		{"many QEMUs are killed at once", h.qemusKilled},
		{"QEMUs hang", h.qemusHang},
		{"the host reboots", h.hostReboots},
	} {
		began := time.Now()
		ok := t.Run(c.name, func(t *testing.T) {
			h.t, l.t = t, t
			c.test()
		})
		h.t, l.t = t, t
		t.Logf("%s: %s", c.name, time.Since(began).Round(100*time.Millisecond))
		if !ok {
			return
		}
	}
}

type hostFaults struct {
	chaos
}

// libvirtdKilled kills libvirtd four times under load.
func (h *hostFaults) libvirtdKilled() {
	seed := uint64(time.Now().UnixNano())
	h.t.Logf("seed %d", seed)
	h.rand = rand.New(rand.NewPCG(seed, 1))
	var people sync.WaitGroup
	for n := range 2 {
		r := rand.New(rand.NewPCG(seed, uint64(10+n)))
		people.Go(func() {
			for !h.over.Load() {
				h.act(r, 0, fmt.Sprint("p", n))
				time.Sleep(time.Duration(r.Int64N(int64(200 * time.Millisecond))))
			}
		})
	}
	for range 4 {
		time.Sleep(time.Duration(500+h.rand.IntN(1500)) * time.Millisecond)
		h.libvirtd("kill")
		time.Sleep(time.Duration(h.rand.IntN(700)) * time.Millisecond)
		h.libvirtd("start")
	}
	h.over.Store(true)
	people.Wait()
	h.t.Logf("%d requests taken, %d instances promised, %d of their deletions", h.taken.Load(), len(h.made), len(h.removed))
	h.still(2 * time.Minute)
	h.look()
}

// still waits until everything is as it was asked to be.
func (h *hostFaults) still(d time.Duration) {
	h.t.Helper()
	h.eventually(d, "every instance is as it was asked to be", func() bool {
		return !slices.ContainsFunc(h.all(), func(i map[string]any) bool {
			return i["settled"] != true || i["problem"] != nil || i["state"] != i["power"]
		})
	})
}

// fill makes instances until so many are wanted running and so many stopped, and
// returns them in the order in which they were made.
func (h *hostFaults) fill(running, stopped int) (on, off []string) {
	h.t.Helper()
	for _, i := range h.all() {
		if i["power"] == "running" {
			running--
		} else {
			stopped--
		}
	}
	for n := range max(running, 0) + max(stopped, 0) {
		power := map[bool]string{true: "running", false: "stopped"}[n < running]
		h.n++
		id := h.create(map[string]any{"name": fmt.Sprintf("more%d", h.n), "vcpus": 1, "memory_mib": 64, "disk_gib": 1, "power": power})
		h.made[id], h.power[id] = "default", power
	}
	h.still(2 * time.Minute)
	all := h.all()
	slices.SortFunc(all, func(a, b map[string]any) int {
		return cmp.Compare(a["created_at"].(string), b["created_at"].(string))
	})
	for _, i := range all {
		if i["power"] == "running" {
			on = append(on, i["id"].(string))
		} else {
			off = append(off, i["id"].(string))
		}
	}
	return on, off
}

// qemusKilled kills six at once, and one of them again each time it is back.
func (h *hostFaults) qemusKilled() {
	on, _ := h.fill(8, 2)
	hit := on[:6]
	before := map[string]int{}
	ends := map[string]time.Time{}
	for _, id := range hit {
		before[id] = len(h.ledgerRuns(id))
		if err := syscall.Kill(h.qemu(id), syscall.SIGKILL); err != nil {
			h.t.Fatal(err)
		}
		ends[id] = time.Now()
	}
	h.eventually(time.Minute, "all six are on again, in the ledger too", func() bool {
		return !slices.ContainsFunc(hit, func(id string) bool { return len(h.ledgerRuns(id)) == before[id] })
	})
	for _, id := range hit {
		runs := h.ledgerRuns(id)
		end := runs[before[id]-1]
		if end.evidence != "seen" || end.end.Sub(ends[id]).Abs() > 2*time.Second {
			h.t.Errorf("%s ended at %s; the ledger has %+v", id, ends[id], end)
		}
		if again := runs[before[id]]; !again.end.IsZero() || again.start.Before(end.end) {
			h.t.Errorf("%s is on again; the ledger has %+v behind %+v", id, again, end)
		}
	}
	h.still(time.Minute)

	var pauses []time.Duration
	for range 2 {
		pid := h.qemu(hit[0])
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			h.t.Fatal(err)
		}
		down := h.dead(pid)
		h.eventually(time.Minute, "it says that it crashes", func() bool { return problemCode(h.instance(hit[0])) == "guest_crashed" })
		h.eventually(time.Minute, "it is on again", func() bool {
			return h.virsh("domstate", "lodge-"+hit[0]) == "running" && h.qemu(hit[0]) != pid
		})
		pauses = append(pauses, time.Since(down))
	}
	h.t.Logf("a guest that dies at once is on again after %v", pauses)
	if pauses[0] < time.Second || pauses[1] < 2*pauses[0] {
		h.t.Errorf("the pauses do not grow: %v", pauses)
	}
	h.look2()
}

// look2 is look for a host on which a problem may still be shown.
func (h *hostFaults) look2() {
	h.t.Helper()
	h.eventually(2*time.Minute, "every instance is as it was asked to be", func() bool {
		return !slices.ContainsFunc(h.all(), func(i map[string]any) bool {
			return i["settled"] != true && problemCode(i) != "guest_crashed" || i["state"] != i["power"]
		})
	})
	h.look()
	if out, code := h.lodgeCode("usage", "verify"); code != 0 {
		h.t.Errorf("the ledger verifies: %s", out)
	}
}

// qemusHang stops the processes of more guests than there are workers, so that
// their monitors do not answer, and has them stopped.
func (h *hostFaults) qemusHang() {
	on, _ := h.fill(8, 2)
	hung := on[len(on)-5:]
	for _, id := range hung {
		pid := h.qemu(id)
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			h.t.Fatal(err)
		}
		defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
	}
	was := time.Now()
	h.eventually(20*time.Second, "lodge looks at all, the silent ones too", func() bool { return h.heartbeat().After(was) })
	h.t.Logf("a look behind %s", time.Since(was))

	// Asked to shut down, they do not answer.
	for _, id := range hung {
		if a := h.call("POST", "/v1/instances/"+id+"/stop", nil); a.status != 202 {
			h.t.Fatalf("stop: %d %v", a.status, a.body)
		}
	}
	time.Sleep(time.Second) // the workers are at it
	slow := 5 * time.Second
	took := func(what string, f func()) {
		h.t.Helper()
		began := time.Now()
		f()
		d := time.Since(began)
		h.t.Logf("%s beside five silent guests: %s", what, d.Round(time.Millisecond))
		if d > slow {
			h.t.Errorf("%s took %s", what, d)
		}
	}
	var other string
	took("create", func() {
		other = h.create(map[string]any{"name": "beside", "vcpus": 1, "memory_mib": 64, "disk_gib": 1})
		h.settled(other, "running")
	})
	took("stop", func() {
		h.call("POST", "/v1/instances/"+other+"/stop", map[string]any{"force": true})
		h.settled(other, "stopped")
	})
	took("start", func() {
		h.call("POST", "/v1/instances/"+other+"/start", nil)
		h.settled(other, "running")
	})
	took("delete", func() { h.gone(other) })
	took("a look at all", func() {
		was := time.Now()
		h.eventually(20*time.Second, "lodge looks", func() bool { return h.heartbeat().After(was) })
	})
	said := map[string]any{} // while it is tried again no problem is shown
	h.eventually(time.Minute, "each silent guest says so", func() bool {
		for _, id := range hung {
			if i := h.instance(id); problemCode(i) == "timeout" {
				said[id] = i["problem"]
			}
		}
		return len(said) == len(hung)
	})
	h.t.Logf("the problem: %v", said[hung[0]])

	began := time.Now()
	h.call("POST", "/v1/instances/"+hung[0]+"/stop", map[string]any{"force": true})
	h.settled(hung[0], "stopped")
	h.t.Logf("a silent guest is switched off after %s", time.Since(began).Round(time.Millisecond))
	h.power[hung[0]] = "stopped"
	began = time.Now()
	h.removed[hung[1]] = true
	h.gone(hung[1])
	h.t.Logf("a silent guest is deleted after %s", time.Since(began).Round(time.Millisecond))

	for _, id := range hung[2:] {
		if err := syscall.Kill(h.qemu(id), syscall.SIGCONT); err != nil {
			h.t.Fatal(err)
		}
		h.call("POST", "/v1/instances/"+id+"/start", nil)
	}
	h.still(time.Minute)
	h.look()
}

// hostReboots takes everything away that a boot takes.
func (h *hostFaults) hostReboots() {
	on, off := h.fill(20, 3)
	before := map[string]int{}
	for _, id := range on {
		before[id] = len(h.ledgerRuns(id))
	}
	seen := h.killed()
	h.libvirtd("kill")
	for _, id := range on {
		if err := syscall.Kill(h.qemu(id), syscall.SIGKILL); err != nil {
			h.t.Fatal(err)
		}
	}
	h.endRun()
	boot := filepath.Join(h.dir, "boot-id")
	if err := os.WriteFile(boot, []byte("8d1cf3a6-1f5f-4c52-9a43-5d20f7a4c111\n"), 0o644); err != nil {
		h.t.Fatal(err)
	}
	const real = "/proc/sys/kernel/random/boot_id"
	if out, err := exec.Command("mount", "--bind", boot, real).CombinedOutput(); err != nil {
		h.t.Fatalf("mount: %v %s", err, out)
	}
	defer func() { _ = exec.Command("umount", "-l", real).Run() }()
	h.libvirtd("start")
	log, err := os.Stat(h.logFile())
	if err != nil {
		h.t.Fatal(err)
	}
	h.start()
	back := time.Now()
	h.eventually(2*time.Minute, "all are on again, by the kernel's word", func() bool { return len(h.qemus()) == len(on) })
	h.eventually(time.Minute, "lodge looks again", func() bool { return h.heartbeat().After(back) })
	h.still(3 * time.Minute)
	h.t.Logf("20 guests are back %s after lodged", time.Since(back).Round(10*time.Millisecond))

	most, starts := h.sideBySide(log.Size())
	h.t.Logf("%d starts, at most %d at the same time", starts, most)
	if starts != len(on) || most > 4 || most < 2 {
		h.t.Errorf("%d starts for %d guests, at most %d at the same time, of 4 workers", starts, len(on), most)
	}
	at := h.startedAt()
	for i, id := range on {
		for _, later := range on[min(i+4, len(on)):] {
			if at[later] < at[id] {
				h.t.Errorf("the guest that was made as number %d of %d came behind a later one", i+1, len(on))
				break
			}
		}
		runs := h.ledgerRuns(id)
		if len(runs) != before[id]+1 {
			h.t.Errorf("%s: the ledger has %+v", id, runs)
			continue
		}
		if end := runs[before[id]-1]; !end.end.Equal(seen) || end.evidence != "heartbeat" {
			h.t.Errorf("%s: lodge last looked at %s; the ledger has %+v", id, seen, end)
		}
	}
	for _, id := range off {
		if s := h.virsh("domstate", "lodge-"+id); s != "shut off" {
			h.t.Errorf("one that was stopped is %s", s)
		}
	}
	h.look2()
}

// endRun ends what lives in memory: dnsmasq, bridges, and libvirt's own notes.
func (h *hostFaults) endRun() {
	h.t.Helper()
	pids, _ := filepath.Glob("/run/libvirt/network/*.pid")
	for _, p := range pids {
		b, _ := os.ReadFile(p)
		if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	links, _ := filepath.Glob("/sys/class/net/ldg*")
	for _, l := range links {
		_ = exec.Command("ip", "link", "del", filepath.Base(l)).Run()
	}
	notes, err := filepath.Glob("/run/libvirt/*")
	if err != nil || len(notes) == 0 {
		h.t.Fatalf("%v %v", notes, err)
	}
	for _, n := range notes {
		if !strings.Contains(n, "virtlogd") && filepath.Base(n) != "common" {
			if err := os.RemoveAll(n); err != nil {
				h.t.Fatal(err)
			}
		}
	}
}

var startStep = regexp.MustCompile(`(?m)^time=(\S+) .*msg=step step="?([^"]*start[^"]*)"? took=(\S+) err=<nil>`)

// sideBySide counts starts in lodged's log from an offset on, and how many of
// them ran at the same time.
func (h *hostFaults) sideBySide(from int64) (most, n int) {
	h.t.Helper()
	b, err := os.ReadFile(h.logFile())
	if err != nil {
		h.t.Fatal(err)
	}
	type edge struct {
		at time.Time
		by int
	}
	var edges []edge
	for _, m := range startStep.FindAllStringSubmatch(string(b[from:]), -1) {
		end, err := time.Parse(time.RFC3339Nano, m[1])
		took, err2 := time.ParseDuration(m[3])
		if err != nil || err2 != nil {
			h.t.Fatalf("%q: %v %v", m[0], err, err2)
		}
		n++
		edges = append(edges, edge{end.Add(-took), 1}, edge{end, -1})
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.by, b.by)) })
	now := 0
	for _, e := range edges {
		now += e.by
		most = max(most, now)
	}
	return most, n
}

// startedAt is when the QEMU of each guest was started, in ticks since the boot,
// from the kernel.
func (h *hostFaults) startedAt() map[string]int {
	h.t.Helper()
	out := map[string]int{}
	for _, id := range h.qemus() {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", h.qemu(id)))
		if err != nil {
			h.t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		out[id], err = strconv.Atoi(strings.Fields(rest)[19])
		if err != nil {
			h.t.Fatal(err)
		}
	}
	return out
}

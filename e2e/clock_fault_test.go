package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The wall clock is set a day forward and back under guests of a real QEMU: they
// run on, what is counted is what passed, and an end behind that has its time and
// its evidence. The lodged for this is shown another clock; libvirt keeps this
// machine's, as one does that has read it before the step.
func TestAClockThatIsSetByADayMovesNoGuestAndNoBill(t *testing.T) {
	if _, err := os.Stat(bin("failpoint/lodged")); err != nil {
		t.Skipf("needs a lodged whose clock can be set: %v; make build-failpoint makes it", err)
	}
	l := newLab(t, "--sweep", "1s")
	l.stop()
	offset := filepath.Join(l.dir, "offset")
	l.program, l.env = "failpoint/lodged", []string{"LODGE_WALL_OFFSET=" + offset}
	set := func(by string) {
		t.Helper()
		if err := os.WriteFile(offset+".new", []byte(by), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(offset+".new", offset); err != nil {
			t.Fatal(err)
		}
	}
	set("0s")
	l.start()
	began := time.Now()
	ids, pids := l.haltingGuests(2)
	made := time.Now()
	doubted := func() bool { return problemCode(l.list("/v1/hosts")[0]) == "clock_stepped" }
	set("24h")
	l.eventually(20*time.Second, "a clock that is a day ahead is doubted", doubted)
	time.Sleep(2 * time.Second)
	l.runOn(ids, pids)
	if a := l.call("POST", "/v1/instances", map[string]any{"name": "between", "vcpus": 1, "memory_mib": 64, "disk_gib": 1, "power": "stopped"}); a.status != 202 {
		t.Errorf("create: %d %v", a.status, a.body)
	} else if at := a.body["created_at"].(string); !strings.HasPrefix(at, time.Now().UTC().Format("2006-01-02")) {
		t.Errorf("made while the clock was a day ahead and doubted, it says %s", at)
	}
	set("0s")
	l.eventually(20*time.Second, "the clock is right again", func() bool { return !doubted() })
	set("-24h")
	l.eventually(20*time.Second, "a clock that is a day behind is told of", func() bool {
		for _, e := range l.list("/v1/events?limit=500") {
			if e["type"] == "host.clock_step" {
				return true
			}
		}
		return false
	})
	l.runOn(ids, pids)
	set("0s")
	l.runOn(ids, pids)

	// One dies with lodge looking, one while lodged is away.
	pid := l.qemu(ids[0])
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	first := l.dead(pid)
	l.eventually(time.Minute, "it is on again", func() bool { return len(l.ledgerRuns(ids[0])) == 2 })
	l.crashed()
	pid = l.qemu(ids[1])
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	second := l.dead(pid)
	time.Sleep(time.Second)
	l.start()
	l.eventually(time.Minute, "it is on again", func() bool { return len(l.ledgerRuns(ids[1])) == 2 })
	for i, end := range []time.Time{first, second} {
		var counted time.Duration
		for _, r := range l.ledgerRuns(ids[i]) {
			t.Logf("guest %d: %s to %s by %s", i, r.start.UTC().Format(time.RFC3339Nano), r.end.UTC().Format(time.RFC3339Nano), r.evidence)
			if !r.end.IsZero() {
				counted += r.end.Sub(r.start)
			}
		}
		least, most := end.Sub(made)-2*time.Second, end.Sub(began)+time.Second // it may have died a sweep behind the last look
		t.Logf("guest %d ran for %s to %s; %s are counted", i, least, most, counted)
		if counted < least || counted > most {
			t.Errorf("guest %d: %s are counted, and it ran for %s to %s", i, counted, least, most)
		}
	}
	if out, code := l.lodgeCode("usage", "verify"); code != 0 {
		t.Errorf("the ledger verifies: %s", out)
	}
}

// crashed is killed where the ledger's time is not the wall clock's: lodge looks
// when the heartbeat moves.
func (l *lab) crashed() {
	l.t.Helper()
	was := l.heartbeat()
	l.eventually(20*time.Second, "lodge looks once more", func() bool { return l.heartbeat().After(was) })
	l.kill()
}

package e2e

import (
	"database/sql"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// run is an interval of the instance meter under running.
type run struct {
	start, end time.Time // end is zero while it runs
	evidence   string
}

func (l *lab) db() *sql.DB {
	l.t.Helper()
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(l.dir, "lodge.db")+"?mode=ro&_busy_timeout=5000")
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { db.Close() })
	return db
}

// ledgerRuns reads the runs of an instance from the file, past lodge.
func (l *lab) ledgerRuns(id string) (runs []run) {
	l.t.Helper()
	rows, err := l.db().Query(`
		SELECT started_at, COALESCE(ended_at, 0), evidence
		FROM usage_interval
		WHERE resource_id = ? AND meter = 'instance' AND state = 'running'
		ORDER BY seq`, id)
	if err != nil {
		l.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var start, end int64
		var r run
		if err := rows.Scan(&start, &end, &r.evidence); err != nil {
			l.t.Fatal(err)
		}
		r.start = time.UnixMilli(start)
		if end != 0 {
			r.end = time.UnixMilli(end)
		}
		runs = append(runs, r)
	}
	return runs
}

// heartbeat is when the guests were last looked at.
func (l *lab) heartbeat() time.Time {
	l.t.Helper()
	var at int64
	if err := l.db().QueryRow(`SELECT heartbeat_at FROM host`).Scan(&at); err != nil {
		l.t.Fatal(err)
	}
	return time.UnixMilli(at)
}

// qemu is the process of a guest.
func (l *lab) qemu(id string) int {
	l.t.Helper()
	b, err := os.ReadFile("/run/libvirt/qemu/lodge-" + id + ".pid")
	if err != nil {
		l.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		l.t.Fatal(err)
	}
	return pid
}

// dead waits until a process is gone and says when it was.
func (l *lab) dead(pid int) time.Time {
	l.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); err != nil || strings.Contains(string(stat), ") Z ") {
			return time.Now()
		}
		if time.Now().After(end) {
			l.t.Fatalf("process %d does not end", pid)
		}
	}
}

// killed waits until lodge has looked once more and kills it, as a crash does. It
// returns the moment of the last look.
func (l *lab) killed() time.Time {
	l.t.Helper()
	was := time.Now()
	l.eventually(20*time.Second, "lodge looks once more", func() bool { return l.heartbeat().After(was) })
	l.kill()
	return l.heartbeat()
}

// fate is what happens to a guest while lodged is down, and how the ledger has to
// have it afterwards.
type fate struct {
	name   string
	happen func(l *lab, id string) (end time.Time)
	want   string // evidence of the end; "" when the guest goes on
	again  bool   // it is on again afterwards
}

const (
	byLog  = "log"       // within a second of the end
	byBeat = "heartbeat" // at the last look, which is never later than the end
)

func destroyByHand(l *lab, id string) time.Time {
	pid := l.qemu(id)
	l.virsh("destroy", "lodge-"+id)
	return l.dead(pid)
}

func killQEMU(l *lab, id string) time.Time {
	pid := l.qemu(id)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		l.t.Fatal(err)
	}
	return l.dead(pid)
}

// befall has a guest meet each fate while lodged is down for several sweeps, with
// before and after done to the host, and checks the ledger when lodged is back.
func (l *lab) befall(fates []fate, before, after func()) {
	l.t.Helper()
	ids, ends := make([]string, len(fates)), make([]time.Time, len(fates))
	for i, f := range fates {
		ids[i] = l.tiny(strings.ToLower(strings.ReplaceAll(f.name, " ", "-")))
	}
	for i, f := range fates {
		if f.name == "powered off from inside" {
			l.sshWait("root", l.address(ids[i]), "true", time.Minute)
		}
	}
	addresses := map[string]string{}
	for _, id := range ids {
		addresses[id] = l.address(id)
	}
	l.addresses = addresses
	seen := l.killed()
	time.Sleep(3 * time.Second)
	before()
	for i, f := range fates {
		ends[i] = f.happen(l, ids[i])
	}
	time.Sleep(2 * time.Second)
	after()
	l.start()
	back := time.Now()
	l.eventually(time.Minute, "lodge looks again", func() bool { return l.heartbeat().After(back) })
	for i, f := range fates {
		l.t.Run(f.name, func(t *testing.T) {
			if f.again {
				l.eventually(time.Minute, "it is on again", func() bool { return len(l.ledgerRuns(ids[i])) == 2 })
			}
			f.check(t, l.ledgerRuns(ids[i]), ends[i], seen, back)
		})
	}
}

func (f fate) check(t *testing.T, runs []run, end, seen, back time.Time) {
	if f.want == "" {
		if len(runs) != 1 || !runs[0].end.IsZero() {
			t.Errorf("it ran on; the ledger has %+v", runs)
		}
		return
	}
	got := runs[0]
	t.Logf("ended %s; in the ledger %s after that, by %s", end.UTC().Format(time.RFC3339Nano), got.end.Sub(end), got.evidence)
	switch {
	case got.evidence != f.want:
		t.Errorf("the evidence is %q, want %q; lodge last looked at %s", got.evidence, f.want, seen)
	case f.want == byLog && got.end.Sub(end).Abs() > time.Second:
		t.Errorf("it ended at %s; the ledger says %s", end, got.end)
	case f.want == byBeat && (!got.end.Equal(seen) || got.end.After(end)):
		t.Errorf("lodge last looked at %s and it ended at %s; the ledger says %s", seen, end, got.end)
	}
	if f.again != (len(runs) == 2) || (f.again && (runs[1].start.Before(back.Add(-5*time.Second)) || !runs[1].end.IsZero())) {
		t.Errorf("on again %v since lodge is back, about %s; the ledger has %+v", f.again, back, runs)
	}
}

func TestTheLedgerIsRightWhateverHappenedWhileLodgedWasDown(t *testing.T) {
	l := newLab(t, "--sweep", "1s")
	l.importTiny()
	l.befall([]fate{
		{"runs on", func(*lab, string) time.Time { return time.Time{} }, "", false},
		{"powered off from inside", func(l *lab, id string) time.Time {
			pid := l.qemu(id)
			l.ssh("root", l.addresses[id], "poweroff")
			return l.dead(pid)
		}, byLog, false},
		{"destroyed by hand", destroyByHand, byLog, true},
		{"QEMU killed", killQEMU, byLog, true},
		{"destroyed and started by hand", func(l *lab, id string) time.Time {
			end := destroyByHand(l, id)
			time.Sleep(1500 * time.Millisecond)
			l.virsh("start", "lodge-"+id)
			return end
		}, byLog, true},
		{"destroyed and its log removed", func(l *lab, id string) time.Time {
			end := destroyByHand(l, id)
			if err := os.Remove("/var/log/libvirt/qemu/lodge-" + id + ".log"); err != nil {
				l.t.Fatal(err)
			}
			return end
		}, byBeat, true},
	}, func() {}, func() {})
}

// libvirtd writes down what it finds dead at its start as ended then.
func TestTheLedgerIsRightWhateverHappenedWhileLodgedAndLibvirtdWereDown(t *testing.T) {
	l := newLab(t, "--sweep", "1s")
	l.importTiny()
	l.befall([]fate{
		{"runs on", func(*lab, string) time.Time { return time.Time{} }, "", false},
		{"QEMU killed", killQEMU, byBeat, true},
	}, func() { l.libvirtd("kill"); time.Sleep(time.Second) }, func() { l.libvirtd("start") })
}

// The same with lodge looking.
func TestTheLedgerIsRightWhenLibvirtGoesWhileLodgedIsUp(t *testing.T) {
	l := newLab(t, "--sweep", "1s")
	l.importTiny()
	id := l.tiny("a")
	l.libvirtd("restart")
	was := time.Now()
	l.eventually(30*time.Second, "lodge looks again", func() bool { return l.heartbeat().After(was) })
	if runs := l.ledgerRuns(id); len(runs) != 1 || !runs[0].end.IsZero() {
		t.Errorf("it ran over a restart of libvirtd; the ledger has %+v", runs)
	}

	pid := l.qemu(id)
	l.libvirtd("kill")
	time.Sleep(time.Second)
	seen := l.heartbeat()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	end := l.dead(pid)
	time.Sleep(2 * time.Second)
	l.libvirtd("start")
	l.eventually(time.Minute, "it is on again", func() bool { return len(l.ledgerRuns(id)) == 2 })
	if runs := l.ledgerRuns(id); !runs[0].end.Equal(seen) || runs[0].end.After(end) || runs[0].evidence != "heartbeat" {
		t.Errorf("lodge last looked at %s and it ended at %s; the ledger has %+v", seen, end, runs)
	}

	l.settled(id, "running")
	pid = l.qemu(id)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	end = l.dead(pid)
	l.eventually(time.Minute, "it is on once more", func() bool { return len(l.ledgerRuns(id)) == 3 })
	if runs := l.ledgerRuns(id); runs[1].end.Sub(end).Abs() > time.Second || runs[1].evidence != "seen" {
		t.Errorf("it ended at %s with lodge looking; the ledger has %+v", end, runs)
	}
}

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

// After whatever happens while lodged is down for several sweeps, the ledger has
// the truth to the second, or what was last seen where the truth cannot be known.
func TestTheLedgerIsRightAfterWhateverHappenedWhileLodgedWasDown(t *testing.T) {
	const (
		truth = "log"       // within a second of the end
		beat  = "heartbeat" // at the last look, which is never later than the end
		none  = ""          // it goes on
	)
	for _, c := range []struct {
		name   string
		happen func(l *lab, id string) (end time.Time)
		want   string
		again  bool // it is on again afterwards
	}{
		{"the guest runs on", func(l *lab, id string) time.Time { return time.Time{} }, none, false},
		{"powered off from inside", func(l *lab, id string) time.Time {
			pid := l.qemu(id)
			l.virsh("shutdown", "lodge-"+id) // the button: the guest does the rest
			return l.dead(pid)
		}, truth, false},
		{"destroyed by hand", func(l *lab, id string) time.Time {
			pid := l.qemu(id)
			l.virsh("destroy", "lodge-"+id)
			return l.dead(pid)
		}, truth, true},
		{"QEMU killed", func(l *lab, id string) time.Time {
			pid := l.qemu(id)
			_ = syscall.Kill(pid, syscall.SIGKILL)
			return l.dead(pid)
		}, truth, true},
		{"destroyed and started by hand", func(l *lab, id string) time.Time {
			pid := l.qemu(id)
			l.virsh("destroy", "lodge-"+id)
			end := l.dead(pid)
			time.Sleep(2 * time.Second)
			l.virsh("start", "lodge-"+id)
			return end
		}, truth, true},
		{"libvirtd restarts", func(l *lab, id string) time.Time { l.libvirtd("restart"); return time.Time{} }, none, false},
		{"QEMU killed while libvirtd is away too", func(l *lab, id string) time.Time {
			pid := l.qemu(id)
			l.libvirtd("kill")
			time.Sleep(time.Second)
			_ = syscall.Kill(pid, syscall.SIGKILL)
			end := l.dead(pid)
			time.Sleep(2 * time.Second)
			l.libvirtd("start")
			return end
		}, beat, true},
		{"log removed", func(l *lab, id string) time.Time {
			pid := l.qemu(id)
			l.virsh("destroy", "lodge-"+id)
			end := l.dead(pid)
			if err := os.Remove("/var/log/libvirt/qemu/lodge-" + id + ".log"); err != nil {
				l.t.Fatal(err)
			}
			return end
		}, beat, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, "--sweep", "1s")
			l.importTiny()
			id := l.tiny("a")
			l.sshWait("root", l.address(id), "true", time.Minute) // it hears the button
			seen := l.killed()
			time.Sleep(3 * time.Second)
			end := c.happen(l, id)
			time.Sleep(2 * time.Second)
			l.start()
			back := time.Now()
			if c.again || c.want == none {
				l.settled(id, "running")
			} else {
				l.settled(id, "stopped")
			}
			runs := l.ledgerRuns(id)
			switch first := runs[0]; {
			case c.want == none:
				if len(runs) != 1 || !first.end.IsZero() {
					t.Errorf("it ran on; the ledger has %+v", runs)
				}
				return
			case first.evidence != c.want:
				t.Errorf("it ended at %s, lodge last looked at %s; the ledger has %+v, want evidence %s", end, seen, runs, c.want)
			case c.want == truth && first.end.Sub(end).Abs() > time.Second:
				t.Errorf("it ended at %s; the ledger says %s", end, first.end)
			case c.want == beat && (!first.end.Equal(seen) || first.end.After(end)):
				t.Errorf("lodge last looked at %s and it ended at %s; the ledger says %s", seen, end, first.end)
			}
			t.Logf("ended %s, in the ledger %s after that by %s", end.UTC().Format(time.RFC3339Nano), runs[0].end.Sub(end), runs[0].evidence)
			if c.again && (len(runs) != 2 || runs[1].start.Before(back.Add(-5*time.Second)) || !runs[1].end.IsZero()) {
				t.Errorf("it is on again since lodge is back, about %s; the ledger has %+v", back, runs)
			}
		})
	}
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

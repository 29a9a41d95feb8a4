package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// lodged runs one of lodged's own commands on the lab's data dir.
func (l *lab) lodged(args ...string) (out string, ok bool) {
	l.t.Helper()
	cmd := exec.Command(bin("lodged"), append(append(args, "--data-dir", l.dir), l.flags...)...)
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	err := cmd.Run()
	return b.String(), err == nil
}

func (l *lab) must(out string, ok bool) string {
	l.t.Helper()
	if !ok {
		l.t.Fatalf("lodged failed:\n%s", out)
	}
	return out
}

type aftermath struct {
	Restore struct {
		AdoptedAt *time.Time `json:"adopted_at"`
		Report    struct {
			Running, Started, Stopped, Missing []string
			NoDisk                             []string `json:"no_disk"`
			NoImage                            []string `json:"no_image"`
		}
	}
	Orphans []struct{ Kind, ID, State, Address string }
}

func (l *lab) aftermath() (a aftermath) {
	l.t.Helper()
	if err := json.Unmarshal([]byte(l.must(l.lodged("backup", "report", "-o", "json"))), &a); err != nil {
		l.t.Fatal(err)
	}
	return a
}

// The control plane goes back to a backup while the host has gone on: guests that
// ran go on without a boot, also those that were stopped in the backup; what was
// stopped since stays so; what was deleted since is a problem; what was made since
// runs on, with its disk, network and address, and is told of. Nothing on the host
// is destroyed, and the ledger counts one run where there was one.
func TestARestoreTakesTheHostAsItIs(t *testing.T) {
	backups := scratch(t)
	l := newLab(t, "--backup-to", backups)
	l.importTiny()
	keeper, doomed := l.tiny("keeper"), l.tiny("doomed")
	sleeper, tired := l.tiny("sleeper"), l.tiny("tired")
	power := func(id, what, state string) {
		t.Helper()
		if a := l.call("POST", "/v1/instances/"+id+"/"+what, map[string]any{"force": what == "stop"}); a.status != 202 {
			t.Fatalf("%s: %d %v", what, a.status, a.body)
		}
		l.settled(id, state)
	}
	power(sleeper, "stop", "stopped")
	made := time.Now()
	l.eventually(time.Minute, "all of them were looked at", func() bool { return l.heartbeat().After(made) })
	looked := l.heartbeat()
	l.must(l.lodged("backup", "create"))
	t.Log(l.must(l.lodged("backup", "verify", "latest")))

	stray := l.tiny("stray")
	l.gone(doomed)
	gone := time.Now()
	power(sleeper, "start", "running")
	power(tired, "stop", "stopped")
	address := l.address(stray)
	l.sshWait("root", address, "true", time.Minute)
	pids := map[string]int{keeper: l.qemu(keeper), sleeper: l.qemu(sleeper), stray: l.qemu(stray)}
	runs := l.ledgerRuns(keeper)
	before := l.traces()
	l.kill()

	if out, ok := l.lodged("backup", "restore", "latest"); ok || !strings.Contains(out, "--replace") {
		t.Fatalf("a database was replaced unasked:\n%s", out)
	}
	t.Log(l.must(l.lodged("backup", "restore", "latest", "--replace")))
	l.start()
	l.eventually(time.Minute, "the host was compared", func() bool { return l.aftermath().Restore.AdoptedAt != nil })
	l.settled(keeper, "running")
	l.settled(sleeper, "running")
	l.settled(tired, "stopped")
	l.eventually(time.Minute, "the deleted one is a problem", func() bool {
		p, _ := l.instance(doomed)["problem"].(map[string]any)
		return p["code"] == "disk_missing"
	})
	was := l.heartbeat()
	l.eventually(time.Minute, "two more sweeps", func() bool { return l.heartbeat().After(was.Add(8 * time.Second)) })

	for id, pid := range pids {
		if now := l.qemu(id); now != pid {
			t.Errorf("guest %s had process %d and has %d", id, pid, now)
		}
	}
	after := l.traces()
	for _, trace := range before {
		if !slices.Contains(after, trace) && !strings.HasPrefix(trace, "lease ") { // a lease's line has its time
			t.Errorf("%s was destroyed", trace)
		}
	}
	a := l.aftermath()
	r := a.Restore.Report
	if !slices.Equal(r.Running, []string{keeper}) || !slices.Equal(r.Started, []string{sleeper}) || !slices.Equal(r.Stopped, []string{tired}) || !slices.Equal(r.Missing, []string{doomed}) {
		t.Errorf("report %+v", r)
	}
	kinds := map[string]int{}
	for _, o := range a.Orphans {
		kinds[o.Kind]++
		if o.Kind == "guest" && (o.ID != stray || o.State != "running") || o.Kind == "port" && o.Address != address {
			t.Errorf("orphan %+v", o)
		}
	}
	if len(a.Orphans) != 4 || kinds["guest"] != 1 || kinds["volume"] != 1 || kinds["seed"] != 1 || kinds["port"] != 1 {
		t.Errorf("orphans %+v", a.Orphans)
	}
	l.sshWait("root", address, "true", time.Minute)
	if fresh := l.tiny("fresh"); l.address(fresh) == address {
		t.Error("the address of the stray guest was given away")
	}
	again := l.ledgerRuns(keeper)
	if len(again) != len(runs) || !again[len(again)-1].start.Equal(runs[len(runs)-1].start) || !again[len(again)-1].end.IsZero() {
		t.Errorf("the keeper's runs were %v and are %v", runs, again)
	}
	ended := l.ledgerRuns(doomed)
	if len(ended) != 1 || ended[0].end.Before(looked) || ended[0].end.After(gone) {
		t.Errorf("the deleted one's runs are %v; it was looked at at %v and gone at %v", ended, looked, gone)
	}
	t.Logf("the deleted one: gone at %v, counted until %v by %s", gone, ended[0].end, ended[0].evidence)
	if out := l.lodge("usage", "verify"); !strings.Contains(out, "HEAD") {
		t.Errorf("verify: %s", out)
	}
	t.Logf("afterwards:\n%s", l.must(l.lodged("backup", "report")))
	l.removeOrphans(a)
}

// removeOrphans does what the runbook says.
func (l *lab) removeOrphans(a aftermath) {
	l.t.Helper()
	for _, o := range a.Orphans {
		switch o.Kind {
		case "guest":
			if o.State == "running" {
				l.virsh("destroy", o.ID)
			}
			l.virsh("undefine", o.ID)
			_ = os.Remove(filepath.Join(l.dir, "console", o.ID+".log"))
		case "volume":
			_ = os.Remove(filepath.Join(l.dir, "disks", o.ID+".qcow2"))
		case "seed":
			_ = os.Remove(filepath.Join(l.dir, "disks", "seed-"+o.ID+".img"))
		case "port":
			books, _ := filepath.Glob("/var/lib/libvirt/dnsmasq/*.ports")
			for _, path := range books {
				b, err := os.ReadFile(path)
				if err != nil {
					l.t.Fatal(err)
				}
				var keep []string
				for line := range strings.Lines(string(b)) {
					if !strings.HasPrefix(line, o.ID) {
						keep = append(keep, line)
					}
				}
				if err := os.WriteFile(path, []byte(strings.Join(keep, "")), 0o644); err != nil {
					l.t.Fatal(err)
				}
			}
		}
	}
	l.eventually(time.Minute, "there are no orphans", func() bool { return len(l.aftermath().Orphans) == 0 })
}

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// moveTo has the lab go on in another data dir, where lodged does not run yet.
func (l *lab) moveTo(dir string) {
	l.dir, l.socket = dir, filepath.Join(dir, "lodge.sock")
}

// wiped is the data dir without anything but the disks, as after the loss of a disk
// that had the rest.
func (l *lab) wiped() {
	l.t.Helper()
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, e := range entries {
		if slices.Contains([]string{"disks", "id", "id.pub", "lodged.log"}, e.Name()) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(l.dir, e.Name())); err != nil {
			l.t.Fatal(err)
		}
	}
}

// restored restores the latest backup into a data dir without a database, starts
// lodged on it, and waits until it was compared with the host.
func (l *lab) restored() aftermath {
	l.t.Helper()
	l.t.Log(l.must(l.lodged("backup", "restore", "latest")))
	l.start()
	l.eventually(time.Minute, "the host was compared", func() bool { return l.aftermath().Restore.AdoptedAt != nil })
	return l.aftermath()
}

// counted is the time that the API has of an instance.
func (l *lab) counted(id string) time.Duration {
	l.t.Helper()
	a := l.call("GET", "/v1/usage?instance="+id, nil)
	tenants, _ := a.body["tenants"].([]any)
	if a.status != 200 || len(tenants) != 1 {
		l.t.Fatalf("usage: %d %v", a.status, a.body)
	}
	return time.Duration(number(tenants[0].(map[string]any)["instance_ms"])) * time.Millisecond
}

// The data dir is lost under guests that run on; their disks are there. A fresh one
// with the backup takes the guests over without a boot, first in the same place and
// then, with the disks moved, in another. Of the time of all three lodgeds every
// second is counted once, that of the one that is lost included; and what is wanted
// afterwards is done.
func TestAFreshDataDirTakesOverTheGuestsOfALostOne(t *testing.T) {
	backups, fresh := scratch(t), scratch(t)
	l := newLab(t, "--backup-to", backups, "--sweep", "1s")
	l.importTiny()
	keeper, other := l.tiny("keeper"), l.tiny("other")
	address := l.address(keeper)
	l.sshWait("root", address, "true", 2*time.Minute)
	pids := map[string]int{keeper: l.qemu(keeper), other: l.qemu(other)}
	runs := map[string][]run{keeper: l.ledgerRuns(keeper), other: l.ledgerRuns(other)}
	l.must(l.lodged("backup", "create"))
	host := l.list("/v1/hosts")[0]["id"]
	l.killed()

	goesOn := func() {
		t.Helper()
		for id, pid := range pids {
			l.settled(id, "running")
			if now := l.qemu(id); now != pid {
				t.Errorf("guest %s had process %d and has %d", id, pid, now)
			}
			was, is := runs[id], l.ledgerRuns(id)
			if len(is) != 1 || !is[0].start.Equal(was[0].start) || !is[0].end.IsZero() {
				t.Errorf("the runs of %s were %v and are %v", id, was, is)
			}
			begun := time.Now()
			got := l.counted(id)
			if least, most := begun.Sub(was[0].start), time.Since(was[0].start); got < least-time.Second || got > most+time.Second {
				t.Errorf("%s has run for %v to %v, and %v of it are counted", id, least, most, got)
			}
		}
		if got := l.list("/v1/hosts")[0]["id"]; got != host {
			t.Errorf("the host was %v and is %v", host, got)
		}
		l.sshWait("root", address, "true", 2*time.Minute)
		if out := l.lodge("usage", "verify"); !strings.Contains(out, "HEAD") {
			t.Errorf("verify: %s", out)
		}
	}
	check := func(a aftermath) {
		t.Helper()
		r := a.Restore.Report
		both := []string{keeper, other}
		slices.Sort(both)
		if !slices.Equal(r.Running, both) || len(r.Started)+len(r.Stopped)+len(r.Missing)+len(r.NoDisk)+len(r.NoImage)+len(a.Orphans) != 0 {
			t.Errorf("report %+v, orphans %+v", r, a.Orphans)
		}
		goesOn()
	}
	l.wiped()
	check(l.restored())

	l.killed()
	old := l.dir
	if err := os.Rename(filepath.Join(old, "disks"), filepath.Join(fresh, "disks")); err != nil {
		t.Fatal(err)
	}
	l.moveTo(fresh)
	a := l.restored()
	if err := os.RemoveAll(old + "/console"); err != nil {
		t.Fatal(err)
	}
	check(a)

	// What is wanted from now on is done: a stop and a start boot it where its disk
	// is now.
	l.lodge("stop", "keeper", "--force")
	l.settled(keeper, "stopped")
	l.lodge("set", "keeper", "--memory", "160MiB")
	l.lodge("start", "keeper")
	l.settled(keeper, "running")
	l.sshWait("root", address, "true", 2*time.Minute)
	if xml := l.virsh("dumpxml", "lodge-"+keeper); strings.Contains(xml, old) || !strings.Contains(xml, fresh+"/disks/") {
		t.Errorf("it was started from\n%s", xml)
	}
	if n := len(l.ledgerRuns(keeper)); n != 2 {
		t.Errorf("the keeper has %d runs", n)
	}
	l.sshWait("root", l.address(l.tiny("fresh")), "true", 2*time.Minute)
	l.gone(other)
	if out := l.lodge("usage", "verify"); !strings.Contains(out, "HEAD") {
		t.Errorf("verify: %s", out)
	}
}

// bare makes the host one that has never seen lodge: what of it libvirt keeps and
// lodge's guests are gone.
func (l *lab) bare() {
	l.t.Helper()
	for _, name := range strings.Fields(l.virsh("list", "--name")) {
		l.virsh("destroy", name)
	}
	for _, name := range strings.Fields(l.virsh("list", "--all", "--name")) {
		l.virsh("undefine", name)
	}
	for _, kind := range []string{"net", "pool"} {
		for _, name := range strings.Fields(l.virsh(kind+"-list", "--name")) {
			l.virsh(kind+"-destroy", name)
		}
		for _, name := range strings.Fields(l.virsh(kind+"-list", "--all", "--name")) {
			l.virsh(kind+"-undefine", name)
		}
	}
	for _, pattern := range []string{"/var/lib/libvirt/dnsmasq/lodge-*", "/var/log/libvirt/qemu/lodge-*"} {
		files, _ := filepath.Glob(pattern)
		for _, f := range files {
			if err := os.Remove(f); err != nil {
				l.t.Fatal(err)
			}
		}
	}
}

// open are the meters of what is counted now.
func (l *lab) open() (out []string) {
	l.t.Helper()
	rows, err := l.db().Query(`SELECT resource, meter FROM usage_interval WHERE ended_at IS NULL ORDER BY resource, meter`)
	if err != nil {
		l.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var resource, meter string
		if err := rows.Scan(&resource, &meter); err != nil {
			l.t.Fatal(err)
		}
		out = append(out, resource+" "+meter)
	}
	return out
}

// The machine is gone, and the backup is restored on another, which has neither
// guests nor disks. lodge says of each instance and image what is missing, counts
// nothing of it, and makes no empty disks. What somebody puts back comes back; the
// rest is deleted like anything else.
func TestARestoreOnAnotherMachineSaysWhatIsNotThere(t *testing.T) {
	backups, kept, fresh := scratch(t), scratch(t), scratch(t)
	l := newLab(t, "--backup-to", backups, "--sweep", "1s")
	l.importTiny()
	saved, lost := l.tiny("saved"), l.tiny("lost")
	l.lodge("image", "import", os.Getenv("LODGE_TINY_IMAGE"), "--name", "spare", "--user", "root")
	spare := l.list("/v1/images?name=spare")[0]["id"].(string)
	tiny := l.list("/v1/images?name=tiny")[0]["id"].(string)
	l.sshWait("root", l.address(saved), "mkdir -p /m && mount /dev/vda15 /m && echo kept > /m/marker && umount /m && sync", 2*time.Minute)
	made := time.Now()
	l.eventually(time.Minute, "all of them were looked at", func() bool { return l.heartbeat().After(made) })
	looked := l.heartbeat()
	l.must(l.lodged("backup", "create"))
	l.kill()
	for _, dom := range strings.Fields(l.virsh("list", "--name")) {
		l.virsh("destroy", dom)
	}
	// What somebody has of the disks: the root disk of one.
	root := l.rootOf(saved)
	if err := os.Rename(filepath.Join(l.dir, "disks", root+".qcow2"), filepath.Join(kept, root+".qcow2")); err != nil {
		t.Fatal(err)
	}
	l.bare()
	if err := os.RemoveAll(filepath.Join(l.dir, "disks")); err != nil {
		t.Fatal(err)
	}
	l.moveTo(fresh)
	a := l.restored()
	restored := time.Now()

	both, images := []string{saved, lost}, []string{spare, tiny}
	slices.Sort(both)
	slices.Sort(images)
	r := a.Restore.Report
	if !slices.Equal(r.Missing, both) || !slices.Equal(r.NoDisk, both) || !slices.Equal(r.NoImage, images) || len(r.Running)+len(r.Started)+len(r.Stopped)+len(a.Orphans) > 0 {
		t.Errorf("report %+v, orphans %+v", r, a.Orphans)
	}
	text := l.must(l.lodged("backup", "report"))
	t.Log(text)
	for _, id := range slices.Concat(both, images) {
		if !strings.Contains(text, id) {
			t.Errorf("the report does not name %s", id)
		}
	}
	for _, id := range both {
		l.troubled("/v1/instances/"+id, "disk_missing")
		if l.instance(id)["state"] != "error" {
			t.Errorf("instance %v", l.instance(id))
		}
	}
	for _, id := range images {
		l.troubled("/v1/images/"+id, "disk_missing")
	}
	l.eventually(20*time.Second, "nothing of what is not there is counted", func() bool { return len(l.open()) == 0 })
	for _, id := range both {
		if runs := l.ledgerRuns(id); len(runs) != 1 || runs[0].end.Before(looked) || runs[0].end.After(restored) {
			t.Errorf("the runs of %s are %+v; the backup's last look was at %v", id, runs, looked)
		}
	}
	// A start wants it to run and cannot make it; nothing is made of nothing.
	was := l.heartbeat()
	l.call("POST", "/v1/instances/"+lost+"/start", nil)
	l.eventually(time.Minute, "some more sweeps", func() bool { return l.heartbeat().After(was.Add(3 * time.Second)) })
	for _, trace := range l.traces() {
		if !strings.HasPrefix(trace, "network ") { // theirs, for what may be put back
			t.Errorf("there is %s", trace)
		}
	}
	if x := l.call("POST", "/v1/instances", map[string]any{"name": "none", "vcpus": 1, "memory_mib": 128, "disk_gib": 1}); x.status != 409 || x.code() != "image_not_ready" {
		t.Errorf("an instance of an image that is not there: %d %v", x.status, x.body)
	}

	// The image is imported again, and its file becomes that of the lost one; then
	// comes the disk of one.
	put := func(from, name string) {
		t.Helper()
		if b, err := os.ReadFile(from); err != nil {
			t.Fatal(err)
		} else if err := os.WriteFile(filepath.Join(l.dir, "disks", name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l.lodge("image", "import", os.Getenv("LODGE_TINY_IMAGE"), "--name", "again")
	again, before := l.list("/v1/images?name=again")[0], l.call("GET", "/v1/images/"+tiny, nil).body
	if again["sha256"] != before["sha256"] {
		t.Errorf("the image imported again is %v, and the lost one was %v", again, before)
	}
	put(filepath.Join(l.dir, "disks", "image-"+again["id"].(string)+".qcow2"), "image-"+tiny+".qcow2")
	l.eventually(time.Minute, "the image is counted again", func() bool { return slices.Equal(l.open(), []string{"again image", "tiny image"}) })
	if p := l.call("GET", "/v1/images/"+tiny, nil).body["problem"]; p != nil {
		t.Errorf("the image that is back has the problem %v", p)
	}
	put(filepath.Join(kept, root+".qcow2"), root+".qcow2")
	l.settled(saved, "running")
	if out := l.sshWait("root", l.address(saved), "mkdir -p /m && mount -o ro /dev/vda15 /m && cat /m/marker; umount /m", 2*time.Minute); out != "kept" {
		t.Errorf("its disk has %q", out)
	}
	l.sshWait("root", l.address(l.tiny("new")), "true", 2*time.Minute)
	if runs := l.ledgerRuns(saved); len(runs) != 2 || runs[1].start.Before(restored) {
		t.Errorf("the runs of what came back are %+v", runs)
	}

	// The rest goes, and leaves nothing.
	l.gone(lost)
	l.lodge("image", "delete", "spare", "--yes")
	l.eventually(20*time.Second, "the image is gone", func() bool { return l.call("GET", "/v1/images/"+spare, nil).status == 404 })
	for _, line := range l.open() {
		if strings.HasPrefix(line, "lost ") || strings.HasPrefix(line, "spare ") {
			t.Errorf("counted: %s", line)
		}
	}
	if out := l.lodge("usage", "verify"); !strings.Contains(out, "HEAD") {
		t.Errorf("verify: %s", out)
	}
}

// rootOf is the id of an instance's root disk.
func (l *lab) rootOf(id string) (root string) {
	l.t.Helper()
	if err := l.db().QueryRow(`SELECT volume_id FROM attachment WHERE instance_id = ? AND slot = 'root'`, id).Scan(&root); err != nil {
		l.t.Fatal(err)
	}
	return root
}

// troubled waits until something has a problem with the code.
func (l *lab) troubled(path, code string) {
	l.t.Helper()
	l.eventually(time.Minute, path+" has the problem "+code, func() bool {
		p, _ := l.call("GET", path, nil).body["problem"].(map[string]any)
		return fmt.Sprint(p["code"]) == code
	})
}

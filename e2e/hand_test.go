package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestAGuestsNetworkIsMendedUnderIt(t *testing.T) {
	l := newLab(t)
	l.importTiny()
	id := l.tiny("a")
	addr := l.address(id)
	l.sshWait("root", addr, "true", time.Minute)
	name := l.virsh("net-list", "--name")

	l.virsh("net-destroy", name)
	_ = exec.Command("virsh", "net-start", name).Run() // lodge may have been faster
	l.sshWait("root", addr, "true", time.Minute)       // its NIC is back on the new bridge

	l.virsh("net-undefine", name)
	l.eventually(time.Minute, "the network comes back with the host again", func() bool {
		info := l.virsh("net-info", name)
		return strings.Contains(strings.ReplaceAll(info, " ", ""), "Persistent:yes") && strings.Contains(strings.ReplaceAll(info, " ", ""), "Autostart:yes")
	})

	pid := func() int {
		b, err := os.ReadFile("/run/libvirt/network/" + name + ".pid")
		if err != nil {
			return 0
		}
		n, _ := strconv.Atoi(strings.TrimSpace(string(b)))
		return n
	}
	old := pid()
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	l.eventually(time.Minute, "the network has a DHCP server again", func() bool { return pid() != old && syscall.Kill(pid(), 0) == nil })
}

func TestAStartTakesAStopBack(t *testing.T) {
	l := newLab(t)
	l.importTiny()
	id := l.tiny("a")
	l.sshWait("root", l.address(id), "true", time.Minute)
	l.call("POST", "/v1/instances/"+id+"/stop", nil)
	time.Sleep(100 * time.Millisecond)
	l.call("POST", "/v1/instances/"+id+"/start", nil)
	time.Sleep(8 * time.Second) // the guest obeys the button within this time
	l.settled(id, "running")
	if i := l.instance(id); i["power"] != "running" {
		t.Errorf("the last wish was a start, and it is %v", i["power"])
	}
}

func TestAGuestCanBeStoppedWhateverElseIsWrong(t *testing.T) {
	l := newLab(t)
	l.importTiny()
	id := l.tiny("a")
	files, err := filepath.Glob(filepath.Join(l.dir, "disks", "*.qcow2"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasPrefix(filepath.Base(f), "image-") {
			if err := os.Rename(f, f+".away"); err != nil {
				t.Fatal(err)
			}
			defer os.Remove(f + ".away")
		}
	}
	l.eventually(30*time.Second, "the loss is shown", func() bool { return problemCode(l.instance(id)) == "disk_missing" })
	if s := l.instance(id)["state"]; s != "running" {
		t.Errorf("a guest that runs on is %v", s)
	}
	l.call("POST", "/v1/instances/"+id+"/stop", map[string]any{"force": true})
	l.eventually(30*time.Second, "it is off", func() bool { return l.virsh("domstate", "lodge-"+id) == "shut off" })
	// A start that is asked for meanwhile makes no empty disk: it would be the guest's.
	if a := l.call("POST", "/v1/instances/"+id+"/start", nil); a.status != 202 {
		t.Fatalf("start: %d %v", a.status, a.body)
	}
	asked := time.Now()
	l.eventually(time.Minute, "it was looked at again", func() bool { return l.heartbeat().After(asked.Add(3 * time.Second)) })
	if i := l.instance(id); problemCode(i) != "disk_missing" || i["state"] == "running" {
		t.Errorf("asked to start without its disk it is %v with the problem %v", i["state"], i["problem"])
	}
	if s := l.virsh("domstate", "lodge-"+id); s != "shut off" {
		t.Errorf("the guest is %s", s)
	}
	back := 0
	for _, f := range files {
		if _, err := os.Stat(f + ".away"); err == nil {
			if err := os.Link(f+".away", f); err != nil { // it would not replace another
				t.Fatalf("something was made in the place of the disk: %v", err)
			}
			back++
		}
	}
	if back != 1 {
		t.Fatalf("%d disks were away", back)
	}
	l.settled(id, "running")
}

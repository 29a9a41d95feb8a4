package e2e

import (
	"strings"
	"testing"
	"time"
)

func TestAGuestIsStoppedStartedRebootedAndResized(t *testing.T) {
	l := newLab(t)
	l.importTiny()
	id := l.tiny("a")
	addr := l.address(id)
	l.sshWait("root", addr, "true", time.Minute)
	boot := l.sshWait("root", addr, "cat /proc/sys/kernel/random/boot_id", time.Minute)

	if a := l.call("POST", "/v1/instances/"+id+"/reboot", map[string]any{"force": true}); a.status != 202 {
		t.Fatalf("reboot: %d %v", a.status, a.body)
	}
	l.eventually(time.Minute, "another boot", func() bool {
		out, ok := l.ssh("root", addr, "cat /proc/sys/kernel/random/boot_id")
		return ok && out != boot
	})

	// A resize waits for the next start, and says so.
	if a := l.call("PATCH", "/v1/instances/"+id, map[string]any{"vcpus": 2, "memory_mib": 192, "labels": map[string]any{"tier": "web"}}); a.status != 200 {
		t.Fatalf("patch: %d %v", a.status, a.body)
	}
	l.settled(id, "running")
	if i := l.instance(id); i["pending"] != true || number(i["vcpus"]) != 2 || i["labels"].(map[string]any)["tier"] != "web" {
		t.Errorf("resized: %v", i)
	}
	if out, _ := l.ssh("root", addr, "nproc"); out != "1" {
		t.Errorf("the running guest has %s vCPUs", out)
	}

	l.call("POST", "/v1/instances/"+id+"/stop", nil)
	l.settled(id, "stopped")
	if got := l.virsh("domstate", "lodge-"+id); got != "shut off" {
		t.Errorf("virsh says %s", got)
	}
	l.call("POST", "/v1/instances/"+id+"/start", nil)
	l.settled(id, "running")
	if i := l.instance(id); i["pending"] == true {
		t.Errorf("still pending after a start: %v", i)
	}
	if out := l.sshWait("root", addr, "nproc", time.Minute); out != "2" {
		t.Errorf("after the start the guest has %s vCPUs", out)
	}
	l.gone(id)
}

func TestDriftIsRepairedAndWhatTheGuestWantsIsKept(t *testing.T) {
	l := newLab(t)
	l.importTiny()
	id := l.tiny("a")
	l.sshWait("root", l.address(id), "true", time.Minute)

	l.virsh("destroy", "lodge-"+id)
	l.eventually(time.Minute, "a guest destroyed by hand runs again", func() bool {
		return l.virsh("domstate", "lodge-"+id) == "running"
	})
	l.settled(id, "running")

	l.virsh("destroy", "lodge-"+id)
	l.virsh("undefine", "lodge-"+id)
	l.eventually(time.Minute, "a guest undefined by hand runs again", func() bool {
		return strings.Contains(l.virsh("list", "--name"), id)
	})
	l.settled(id, "running")

	l.virsh("suspend", "lodge-"+id)
	l.eventually(time.Minute, "a guest suspended by hand runs again", func() bool {
		return l.virsh("domstate", "lodge-"+id) == "running"
	})
	l.settled(id, "running")

	// Powered off from inside: that is the guest's wish, and it stays off.
	// The answer is let go: the guest may be off before SSH tells how the command ended.
	l.sshWait("root", l.address(id), "true", time.Minute)
	l.ssh("root", l.address(id), "poweroff")
	l.settled(id, "stopped")
	if i := l.instance(id); i["power"] != "stopped" {
		t.Errorf("power: %v", i["power"])
	}
	time.Sleep(6 * time.Second) // longer than a sweep
	if got := l.virsh("domstate", "lodge-"+id); got != "shut off" {
		t.Errorf("a guest that powered itself off is %s", got)
	}

	// A domain that is not lodge's is never touched.
	foreign := "<domain type='qemu'><name>theirs</name><memory unit='MiB'>64</memory><os><type arch='x86_64' machine='q35'>hvm</type></os></domain>"
	l.define(foreign)
	defer l.virsh("undefine", "theirs")
	l.virsh("start", "--paused", "theirs")
	time.Sleep(6 * time.Second)
	if got := l.virsh("domstate", "theirs"); got != "paused" {
		t.Errorf("a foreign domain is %s", got)
	}
	l.virsh("destroy", "theirs")
}

func TestTwoTenantsHaveNetworksOfTheirOwn(t *testing.T) {
	l := newLab(t)
	l.importTiny()
	l.lodge("tenant", "create", "acme")
	one, other := l.tiny("web1"), l.tiny("web1", map[string]any{"tenant": "acme"})
	if a, b := l.address(one), l.address(other); a[:strings.LastIndex(a, ".")] == b[:strings.LastIndex(b, ".")] {
		t.Errorf("both tenants are in one network: %s and %s", a, b)
	}
	if n := len(l.list("/v1/instances?tenant=acme")); n != 1 {
		t.Errorf("acme has %d instances", n)
	}
	l.sshWait("root", l.address(other), "true", time.Minute)
	l.gone(one)
	l.gone(other)
	l.eventually(30*time.Second, "nothing is left, networks included", func() bool { return len(l.traces()) == 0 })
	if a := l.call("DELETE", "/v1/tenants/"+l.tenant("acme"), nil); a.status >= 300 {
		t.Errorf("delete a tenant: %d %v", a.status, a.body)
	}
}

// tenant is the id of a tenant by its name.
func (l *lab) tenant(name string) string {
	l.t.Helper()
	items := l.list("/v1/tenants?name=" + name)
	if len(items) != 1 {
		l.t.Fatalf("%d tenants are called %s", len(items), name)
	}
	return items[0]["id"].(string)
}

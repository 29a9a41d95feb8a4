package e2e

import (
	"strings"
	"testing"
	"time"
)

// A tenant that was made since the backup is unknown behind the restore, with its
// network. The next tenant gets another range; and when the operator has removed
// what the runbook says, the network goes, and its range is free.
func TestTheNetworkOfATenantMadeSinceTheBackupGoes(t *testing.T) {
	l := newLab(t, "--backup-to", scratch(t), "--sweep", "1s")
	l.importTiny()
	l.must(l.lodged("backup", "create"))
	lateID := l.tinyOf("late", "vm")
	late := l.address(lateID)
	subnet := late[:strings.LastIndex(late, ".")+1]
	l.kill()
	l.must(l.lodged("backup", "restore", "latest", "--replace"))
	l.start()
	l.eventually(time.Minute, "the host was compared", func() bool { return l.aftermath().Restore.AdoptedAt != nil })

	fresh := l.tinyOf("newt", "vm")
	if got := l.address(fresh); strings.HasPrefix(got, subnet) {
		t.Errorf("the new tenant's guest has %s, in the range of the unknown network of %s", got, late)
	}
	l.sshWait("root", late, "true", time.Minute)
	a := l.aftermath()
	network := ""
	for _, o := range a.Orphans {
		if o.Kind == "network" {
			network = o.ID
		}
	}
	if network == "" || !strings.Contains(l.virsh("net-list"), network) {
		t.Fatalf("orphans %+v", a.Orphans)
	}
	l.removeOrphans(a)
	if nets := l.virsh("net-list", "--all"); strings.Contains(nets, network) {
		t.Errorf("the network stayed:\n%s", nets)
	}
	if got := l.address(l.tinyOf("third", "vm")); !strings.HasPrefix(got, subnet) {
		t.Errorf("the range is free, and the next tenant's guest has %s", got)
	}
}

// tinyOf makes a tenant with a small guest, and waits until that runs.
func (l *lab) tinyOf(tenant, name string) (id string) {
	l.t.Helper()
	if a := l.call("POST", "/v1/tenants", map[string]any{"name": tenant}); a.status != 201 {
		l.t.Fatalf("tenant %s: %d %v", tenant, a.status, a.body)
	}
	a := l.call("POST", "/v1/instances?tenant="+tenant, map[string]any{"name": name, "vcpus": 1, "memory_mib": 128, "disk_gib": 1, "ssh_keys": []string{l.pub()}})
	if a.status != 202 {
		l.t.Fatalf("create: %d %v", a.status, a.body)
	}
	id = a.body["id"].(string)
	l.settled(id, "running")
	return id
}

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// runbook is the block of commands below a sentence of docs/operations.md.
func runbook(t *testing.T, sentence string) string {
	t.Helper()
	b, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(b), sentence)
	parts := strings.SplitN(rest, "```", 3)
	if !found || len(parts) < 3 {
		t.Fatalf("the runbook has no commands below %q", sentence)
	}
	return strings.TrimSpace(parts[1])
}

// follow runs a runbook's commands as an operator would, with words put into the
// place of others.
func (l *lab) follow(commands string, words ...string) {
	l.t.Helper()
	programs, err := filepath.Abs(bin(""))
	if err != nil {
		l.t.Fatal(err)
	}
	cmd := exec.Command("bash", "-exc", strings.NewReplacer(words...).Replace(commands))
	cmd.Env = append(os.Environ(), "PATH="+programs+":"+os.Getenv("PATH"), "LODGE_SOCKET="+l.socket)
	if out, err := cmd.CombinedOutput(); err != nil {
		l.t.Fatalf("the runbook: %v\n%s", err, out)
	}
}

// A guest that was made after the backup is nobody's behind the restore. Its owner
// gets what is on its disk by the words of the runbook, and what is left of it goes
// by them, too.
func TestTheDataOfAnUnknownGuestIsGivenBack(t *testing.T) {
	l := newLab(t, "--backup-to", scratch(t))
	l.importTiny()
	l.must(l.lodged("backup", "create"))
	late := l.tiny("late")
	volume := l.rootOf(late)
	l.sshWait("root", l.address(late), "mkdir -p /m && mount /dev/vda15 /m && echo of-late > /m/marker && umount /m && sync", 2*time.Minute)
	l.kill()
	l.must(l.lodged("backup", "restore", "latest", "--replace"))
	l.start()
	l.eventually(time.Minute, "the host was compared", func() bool { return l.aftermath().Restore.AdoptedAt != nil })
	if out := l.virsh("domblklist", late); !strings.Contains(out, "/"+volume+".qcow2") {
		t.Errorf("the guest's disks are\n%s", out)
	}

	l.follow(runbook(t, "**Give an unknown guest's data back.**"), "KEY.pub", l.key+".pub", "DATA_DIR", l.dir, "VOLUME", volume, "TENANT", "default",
		"/var/tmp/rescued", filepath.Join(l.dir, "rescued"), "1 vCPU, 1GB", "1 vCPU, 128MB", "ID", late)
	found := l.list("/v1/instances?name=rescued")
	if len(found) != 1 {
		t.Fatalf("instances %v", found)
	}
	rescued := found[0]["id"].(string)
	l.settled(rescued, "running")
	if out := l.sshWait("root", l.address(rescued), "mkdir -p /m && mount -o ro /dev/vda15 /m && cat /m/marker; umount /m", 2*time.Minute); out != "of-late" {
		t.Errorf("its disk has %q", out)
	}
	if len(l.ledgerRuns(late)) != 0 || len(l.ledgerRuns(rescued)) != 1 {
		t.Errorf("the unknown guest has the runs %v, the new one %v", l.ledgerRuns(late), l.ledgerRuns(rescued))
	}
	l.removeOrphans(l.aftermath())
}

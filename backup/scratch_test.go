package backup_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"lodge/backup"
)

// What a killed process has left of its work is removed at once, and what somebody
// works in is not.
func TestTheWorkOfAKilledProcessIsSwept(t *testing.T) {
	const in = "LODGE_TEST_SCRATCH"
	if dir := os.Getenv(in); dir != "" {
		if _, _, err := backup.Scratch(dir); err != nil {
			os.Exit(3)
		}
		self, _ := os.FindProcess(os.Getpid())
		_ = self.Kill()
		select {}
	}
	dir := t.TempDir()
	mine, done, err := backup.Scratch(dir)
	if err != nil {
		t.Fatal(err)
	}
	kill := func() {
		t.Helper()
		killed := exec.Command(os.Args[0], "-test.run=^TestTheWorkOfAKilledProcessIsSwept$")
		killed.Env = append(os.Environ(), in+"="+dir)
		if err := killed.Run(); err == nil || killed.ProcessState.ExitCode() != -1 {
			t.Fatalf("it was not killed: %v", err)
		}
	}
	kill()
	other := filepath.Join(dir, "disks")
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	folders := func() int {
		all, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	if n := folders(); n != 3 {
		t.Fatalf("%d folders before", n)
	}
	if err := backup.Sweep(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(mine); err != nil || folders() != 2 {
		t.Errorf("%d folders are left, mine: %v", folders(), err)
	}
	// Whoever works there himself sweeps too.
	kill()
	_, second, err := backup.Scratch(dir)
	if err != nil || folders() != 3 {
		t.Errorf("%d folders with two at work, %v", folders(), err)
	}
	if err := second(); err != nil {
		t.Error(err)
	}
	if err := done(); err != nil || folders() != 1 {
		t.Errorf("%d folders at the end, %v", folders(), err)
	}
}

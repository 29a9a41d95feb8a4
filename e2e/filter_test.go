package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
)

// filterFile names the file of the system calls that are left to what this
// program becomes, where it is not run as a test.
const filterFile = "LODGE_E2E_SYSTEM_CALLS"

// systemd's filter in its absence: become another program that has no other calls.
func init() {
	path := os.Getenv(filterFile)
	if path == "" {
		return
	}
	fmt.Fprintln(os.Stderr, filtered(path, os.Args[1:]))
	os.Exit(1)
}

// filtered returns only when it fails.
func filtered(path string, command []string) error {
	names, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	info, err := arch.GetInfo("")
	if err != nil {
		return err
	}
	left := seccomp.SyscallGroup{Action: seccomp.ActionAllow}
	for _, name := range strings.Fields(string(names)) {
		if _, known := info.SyscallNames[name]; known { // others are of other architectures
			left.Names = append(left.Names, name)
		}
	}
	runtime.LockOSThread() // the filter is the thread's, and the program's that this becomes
	err = seccomp.LoadFilter(seccomp.Filter{Policy: seccomp.Policy{DefaultAction: seccomp.ActionErrno, Syscalls: []seccomp.SyscallGroup{left}}})
	if err != nil {
		return err
	}
	if err := os.Unsetenv(filterFile); err != nil {
		return err
	}
	return syscall.Exec(command[0], command, os.Environ())
}

// underTheFilter returns what a command has to begin with to have no other system calls
// than the unit leaves to lodged; nil where there is no systemd that knows its sets.
func underTheFilter(t *testing.T, dir string) []string {
	t.Helper()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("lodged has all system calls here: there is no systemd-analyze that says what the unit leaves it")
		return nil
	}
	unit, err := os.ReadFile("../scripts/lib/lodged.service")
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{}
	var change func(name string, allow bool)
	change = func(name string, allow bool) {
		if !strings.HasPrefix(name, "@") {
			if delete(left, name); allow {
				left[name] = true
			}
			return
		}
		out, err := exec.Command(analyze, "syscall-filter", "--no-pager", name).Output()
		if err != nil {
			t.Fatalf("systemd-analyze syscall-filter %s: %v", name, err)
		}
		for line := range strings.Lines(string(out)) {
			// The set's own name is not indented.
			if line = strings.TrimRight(line, "\n"); strings.HasPrefix(line, " ") && !strings.HasPrefix(strings.TrimSpace(line), "#") {
				change(strings.TrimSpace(line), allow)
			}
		}
	}
	change("@default", true) // systemd adds it to whatever is allowed
	for line := range strings.Lines(string(unit)) {
		sets, ok := strings.CutPrefix(strings.TrimSpace(line), "SystemCallFilter=")
		if !ok {
			continue
		}
		sets, forbid := strings.CutPrefix(sets, "~")
		for _, name := range strings.Fields(sets) {
			change(name, !forbid)
		}
	}
	if len(left) < 100 || left["mount"] || left["capset"] || !left["read"] || !left["execve"] {
		t.Fatalf("the unit leaves lodged %d system calls: %v", len(left), left)
	}
	var names strings.Builder
	for name := range left {
		fmt.Fprintln(&names, name)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	list, door := filepath.Join(dir, "system-calls"), filepath.Join(dir, "e2e")
	if err := os.WriteFile(list, []byte(names.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(door, program, 0o755); err != nil {
		t.Fatal(err)
	}
	return []string{"env", filterFile + "=" + list, door}
}

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// systemd takes the unit as it is, and finds it well shut: 2.5 of 10 by the systemd of Debian 12.
func TestTheServiceIsSandboxed(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("needs systemd-analyze, of the package systemd; a host without systemd has no unit either")
	}
	b, err := os.ReadFile("../scripts/lib/lodged.service")
	if err != nil {
		t.Fatal(err)
	}
	// verify looks whether the program is there.
	unit := filepath.Join(t.TempDir(), "lodged.service")
	text := strings.ReplaceAll(string(b), "/usr/local/bin/lodged", "/bin/true")
	if err := os.WriteFile(unit, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("verify: %v\n%s", err, out)
	}
	out, err := exec.Command(analyze, "security", "--no-pager", "--offline=true", "--threshold=30", unit).CombinedOutput()
	if err != nil {
		if strings.Contains(string(out), "unrecognized option") {
			t.Skipf("this systemd-analyze cannot look at a file (systemd 250 and later can): %s", out)
		}
		t.Errorf("security: %v\n%s", err, out)
	}
	caps := func(key string) string {
		m := regexp.MustCompile(`(?m)^` + key + `=(.*)$`).FindStringSubmatch(string(b))
		if m == nil {
			t.Fatalf("no %s", key)
		}
		return m[1]
	}
	if caps("AmbientCapabilities") != caps("CapabilityBoundingSet") {
		t.Error("the service may get capabilities that it does not have")
	}
}

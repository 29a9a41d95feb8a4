package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lodge/backup"
	"lodge/cloud"
)

// What verify refuses is not restored: the manifest speaks of another database.
func TestARestoreBelievesNoManifest(t *testing.T) {
	cfg, p, m := restoreFixture(t)
	for name, change := range map[string]func(*backup.Manifest){
		"schema":    func(m *backup.Manifest) { m.Schema++ },
		"links":     func(m *backup.Manifest) { m.Links++ },
		"head":      func(m *backup.Manifest) { m.Head = strings.Repeat("1", 64) },
		"instances": func(m *backup.Manifest) { m.Instances++ },
	} {
		other := m
		change(&other)
		wrong, _, err := backup.Verify(context.Background(), p, other, nil, t.TempDir(), JudgeDatabase)
		if err != nil || len(wrong) != 1 {
			t.Fatalf("%s: verify says %v, %v", name, wrong, err)
		}
		_, err = Restore(context.Background(), cfg, Origin{Place: p, Manifest: other}, false)
		if err == nil || !strings.Contains(err.Error(), "nothing was changed: "+wrong[0]) || there(cfg.path("lodge.db")) {
			t.Errorf("%s: restored, or not for that: %v", name, err)
		}
	}
}

// However full the disk is: it is to blame, and nothing is changed.
func TestARestoreOnAFullDiskSaysSo(t *testing.T) {
	cfg, p, m := restoreFixture(t)
	cfg.DataDir = t.TempDir()
	if err := unix.Mount("lodge-test", cfg.DataDir, "tmpfs", 0, "size=128k"); errors.Is(err, unix.EPERM) {
		t.Skip("a disk that becomes full is mounted, which takes root")
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(cfg.DataDir, unix.MNT_DETACH) })
	for size := 128; ; size += 4 { // a page
		if err := unix.Mount("lodge-test", cfg.DataDir, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%dk", size)); err != nil {
			t.Fatal(err)
		}
		if wrong, _, err := backup.Verify(context.Background(), p, m, nil, cfg.DataDir, JudgeDatabase); len(wrong) > 0 || err != nil && cloud.CodeOf(err) != cloud.CodeDiskFull {
			t.Fatalf("with %d KiB verify says %v, %v", size, wrong, err)
		}
		_, err := Restore(context.Background(), cfg, Origin{Place: p, Manifest: m}, false)
		if err == nil {
			if size < 512 {
				t.Errorf("it fits %d KiB: nothing was tried", size)
			}
			break
		}
		if cloud.CodeOf(err) != cloud.CodeDiskFull || strings.Contains(err.Error(), "not whole") || strings.Contains(err.Error(), ".backup-work") ||
			strings.Count(err.Error(), "The disk of "+cfg.DataDir+" is full") != 1 || size > 16<<10 {
			t.Fatalf("with %d KiB: %v", size, err)
		}
		if there(cfg.path("lodge.db")) || there(cfg.path("host-id")) || there(cfg.path(restoring)) {
			t.Fatalf("with %d KiB something was changed", size)
		}
	}
}

// A backup by a clock that was ahead of this machine's has no age, and none below 0.
func TestABackupOfATimeToComeHasNoAge(t *testing.T) {
	cfg, p, m := restoreFixture(t)
	cfg.Now = func() time.Time { return m.TakenAt.Add(-time.Hour) }
	if r, err := Restore(context.Background(), cfg, Origin{Place: p, Manifest: m}, false); err != nil || r.Age != "" {
		t.Errorf("it is %q old, %v", r.Age, err)
	}
	cfg.Now = func() time.Time { return m.TakenAt.Add(time.Hour) }
	if r, err := Restore(context.Background(), cfg, Origin{Place: p, Manifest: m}, true); err != nil || r.Age != "1h0m0s" {
		t.Errorf("it is %q old, %v", r.Age, err)
	}
}

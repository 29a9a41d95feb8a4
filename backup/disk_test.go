package backup_test

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lodge/backup"
	"lodge/cloud"
)

// small is a disk of 1 MiB.
func small(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	err := unix.Mount("lodge-test", dir, "tmpfs", 0, "size=1m")
	if errors.Is(err, unix.EPERM) {
		t.Skip("a disk that becomes full is mounted, which takes root")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// A full disk is not a broken backup: who believed that would delete a good one.
func TestAFullDiskIsNoBrokenBackup(t *testing.T) {
	full := small(t)
	blames := func(what string, err error) {
		t.Helper()
		if cloud.CodeOf(err) != cloud.CodeDiskFull || !strings.Contains(err.Error(), "The disk of "+full) || strings.Contains(err.Error(), ".backup-work") {
			t.Errorf("%s: %v", what, err)
		}
		if left, _ := os.ReadDir(full); len(left) > 0 {
			t.Errorf("%s: left %v", what, left)
		}
	}
	p, s := place(t, t.TempDir()), source(t)
	big := filepath.Join(t.TempDir(), "big")
	b := make([]byte, 4<<20)
	_, _ = rand.Read(b)
	if err := os.WriteFile(big, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Extra = []backup.Input{{Name: "big", Path: big}}
	m, err := backup.Make(ctx, p, s)
	if err != nil {
		t.Fatal(err)
	}
	wrong, _, err := backup.Verify(ctx, p, m, nil, full, judge)
	if len(wrong) > 0 {
		t.Errorf("the backup is said to be wrong: %v", wrong)
	}
	blames("verify", err)
	_, err = backup.Make(ctx, place(t, full), s)
	blames("a place", err)
}

package daemon

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lodge/cloud"
	"lodge/store"
)

// The report reads a copy, and a disk without room for that is named.
func TestAReportOnAFullDiskSaysSo(t *testing.T) {
	cfg := Config{DataDir: t.TempDir(), Now: time.Now, Log: discard()}
	if err := unix.Mount("lodge-test", cfg.DataDir, "tmpfs", 0, "size=8m"); errors.Is(err, unix.EPERM) {
		t.Skip("a disk that becomes full is mounted, which takes root")
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(cfg.DataDir, unix.MNT_DETACH) })
	db, err := store.Open(cfg.database())
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadAftermath(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	full := cfg.path("full")
	if err := os.WriteFile(full, make([]byte, 16<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	// Some of the copy has room, or its side files have not.
	for _, room := range []int64{0, 64 << 10, 256 << 10, 640 << 10} {
		info, err := os.Stat(full)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(full, info.Size()-room); err != nil {
			t.Fatal(err)
		}
		_, err = ReadAftermath(context.Background(), cfg)
		if err == nil {
			t.Logf("with %d more bytes it can be read", room)
			break
		}
		if text := Plain(err); cloud.CodeOf(err) != cloud.CodeDiskFull || !strings.HasPrefix(text, "The disk of "+cfg.DataDir+" is full") || strings.Count(text, "database or disk is full") > 1 {
			t.Errorf("with %d more bytes: %v, %s", room, err, text)
		}
	}
}

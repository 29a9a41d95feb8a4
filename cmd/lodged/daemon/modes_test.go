package daemon

import (
	"context"
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"

	"lodge/backup"
)

// openTo walks a folder and names what others may do more than most allows.
func openTo(t *testing.T, dir string, most map[string]fs.FileMode) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		n++
		rel, _ := filepath.Rel(dir, path)
		if left := info.Mode().Perm() &^ (0o700 | most[rel]); left != 0 {
			t.Errorf("%s has mode %04o", rel, info.Mode().Perm())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Nothing rests on the umask of whoever starts lodged: not the database with its log,
// the keys, what a backup or a restore makes.
func TestFilesArePrivateWhateverTheUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	dir, ctx := t.TempDir(), context.Background()
	s := start(t, dir, nil)
	if _, err := stateKey(s.cfg.path("oidc.key")); err != nil {
		t.Fatal(err)
	}
	open := map[string]fs.FileMode{"host-id": 0o044, "s": 0o060, "console": 0o011, "disks": 0o011, "tls/ca.crt": 0o044}
	if n := openTo(t, dir, open); n < 8 {
		t.Errorf("only %d files were looked at", n)
	}
	s.stop()

	cfg, p, m := restoreFixture(t)
	if _, err := Restore(ctx, cfg, Origin{Place: p, Manifest: m}, false); err != nil {
		t.Fatal(err)
	}
	src, err := cfg.BackupSource()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Make(ctx, p, src); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(ctx, cfg, Origin{Place: p, Manifest: m}, true); err != nil {
		t.Fatal(err)
	}
	openTo(t, cfg.DataDir, open)
	openTo(t, cfg.Backups.To, nil)
}

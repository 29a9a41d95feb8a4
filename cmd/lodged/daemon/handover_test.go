package daemon

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Root restores, and the lodged that is not root owns what was restored.
func TestARestoreBelongsToTheOwnerOfTheDataDir(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, who restores")
	}
	const lodge = 64001
	cfg, p, m := restoreFixture(t)
	if err := os.Mkdir(cfg.DataDir, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(cfg.DataDir, lodge, lodge); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(context.Background(), cfg, Origin{Place: p, Manifest: m}, false); err != nil {
		t.Fatal(err)
	}
	n := 0
	err := filepath.WalkDir(cfg.DataDir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		n++
		if st := info.Sys().(*syscall.Stat_t); st.Uid != lodge || st.Gid != lodge {
			t.Errorf("%s belongs to %d:%d", path, st.Uid, st.Gid)
		}
		return nil
	})
	if err != nil || n != 6 { // the folder, host-id, tls, its key, the database, the lock
		t.Errorf("%d files, %v", n, err)
	}
}

// Nothing outside of the data dir changes hands.
func TestWhatIsHandedOverIsInTheDataDir(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, who restores")
	}
	outside := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Config{DataDir: t.TempDir()}
	if err := os.Symlink(filepath.Dir(outside), cfg.path("tls")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(cfg.DataDir, 64001, 64001); err != nil {
		t.Fatal(err)
	}
	if err := handOver(cfg, []string{"tls/key"}); err == nil {
		t.Error("it followed a link")
	}
	info, err := os.Stat(outside)
	if err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("%v, %v", info, err)
	}
}

// Root runs no lodged on the service's database: what it made there and in libvirt's
// folder of fixed leases could not be replaced by the service. Nothing is made before.
func TestRootRunsNoLodgedOnADatabaseOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, who is refused")
	}
	cfg := Config{DataDir: t.TempDir(), Now: time.Now, Log: discard()}
	if err := refuseRoot(cfg); err != nil {
		t.Errorf("without a database: %v", err)
	}
	if err := os.WriteFile(cfg.path("lodge.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := refuseRoot(cfg); err != nil {
		t.Errorf("on root's database: %v", err)
	}
	if err := os.Chown(cfg.path("lodge.db"), 64001, 64001); err != nil {
		t.Fatal(err)
	}
	d, err := Open(cfg)
	if err == nil {
		t.Fatal(d.Close(), "it runs")
	}
	for _, want := range []string{"the user with the id 64001", "systemctl start lodged", "as-lodge", "trust-clock"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	if all, err := os.ReadDir(cfg.DataDir); err != nil || len(all) != 1 {
		t.Errorf("in the data dir are %v, %v", all, err)
	}
}

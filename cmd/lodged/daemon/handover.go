package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// refuseRoot keeps root from running a lodged whose database is another user's,
// the service's. What root's lodged writes, in the data dir and in libvirt's folder
// of fixed leases, is root's, and that user's lodged could not replace it.
func refuseRoot(cfg Config) error {
	info, err := os.Stat(cfg.path("lodge.db"))
	if os.Geteuid() != 0 || cfg.Sim || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	if owner == 0 {
		return nil
	}
	name := fmt.Sprintf("the user with the id %d", owner)
	if u, err := user.LookupId(strconv.Itoa(int(owner))); err == nil {
		name = "the user " + u.Username
	}
	return fmt.Errorf("lodge.db in %s belongs to %s, whose lodged could not change what root's makes; start lodged as that user: systemctl start lodged, or scripts/lib/as-lodge lodged. "+
		"For a flag of one start see trust-clock in docs/operations.md; to go on as root, chown -R root: %s", cfg.DataDir, name, cfg.DataDir)
}

// handOver gives what a restore has put into the data dir, and the lock, to whom
// the data dir belongs. Restores are made by root, lodged is not root, and could
// not write its own database. Names are of files below the data dir, with slashes.
// It follows no link out of it.
func handOver(cfg Config, names []string) (err error) {
	info, err := os.Stat(cfg.DataDir)
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	if os.Geteuid() != 0 || owner.Uid == 0 {
		return nil
	}
	dir, err := os.OpenRoot(cfg.DataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	for _, name := range append(names, "lodged.lock") {
		for name = filepath.FromSlash(name); name != "."; name = filepath.Dir(name) {
			if err := dir.Lchown(name, int(owner.Uid), int(owner.Gid)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("give %s to the owner of the data dir: %w", name, err)
			}
		}
	}
	return nil
}

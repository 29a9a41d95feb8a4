package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

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

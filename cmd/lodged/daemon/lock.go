package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// dirLock is the data dir taken for one process.
type dirLock struct{ dir, file *os.File }

// Close lets go of it.
func (l *dirLock) Close() error { return errors.Join(l.file.Close(), l.dir.Close()) }

// lockDir takes the data dir for this process. The kernel lets go of the lock
// when the process ends, however it ends.
//
// lodged.lock says who the holder is. It can be removed by hand, and then another
// one is made and is free; so the directory itself is locked, too: it stays as long
// as the database is in it.
func lockDir(dir string) (_ *dirLock, err error) {
	l := &dirLock{}
	path := filepath.Join(dir, "lodged.lock")
	if l.dir, err = os.Open(dir); err != nil {
		return nil, fmt.Errorf("lock the data dir: %w", err)
	}
	if l.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("lock the data dir: %w", err), l.dir.Close())
	}
	if err := l.take(path); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *dirLock) take(path string) error {
	for _, f := range []*os.File{l.dir, l.file} {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("another lodged%s is running on this data dir; stop it first, or give this one a --data-dir of its own", holder(path))
		}
		if err != nil {
			return fmt.Errorf("lock the data dir: %w", err)
		}
	}
	if err := l.file.Truncate(0); err != nil {
		return fmt.Errorf("lock the data dir: %w", err)
	}
	if _, err := fmt.Fprintf(l.file, "%d\n", os.Getpid()); err != nil {
		return fmt.Errorf("lock the data dir: %w", err)
	}
	return nil
}

func holder(path string) string {
	b, err := os.ReadFile(path)
	if pid := strings.TrimSpace(string(b)); err == nil && pid != "" {
		return " (pid " + pid + ")"
	}
	return ""
}

package backup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// scratch is what the names of the folders for work begin with.
const scratch = ".backup-work-"

// Scratch makes a folder of one's own for what is worked on, below dir; done removes
// it. It is locked until then, and the kernel lets go of it when the process ends,
// however it ends: so Sweep knows what nobody works in any more. It sweeps before,
// for what root has left the service cannot remove.
func Scratch(dir string) (path string, done func() error, err error) {
	_ = Sweep(dir) // what stays takes room and harms nothing
	for {
		if path, err = os.MkdirTemp(dir, scratch); err != nil {
			return "", nil, err
		}
		f, err := lockScratch(path, unix.LOCK_EX)
		if errors.Is(err, os.ErrNotExist) {
			continue // a sweep came in between
		}
		if err != nil {
			return "", nil, errors.Join(err, os.RemoveAll(path))
		}
		if is(f, path) {
			return path, func() error { return errors.Join(os.RemoveAll(path), f.Close()) }, nil
		}
		f.Close()
	}
}

// Sweep removes the folders below dir whose processes are gone.
func Sweep(dir string) error {
	all, err := os.ReadDir(dir)
	for _, e := range all {
		if !strings.HasPrefix(e.Name(), scratch) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		f, locked := lockScratch(path, unix.LOCK_EX|unix.LOCK_NB)
		if locked != nil {
			continue // somebody works in it, or has removed it
		}
		err = errors.Join(err, os.RemoveAll(path), f.Close())
	}
	return err
}

func lockScratch(path string, how int) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), how)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(&os.PathError{Op: "lock", Path: path, Err: err}, f.Close())
		}
	}
}

// is reports whether path is still the folder that is open.
func is(f *os.File, path string) bool {
	one, err := f.Stat()
	two, gone := os.Stat(path)
	return err == nil && gone == nil && os.SameFile(one, two)
}

//lint:file-ignore ST1005 Why lodged does not start is a sentence for whoever starts it.

package daemon

import (
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"lodge/store"
)

// startRoom is what a start needs on the disk, in bytes: less is a full one.
const startRoom = 1 << 20

// explained says what is wrong with the database or the file system when that is why
// lodged does not start: the error alone names some file, or what SQLite makes of it. Once
// the directory is this lodged's, the state of its file system is reason enough.
func explained(dir string, err error, ours bool) error {
	err = store.Refusal(filepath.Join(dir, "lodge.db"), err)
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return err
	}
	switch {
	case errors.Is(err, unix.EROFS) || ours && st.Flags&unix.ST_RDONLY != 0:
		return fmt.Errorf("The file system of %s is read-only; look for its errors in the kernel's log, mount it to be written, and start lodged again. Guests run on: %w", dir, err)
	case errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || ours && int64(st.Bavail)*st.Bsize < startRoom:
		return fmt.Errorf("The disk of %s is full; free some space and start lodged again. Guests run on: %w", dir, err)
	}
	return err
}

package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Group is the group whose members may use the operator's socket.
const Group = "lodge"

// listen opens the operator's unix socket for root and the group. A socket that
// a killed daemon left behind is replaced: the lock on the data dir has shown
// that its owner is gone, and a socket that still answers belongs to another
// daemon and is left alone.
func listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the socket's folder: %w", err)
	}
	if info, err := os.Lstat(path); err == nil {
		if info.Mode()&fs.ModeSocket == 0 {
			return nil, fmt.Errorf("%s exists and is not a socket; remove it or choose another --socket", path)
		}
		if c, err := net.Dial("unix", path); err == nil {
			c.Close()
			return nil, fmt.Errorf("another daemon answers on %s; choose another --socket", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("remove the old socket: %w", err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look at the socket: %w", err)
	}
	// Who connects before share has set the mode is served all the same.
	old := unix.Umask(0o117)
	l, err := net.Listen("unix", path)
	unix.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("open the socket: %w", err)
	}
	if err := share(path); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// share lets the group in where the machine has it.
func share(path string) error {
	if g, err := user.LookupGroup(Group); err == nil && os.Geteuid() == 0 {
		gid, err := strconv.Atoi(g.Gid)
		if err != nil {
			return fmt.Errorf("group %s: %w", Group, err)
		}
		if err := os.Chown(path, 0, gid); err != nil {
			return fmt.Errorf("give the socket to group %s: %w", Group, err)
		}
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return fmt.Errorf("set the socket's mode: %w", err)
	}
	return nil
}

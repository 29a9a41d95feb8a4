package storage

import (
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// bare runs a command without the capabilities that the service hands down to what
// it starts, and without a way to get others. setpriv(1) sets all capabilities
// anew whatever it is asked for, and the unit's filter of system calls has no
// capset(2); these two calls change what is handed down and nothing else.
func bare(cmd *exec.Cmd) error {
	ended := make(chan error)
	go func() {
		// What is set here is the thread's. It is never unlocked, so it ends with this and
		// nobody else runs on it; nor does it end before the command, which
		// Pdeathsig would kill then.
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The first thread never ends, and its state is taken for the process's. While
			// it is held the next one is another.
			defer runtime.UnlockOSThread()
			ended <- bare(cmd)
			return
		}
		err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
		if err == nil {
			err = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		}
		if err == nil {
			err = cmd.Run()
		}
		ended <- err
	}()
	return <-ended
}

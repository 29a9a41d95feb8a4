package network

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
	"libvirt.org/go/libvirt"
)

// orphanPatience is how long a dnsmasq may take to end; it needs some 10 ms.
const orphanPatience = 2 * time.Second

// endOrphans ends the dnsmasqs of a network that is stopped. libvirt loses sight
// of them when it is restarted after the bridge went, and no start of the
// network succeeds while they have its address.
//
// libvirt starts a dnsmasq under the network's lock, which asking for its state
// waits for: who was there before libvirt said "stopped" belongs to no start
// that is under way.
func (h *Host) endOrphans(n *libvirt.Network) error {
	name, err := n.GetName()
	if err != nil {
		return err
	}
	orphans := servers(filepath.Join(h.o.LeaseDir, name+".conf"))
	defer func() {
		for _, fd := range orphans {
			_ = unix.Close(fd)
		}
	}()
	if len(orphans) == 0 {
		return nil
	}
	active, err := n.IsActive()
	if err != nil || active {
		return err
	}
	var errs []error
	for _, fd := range orphans {
		errs = append(errs, end(fd))
	}
	return errors.Join(errs...)
}

// servers are handles of the dnsmasqs that run with exactly this conf file, in
// this network namespace: another's is another host's. The caller closes them.
func servers(conf string) (handles []int) {
	all, err := filepath.Glob("/proc/[1-9]*")
	if err != nil {
		return nil
	}
	for _, dir := range all {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || !runsWith(dir, conf) {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // it ended meanwhile
		}
		// The handle is of whoever has the pid now.
		if !runsWith(dir, conf) {
			_ = unix.Close(fd)
			continue
		}
		handles = append(handles, fd)
	}
	return handles
}

func runsWith(dir, conf string) bool {
	cmd, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil {
		return false
	}
	args := bytes.Split(bytes.TrimRight(cmd, "\x00"), []byte{0})
	if len(args) < 2 || filepath.Base(string(args[0])) != "dnsmasq" || string(args[1]) != "--conf-file="+conf {
		return false
	}
	theirs, err := os.Readlink(filepath.Join(dir, "ns/net"))
	if errors.Is(err, fs.ErrPermission) {
		// Only root, or who may trace others, sees another user's namespace. The conf
		// file is named after the network's UUID, which no other host of this machine has.
		return true
	}
	if err != nil {
		return false
	}
	mine, err := os.Readlink("/proc/thread-self/ns/net")
	return err == nil && theirs == mine
}

// end asks a process to end and makes it when it does not.
func end(fd int) error {
	for _, signal := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		err := unix.PidfdSendSignal(fd, signal, nil, 0)
		if errors.Is(err, unix.ESRCH) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("end a dnsmasq of the stopped network: %w", err)
		}
		if ended(fd) {
			return nil
		}
	}
	return errors.New("a dnsmasq of the stopped network does not end")
}

func ended(fd int) bool {
	for deadline := time.Now().Add(orphanPatience); ; {
		left := time.Until(deadline)
		if left <= 0 {
			return false
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if err == nil && n > 0 {
			return true
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return false
		}
	}
}

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// step is one folder on the way to the data dir.
type step struct {
	path     string
	mode     fs.FileMode
	uid, gid uint32
	acl      bool // an access list says more than the mode
}

// account is a user with its groups.
type account struct {
	name string
	uid  uint32
	gids []uint32
}

type dirFacts struct {
	path     string
	exists   bool
	isDir    bool
	existing string // the data dir, or the nearest folder above it that is there
	sim      bool
	root     bool
	writable bool
	steps    []step   // every folder from / to existing
	qemu     *account // who QEMU runs as; nil: unknown or no matter
	err      error
}

func probeDataDir(dir string, sim bool) dirFacts {
	d := dirFacts{path: dir, existing: dir, sim: sim, root: os.Geteuid() == 0}
	info, err := os.Stat(dir)
	switch {
	case err == nil:
		d.exists, d.isDir = true, info.IsDir()
	case notThere(err):
		d.existing = nearest(dir)
	default:
		d.err = err
		return d
	}
	d.writable = unix.Access(d.existing, unix.W_OK|unix.X_OK) == nil
	for path := d.existing; ; path = filepath.Dir(path) {
		var st unix.Stat_t
		if unix.Stat(path, &st) == nil {
			n, aclErr := unix.Getxattr(path, "system.posix_acl_access", nil)
			d.steps = append(d.steps, step{path, fs.FileMode(st.Mode & 0o777), st.Uid, st.Gid, aclErr == nil && n > 0})
		}
		if path == filepath.Dir(path) {
			break
		}
	}
	slices.Reverse(d.steps)
	if !sim {
		d.qemu = qemuAccount()
	}
	return d
}

// nearest is the closest folder above path that exists.
func nearest(path string) string {
	for path != filepath.Dir(path) {
		path = filepath.Dir(path)
		if _, err := os.Stat(path); err == nil {
			break
		}
	}
	return path
}

// qemuAccount finds whom libvirt runs QEMU as: the name in qemu.conf, or the one
// that the distributions use.
func qemuAccount() *account {
	names := []string{"libvirt-qemu", "qemu"}
	if b, err := os.ReadFile("/etc/libvirt/qemu.conf"); err == nil {
		if name := qemuConfUser(b); name != "" {
			names = []string{strings.TrimPrefix(name, "+")}
		}
	}
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			u, err = user.LookupId(name)
		}
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			continue
		}
		a := &account{name: u.Username, uid: uint32(uid)}
		groups, _ := u.GroupIds() // none known: the "others" bits decide
		for _, g := range groups {
			if gid, err := strconv.ParseUint(g, 10, 32); err == nil {
				a.gids = append(a.gids, uint32(gid))
			}
		}
		return a
	}
	return nil
}

// qemuConfUser finds `user = "name"` in qemu.conf.
func qemuConfUser(conf []byte) string { return qemuConfValue(conf, "user") }

// qemuConfValue finds a setting on one line of qemu.conf, "" where libvirt decides.
func qemuConfValue(conf []byte, name string) string {
	s := bufio.NewScanner(bytes.NewReader(conf))
	for s.Scan() {
		key, value, found := strings.Cut(s.Text(), "=")
		if found && strings.TrimSpace(key) == name {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
}

// passes reports whether the account may walk through the folder.
func (a account) passes(s step) bool {
	switch {
	case a.uid == 0 || s.acl:
		return true
	case a.uid == s.uid:
		return s.mode&0o100 != 0
	case slices.Contains(a.gids, s.gid):
		return s.mode&0o010 != 0
	}
	return s.mode&0o001 != 0
}

func judgeDataDir(d dirFacts) finding {
	switch {
	case d.err != nil:
		return warn(fmt.Sprintf("The data dir %s could not be looked at.", d.path), "Run `sudo lodged doctor`, or choose another --data-dir.")
	case d.exists && !d.isDir:
		return fail(fmt.Sprintf("The data dir %s is not a folder.", d.path), "Move it out of the way or choose another --data-dir.")
	}
	if d.qemu != nil {
		for _, s := range d.steps {
			if !d.qemu.passes(s) {
				return fail(fmt.Sprintf("QEMU runs as %s, which cannot pass through %s (mode %04o) to its disks.", d.qemu.name, s.path, s.mode),
					fmt.Sprintf("Run `chmod o+x %s`, or choose a --data-dir below /var/lib.", s.path))
			}
		}
	}
	if !d.writable {
		if !d.root && !d.sim {
			return warn(fmt.Sprintf("The data dir %s is not yours to write.", d.path),
				"That is right when lodged runs as root; run `sudo lodged doctor` to see more, or use --sim.")
		}
		return fail(fmt.Sprintf("Nothing can be written in %s.", d.existing), "Make it writable or choose another --data-dir.")
	}
	if n := len(d.steps); d.exists && n > 0 && d.steps[n-1].mode&0o002 != 0 {
		return warn(fmt.Sprintf("Everybody on this machine may put other files in place of lodge's in %s (mode %04o).", d.path, d.steps[n-1].mode),
			fmt.Sprintf("Run `chmod 711 %s`, and look whether its files are those that lodged made.", d.path))
	}
	if !d.exists {
		return ok("The data dir %s is not there yet and will be made.", d.path)
	}
	return ok("The data dir is %s.", d.path)
}

type diskFacts struct {
	path             string
	available, total int64
	files            uint64 // free inodes
	countsFiles      bool   // the file system has a fixed number of them
	readOnly         bool
	err              error
}

func probeDisk(dir string) diskFacts {
	d := diskFacts{path: dir}
	if _, err := os.Stat(dir); err != nil {
		d.path = nearest(dir)
	}
	var st unix.Statfs_t
	if d.err = unix.Statfs(d.path, &st); d.err != nil {
		return d
	}
	d.available, d.total = int64(st.Bavail)*st.Frsize, int64(st.Blocks)*st.Frsize
	d.files, d.countsFiles = st.Ffree, st.Files > 0
	d.readOnly = st.Flags&unix.ST_RDONLY != 0
	return d
}

const (
	tinyDisk = 1 << 30  // an image does not fit
	lowDisk  = 10 << 30 // a few guests fill it
	lowFiles = 1000
)

func judgeDisk(d diskFacts) finding {
	const more = "Free some space or put --data-dir on a larger file system: guests that grow into a full disk are paused."
	if d.err != nil {
		return warn(fmt.Sprintf("The free space of %s could not be read.", d.path), "Check it with `df -h`.")
	}
	found := fmt.Sprintf("%s of %s are free below %s.", iec(d.available), iec(d.total), d.path)
	switch {
	case d.readOnly:
		return fail(fmt.Sprintf("The file system of %s is read-only.", d.path), "Mount it for writing or choose another --data-dir.")
	case d.available < tinyDisk:
		return fail(found, more)
	case d.countsFiles && d.files < lowFiles:
		return fail(fmt.Sprintf("The file system of %s has room for %d more files only.", d.path, d.files), "Remove files or choose another --data-dir.")
	case d.available < lowDisk:
		return warn(found, more)
	}
	return ok("%s", found)
}

type lockFacts struct {
	dir     string
	held    bool
	pid     string // of the holder, "" unknown
	answers bool   // somebody listens on the socket
	socket  string
}

// probeLock reads the kernel's list of locks: trying the lock would get in the
// way of a lodged that starts at this moment.
func probeLock(dir, socket string) lockFacts {
	l := lockFacts{dir: dir, socket: socket}
	path := filepath.Join(dir, "lodged.lock")
	for _, of := range []string{dir, path} {
		var st unix.Stat_t
		if unix.Stat(of, &st) != nil {
			continue
		}
		if b, err := os.ReadFile("/proc/locks"); err == nil {
			l.held = l.held || flocked(b, st.Ino)
		}
	}
	if b, err := os.ReadFile(path); err == nil {
		l.pid = strings.TrimSpace(string(b))
	}
	if c, err := net.DialTimeout("unix", socket, time.Second); err == nil {
		l.answers = true
		c.Close()
	} else if errors.Is(err, os.ErrPermission) {
		l.answers = l.held
	}
	return l
}

// flocked finds a flock(2) on the inode in the text of /proc/locks, where a
// line reads "1: FLOCK  ADVISORY  WRITE 123 fd:01:456 0 EOF".
func flocked(locks []byte, inode uint64) bool {
	s := bufio.NewScanner(bytes.NewReader(locks))
	for s.Scan() {
		f := strings.Fields(s.Text())
		if len(f) < 6 || f[1] != "FLOCK" {
			continue
		}
		if part := strings.Split(f[5], ":"); len(part) == 3 && part[2] == strconv.FormatUint(inode, 10) {
			return true
		}
	}
	return false
}

func judgeLock(l lockFacts) finding {
	who := "A lodged"
	if l.pid != "" {
		who += " (pid " + l.pid + ")"
	}
	switch {
	case l.held && l.answers:
		return ok("%s is running on %s.", who, l.dir)
	case l.held:
		return warn(fmt.Sprintf("%s holds %s, but nobody answers on %s.", who, l.dir, l.socket),
			"If it does not just start or stop, give --socket as that lodged has it, or look at its log.")
	case l.answers:
		return warn(fmt.Sprintf("A daemon answers on %s, but none holds %s.", l.socket, l.dir),
			"It runs on another data dir: give --data-dir as it has it, or choose another --socket for a second one.")
	}
	return ok("No lodged is running on %s.", l.dir)
}

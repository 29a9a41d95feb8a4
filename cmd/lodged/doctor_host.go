package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"golang.org/x/sys/unix"

	"lodge/cmd/lodged/daemon"
)

type hostFacts struct {
	kernel, machine string
	cpus            int
	root            bool
	arch            string // GOARCH
}

func probeHost() hostFacts {
	h := hostFacts{cpus: runtime.NumCPU(), root: os.Geteuid() == 0, arch: runtime.GOARCH}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.kernel, h.machine = unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Machine[:])
	}
	return h
}

func judgeHost(h hostFacts) finding {
	who := ""
	if !h.root {
		who = ", seen as an ordinary user"
	}
	found := fmt.Sprintf("Linux %s on %s with %s%s.", h.kernel, h.machine, count(h.cpus, "CPU"), who)
	if h.arch != "amd64" {
		return warn(found, "lodge is tested on x86-64 only; guests of this architecture may not start.")
	}
	return ok("%s", found)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

type memoryFacts struct {
	total, available int64 // bytes
	err              error
}

func probeMemory() memoryFacts {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return memoryFacts{err: err}
	}
	return memoryFacts{total: meminfo(b, "MemTotal"), available: meminfo(b, "MemAvailable")}
}

// meminfo reads one line of /proc/meminfo; 0 when it is not there.
func meminfo(b []byte, key string) int64 {
	s := bufio.NewScanner(bytes.NewReader(b))
	for s.Scan() {
		name, rest, _ := strings.Cut(s.Text(), ":")
		if name != key {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, " kB")), 10, 64)
		if err != nil {
			return 0
		}
		return n * units.KiB
	}
	return 0
}

// lowMemory is the default instance's memory: with less free, not even that
// fits.
const lowMemory = 2 * units.GiB

func judgeMemory(m memoryFacts) finding {
	if m.err != nil || m.total == 0 {
		return warn("The size of the memory could not be read.", "Look at /proc/meminfo; guests start all the same.")
	}
	found := fmt.Sprintf("%s of %s of memory are available.", iec(m.available), iec(m.total))
	if m.available < lowMemory {
		return warn(found, "A default instance takes 2 GiB: free some memory or ask for smaller instances.")
	}
	return ok("%s", found)
}

func iec(n int64) string {
	return units.CustomSize("%.4g %s", float64(n), 1024, []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"})
}

type clockFacts struct {
	now    time.Time
	unsync bool  // the kernel was told by nobody that the clock is right
	err    error // of asking the kernel
}

func probeClock() clockFacts {
	var t unix.Timex // modes 0: only look
	state, err := unix.Adjtimex(&t)
	return clockFacts{now: time.Now(), err: err, unsync: err == nil && (state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0)}
}

func judgeClock(c clockFacts) finding {
	found := fmt.Sprintf("The clock says %s", c.now.UTC().Format(time.RFC3339))
	if y := c.now.UTC().Year(); y < 2025 || y > 2099 {
		return fail(found+", which cannot be right.", "Set the clock before lodge runs: usage is written down with it and never rewritten.")
	}
	if c.err != nil {
		return warn(found+"; whether it is synchronised could not be asked.", "Make sure that an NTP service runs on the host.")
	}
	if c.unsync {
		return warn(found+" and is not synchronised.", "Start an NTP service, as `timedatectl set-ntp true` or `apt install chrony`: usage is counted by this clock.")
	}
	return ok("%s and is synchronised.", found)
}

type groupFacts struct {
	exists bool
	root   bool
	member bool // of this process
}

func probeGroup() groupFacts {
	g := groupFacts{root: os.Geteuid() == 0}
	lodge, err := user.LookupGroup(daemon.Group)
	if err != nil {
		return g
	}
	g.exists = true
	gid, err := strconv.Atoi(lodge.Gid)
	if err != nil {
		return g
	}
	mine, err := os.Getgroups()
	g.member = err == nil && slices.Contains(mine, gid)
	return g
}

func judgeGroup(g groupFacts) finding {
	switch {
	case !g.exists:
		return warn("There is no group "+daemon.Group+", so only root can use the socket.",
			"Make it with `groupadd --system "+daemon.Group+"`, add people with `usermod -aG "+daemon.Group+" NAME`, and restart lodged.")
	case !g.root && !g.member:
		return warn("You are not in the group "+daemon.Group+" and cannot use the socket.",
			"Run `sudo usermod -aG "+daemon.Group+" $USER` and log in again.")
	}
	return ok("The group %s exists; its members may use the socket.", daemon.Group)
}

type initFacts struct {
	name    string // of process 1
	zombies int    // children of process 1 that it has not collected
	err     error
}

func probeInit() initFacts {
	comm, err := os.ReadFile("/proc/1/comm")
	if err != nil {
		return initFacts{err: err}
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	f := initFacts{name: strings.TrimSpace(string(comm)), err: err}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err == nil && orphanZombie(b) {
			f.zombies++
		}
	}
	return f
}

// orphanZombie reads a line of /proc/PID/stat: "7 (name) Z 1 ...", where the
// name may hold anything.
func orphanZombie(stat []byte) bool {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return false
	}
	fields := strings.Fields(string(stat[end+1:]))
	return len(fields) > 1 && fields[0] == "Z" && fields[1] == "1"
}

func judgeInit(f initFacts) finding {
	if f.err != nil {
		return warn("Process 1 could not be looked at.", "Make sure that /proc is mounted.")
	}
	if f.zombies > 0 {
		return warn(fmt.Sprintf("Process 1 (%s) does not collect ended processes: %d of them are left.", f.name, f.zombies),
			"Start libvirtd below a process that does, as `tini -s -- libvirtd`, or switching a guest off takes 10 s and more.")
	}
	return ok("Process 1 (%s) has left no ended process behind.", f.name)
}

// findProgram looks where daemons live, which is not on every user's PATH. It
// returns "" when there is none.
func findProgram(name string) string {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin") {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// notThere reports whether a file is missing, in contrast to hidden.
func notThere(err error) bool { return errors.Is(err, os.ErrNotExist) }

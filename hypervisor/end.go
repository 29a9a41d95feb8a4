package hypervisor

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"lodge/cloud"
)

// Where libvirt's QEMU driver of the system keeps what is read here. The paths
// are fixed when libvirt is built; no call tells them.
const (
	systemLogs  = "/var/log/libvirt/qemu"
	systemState = "/run/libvirt/qemu"
)

// settled is how long a driver gets after its start to find out which guests
// ended while it was away. It writes the end of those down only then, with the
// time of then and with reasons (crashed, daemon, unknown, shutdown) that ends
// of other times have too. So until it has settled, no end's time is trusted.
const settled = time.Minute

// GuestEnd says whether the run of the guest that was on at since has ended, and
// when, from libvirt's log of the domain; now is the present. It reads at most
// 384 KiB. The time is given only when it is certain: the driver that wrote it
// has been up since before since, when the guest was seen, or for a minute before
// the end; and no earlier end can be missing. A log that is missing, a guest or a host
// that writes none, says that the run is not over.
func (h *Host) GuestEnd(ctx context.Context, id string, since, now time.Time) (cloud.GuestEnd, error) {
	f := h.facts.Load()
	if f == nil || f.logs == "" || filepath.Base(id) != id {
		return cloud.GuestEnd{}, nil
	}
	log, err := readRunLog(filepath.Join(f.logs, cloud.GuestName(id)+".log"), since)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return cloud.GuestEnd{}, fmt.Errorf("end of guest %s: %w", id, err)
	}
	at, sure := log.first(since, now)
	if at.IsZero() {
		return cloud.GuestEnd{}, nil
	}
	age, err := driverAge(f.state)
	if err != nil {
		h.opts.Log.Debug("age of libvirt's driver", "err", err)
		return cloud.GuestEnd{Over: true}, nil
	}
	if !sure || !trusted(at, since, now.Add(-age), h.settled) {
		return cloud.GuestEnd{Over: true}, nil
	}
	return cloud.GuestEnd{Over: true, At: at}, nil
}

// trusted reports whether the time of an end is the time at which it happened:
// its writer began at start and knew all its guests some time later.
func trusted(end, since, start time.Time, settled time.Duration) bool {
	const blur = time.Second // the start is known to ticks of 10 ms, and since was taken before the look
	if !start.Add(blur).After(since) {
		return true
	}
	return end.After(start.Add(settled))
}

// driverAge is for how long libvirt's QEMU driver has been there, by the clock
// that no step of the wall clock moves.
func driverAge(state string) (time.Duration, error) {
	pid, err := driverPID(state)
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	began, err := startOf(text)
	if err != nil {
		return 0, err
	}
	text, err = os.ReadFile("/proc/uptime")
	if err != nil {
		return 0, err
	}
	up, _, _ := strings.Cut(string(text), " ")
	seconds, err := strconv.ParseFloat(up, 64)
	if err != nil {
		return 0, fmt.Errorf("uptime: %w", err)
	}
	return time.Duration(seconds*float64(time.Second)) - began, nil
}

// driverPID is the process of libvirt's QEMU driver.
func driverPID(state string) (int, error) {
	text, err := os.ReadFile(filepath.Join(state, "driver.pid"))
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("driver.pid: %w", err)
	}
	return pid, nil
}

// startOf reads when a process of libvirt's began, since boot.
// https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
func startOf(stat []byte) (time.Duration, error) {
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return 0, fmt.Errorf("stat of libvirt's driver is %q", stat)
	}
	switch comm := string(stat[open+1 : end]); comm {
	case "libvirtd", "virtqemud":
	default:
		return 0, fmt.Errorf("the process of libvirt's driver is %q", comm)
	}
	fields := bytes.Fields(stat[end+1:]) // from the third on
	const startTime, tick = 22 - 3, 10 * time.Millisecond
	if len(fields) <= startTime {
		return 0, fmt.Errorf("stat of libvirt's driver is %q", stat)
	}
	ticks, err := strconv.ParseInt(string(fields[startTime]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("stat of libvirt's driver: %w", err)
	}
	return time.Duration(ticks) * tick, nil
}

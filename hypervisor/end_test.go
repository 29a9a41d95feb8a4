package hypervisor

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lodge/cloud"
)

func moment(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(lineTime, "2026-11-22 "+text)
	must(t, err)
	return at
}

func TestALogIsReadForTheFirstEndOfARun(t *testing.T) {
	const start = "2026-11-22 10:00:00.000+0000: starting up libvirt version: 9.0.0\nLC_ALL=C \\\n-msg timestamp=on\n"
	const term = "2026-11-22T10:20:00.840535Z qemu-system-x86_64: terminating on signal 15 from pid 48 (libvirtd)\n"
	for name, c := range map[string]struct {
		log, since, until string
		cut               bool // there was more before it
		want              string
		unsure            bool
	}{
		"nothing":                 {"", "10:10:00.000", "11:00:00.000", false, "", false},
		"runs on":                 {start, "10:10:00.000", "11:00:00.000", false, "", false},
		"destroyed":               {start + term + "2026-11-22 10:20:01.040+0000: shutting down, reason=destroyed\n", "10:10:00.000", "11:00:00.000", false, "10:20:01.040", false},
		"two words":               {start + "2026-11-22 10:20:01.040+0000: shutting down, reason=from snapshot\n", "10:10:00.000", "11:00:00.000", false, "10:20:01.040", false},
		"before it was seen":      {start + "2026-11-22 10:05:00.000+0000: shutting down, reason=shutdown\n", "10:10:00.000", "11:00:00.000", false, "", false},
		"in the future":           {start + "2026-11-22 11:05:00.000+0000: shutting down, reason=shutdown\n", "10:10:00.000", "11:00:00.000", false, "", false},
		"the first of two":        {start + "2026-11-22 10:20:00.000+0000: shutting down, reason=shutdown\n2026-11-22 10:30:00.000+0000: shutting down, reason=shutdown\n", "10:10:00.000", "11:00:00.000", false, "10:20:00.000", false},
		"a start that failed":     {start + "2026-11-22 10:20:00.000+0000: shutting down, reason=failed\n", "10:10:00.000", "11:00:00.000", false, "", false},
		"half a line":             {start + "2026-11-22 10:20:00.000+0000: shutting down, rea", "10:10:00.000", "11:00:00.000", false, "", false},
		"said by QEMU":            {start + "2026-11-22T10:20:00.1Z qemu: 2026-11-22 10:20:00.000+0000: shutting down, reason=shutdown\n", "10:10:00.000", "11:00:00.000", false, "", false},
		"another zone":            {start + "2026-11-22 10:20:00.000+0100: shutting down, reason=shutdown\n", "10:10:00.000", "11:00:00.000", false, "", false},
		"not a time":              {start + "2026-11-32 10:20:00.000+0000: shutting down, reason=shutdown\n", "10:10:00.000", "11:00:00.000", false, "", false},
		"cut before it was seen":  {"half\n" + start + "2026-11-22 10:20:00.000+0000: shutting down, reason=shutdown\n", "10:10:00.000", "11:00:00.000", true, "10:20:00.000", false},
		"cut after it was seen":   {"half\n" + start + "2026-11-22 10:20:00.000+0000: shutting down, reason=shutdown\n", "09:50:00.000", "11:00:00.000", true, "10:20:00.000", true},
		"the clock was set back":  {start + "2026-11-22 10:30:00.000+0000: shutting down, reason=shutdown\n2026-11-22 10:20:00.000+0000: shutting down, reason=shutdown\n", "10:10:00.000", "11:00:00.000", false, "10:20:00.000", true},
		"cut, nothing has a time": {"half\nmore\n", "10:10:00.000", "11:00:00.000", true, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			at, sure := parseRunLog([]byte(c.log), !c.cut).first(moment(t, c.since), moment(t, c.until))
			var want time.Time
			if c.want != "" {
				want = moment(t, c.want)
			}
			if !at.Equal(want) || sure == c.unsure {
				t.Errorf("the end is %s, sure %v; want %s, %v", at, sure, want, !c.unsure)
			}
		})
	}
}

func TestARotatedLogIsReadToo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	must(t, os.WriteFile(path+".0", []byte("2026-11-22 10:20:00.000+0000: shutting down, reason=shutdown\n"), 0o600))
	must(t, os.WriteFile(path, []byte("2026-11-22 10:30:00.000+0000: shutting down, reason=shutdown\n"), 0o600))
	log, err := readRunLog(path, moment(t, "10:00:00.000"))
	if err != nil || len(log.ends) != 2 || !log.from.IsZero() {
		t.Errorf("read %+v, %v", log, err)
	}
	must(t, os.WriteFile(path, []byte(strings.Repeat("x", logMost)+"\n2026-11-22 10:30:00.000+0000: shutting down, reason=shutdown\n"), 0o600))
	log, err = readRunLog(path, moment(t, "10:00:00.000"))
	if err != nil || len(log.ends) != 1 || log.from.IsZero() {
		t.Errorf("of a long log %+v, %v", log, err)
	}
	if log, err = readRunLog(path, time.Now().Add(time.Hour)); err != nil || len(log.ends) != 0 {
		t.Errorf("a log that was not written to since: %+v, %v", log, err)
	}
	if log, err = readRunLog(path+".none", time.Time{}); err != nil || len(log.ends) != 0 {
		t.Errorf("a log that is missing: %+v, %v", log, err)
	}
}

func TestAnEndIsTrustedOnlyOfADriverThatKnewTheGuest(t *testing.T) {
	seen := moment(t, "10:00:00.000")
	for _, c := range []struct {
		name, start, end string
		want             bool
	}{
		{"up all the time", "09:00:00.000", "10:20:00.000", true},
		{"began just before it was seen", "09:59:58.000", "10:00:00.100", true},
		{"began as it was seen", "09:59:59.500", "10:00:20.000", false},
		{"found dead at the driver's start", "10:20:00.000", "10:20:00.400", false},
		{"found dead by a driver before this one", "10:40:00.000", "10:20:00.400", false},
		{"found dead by a slow driver", "10:20:00.000", "10:20:59.000", false},
		{"ended under the new driver", "10:20:00.000", "10:21:01.000", true},
	} {
		if got := trusted(moment(t, c.end), seen, moment(t, c.start), settled); got != c.want {
			t.Errorf("%s: trusted %v", c.name, got)
		}
	}
}

func TestTheDriversProcessIsRecognised(t *testing.T) {
	line := func(comm, start string) []byte {
		return []byte("48 (" + comm + ") S 47 47 1 0 -1 4194560 9 8 7 6 5 4 3 2 20 0 17 0 " + start + " 1 2 3")
	}
	for _, comm := range []string{"libvirtd", "virtqemud"} {
		if at, err := startOf(line(comm, "12345")); err != nil || at != 123450*time.Millisecond {
			t.Errorf("%s: %s, %v", comm, at, err)
		}
	}
	for _, stat := range [][]byte{line("bash", "12345"), line("libvirtd", "x"), []byte("48 (libvirtd) S 1"), nil, []byte(") (")} {
		if at, err := startOf(stat); err == nil {
			t.Errorf("%q: %s", stat, at)
		}
	}
}

// What libvirtd finds dead at its start it writes down as ended then.
func TestAnEndWhileLibvirtWasAwayHasNoTime(t *testing.T) {
	needWorld(t)
	h, ctx := open(t, "qemu:///system", AccelAuto), context.Background()
	spec := small(t, blank(t, sharedDir(t)))
	up(t, h, spec)
	pid, seen := qemuPID(t, spec.ID), time.Now()
	libvirtd("kill")(t)
	must(t, syscall.Kill(pid, syscall.SIGKILL))
	time.Sleep(1500 * time.Millisecond)
	libvirtd("start")(t)
	awaitOff(t, h, spec.ID, cloud.OffCrashed)
	if e, err := h.GuestEnd(ctx, spec.ID, seen, time.Now()); err != nil || e != (cloud.GuestEnd{Over: true}) {
		t.Errorf("the end is %+v, %v", e, err)
	}
	log, err := readRunLog(filepath.Join(systemLogs, cloud.GuestName(spec.ID)+".log"), seen)
	if at, _ := log.first(seen, time.Now()); err != nil || at.Sub(seen) < 1500*time.Millisecond {
		t.Errorf("libvirt wrote down %s, %v: the test shows nothing", at, err)
	}
}

// A driver that is new but knows its guests by now is believed.
func TestAnEndUnderASettledDriverHasItsTime(t *testing.T) {
	needWorld(t)
	h, ctx := open(t, "qemu:///system", AccelAuto), context.Background()
	h.settled = time.Second
	spec := small(t, blank(t, sharedDir(t)))
	up(t, h, spec)
	seen := time.Now()
	libvirtd("restart")(t)
	until(t, func() bool { _, err := h.LookGuests(ctx, nil); return err == nil })
	time.Sleep(1500 * time.Millisecond)
	must(t, syscall.Kill(qemuPID(t, spec.ID), syscall.SIGKILL))
	at := time.Now()
	awaitOff(t, h, spec.ID, cloud.OffCrashed)
	if e, err := h.GuestEnd(ctx, spec.ID, seen, time.Now()); err != nil || e.At.Sub(at).Abs() > time.Second {
		t.Errorf("a guest that was killed at %s: %+v, %v", at, e, err)
	}
	h.settled = time.Minute
	if e, err := h.GuestEnd(ctx, spec.ID, seen, time.Now()); err != nil || e != (cloud.GuestEnd{Over: true}) {
		t.Errorf("by a driver that may still be looking: %+v, %v", e, err)
	}
}

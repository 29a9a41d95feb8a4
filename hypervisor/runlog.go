package hypervisor

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"time"
)

// libvirt writes a log per domain: a line when QEMU is started, what QEMU says,
// and a line when the run is over. Times are UTC whatever the host's zone.
//
//	2026-11-22 15:10:43.040+0000: shutting down, reason=destroyed
//
// https://libvirt.org/logging.html does not promise the form; what does not look
// like this is no evidence.
var endLine = regexp.MustCompile(`(?m)^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3})\+0000: shutting down, reason=([a-z ]+)\r?$`)

// anyLine is the beginning of every line of libvirt's own.
var anyLine = regexp.MustCompile(`(?m)^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3})\+0000: `)

const (
	lineTime = "2006-01-02 15:04:05.000"
	// neverRan is the reason of a start that failed: there was no run to end.
	neverRan = "failed"
	// logMost is how much is read of the end of a log: some twenty starts, each
	// with QEMU's whole command line.
	logMost = 128 << 10
)

// runLog is the end of a domain's log.
type runLog struct {
	ends []time.Time // of runs, in the order they were written
	from time.Time   // what is before is not known; zero: it is all there
}

// readRunLog reads the end of a log, and of the one that was rotated away before
// it. A log that is not there, or was not written to since, says nothing.
func readRunLog(path string, since time.Time) (runLog, error) {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return runLog{}, nil
	}
	if err != nil {
		return runLog{}, err
	}
	if st.ModTime().Before(since.Add(-time.Second)) {
		return runLog{}, nil
	}
	text, whole, err := tailWhole(path, logMost)
	// virtlogd keeps the last one as ".0", logrotate as ".1" where virtlogd is not used.
	for _, older := range []string{path + ".0", path + ".1"} {
		if err != nil || !whole {
			break
		}
		var before []byte
		before, whole, err = tailWhole(older, logMost)
		text = append(before, text...)
	}
	if err != nil {
		return runLog{}, err
	}
	return parseRunLog(text, whole), nil
}

// tailWhole is tail, and whether that is all of the file.
func tailWhole(path string, most int) (text []byte, whole bool, err error) {
	text, err = tail(path, most)
	return text, len(text) < most, err
}

func parseRunLog(text []byte, whole bool) runLog {
	var out runLog
	if !whole {
		if cut := bytes.IndexByte(text, '\n'); cut >= 0 {
			text = text[cut+1:] // the first line may be half of one
		}
		out.from = firstTime(text)
	}
	for _, m := range endLine.FindAllSubmatch(text, -1) {
		at, err := time.Parse(lineTime, string(m[1]))
		if err == nil && string(m[2]) != neverRan {
			out.ends = append(out.ends, at)
		}
	}
	return out
}

// firstTime is the time of the first line that has one; when none has, nothing
// is known at all.
func firstTime(text []byte) time.Time {
	if m := anyLine.FindSubmatch(text); m != nil {
		if at, err := time.Parse(lineTime, string(m[1])); err == nil {
			return at
		}
	}
	return time.Unix(1<<40, 0)
}

// first is the earliest end in (since, until], zero when there is none. sure is
// whether no earlier one can have been written.
func (l runLog) first(since, until time.Time) (at time.Time, sure bool) {
	for _, end := range l.ends {
		if end.After(since) && !end.After(until) && (at.IsZero() || end.Before(at)) {
			at = end
		}
	}
	// A clock that was set back in between makes the order of the lines useless.
	return at, !l.from.After(since) && slices.IsSortedFunc(l.ends, time.Time.Compare)
}

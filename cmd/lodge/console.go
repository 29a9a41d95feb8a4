package main

import (
	"bytes"
	"context"
	"io"
	"time"

	"lodge/api/client"
)

// consoleLog prints the end of a console's log, as much as lodged gives for a
// tail of -1, and, when asked, what is added to it until ctx ends.
func (a *app) consoleLog(ctx context.Context, c *client.Client, id string, tail int64, follow bool) error {
	if tail == 0 && !follow {
		return nil
	}
	w := a.filter()
	ask := max(tail, 0)
	if follow && tail < usualTail {
		ask = 0 // more than a short tail may be added between two looks
	}
	var before []byte
	for first := true; ; first = false {
		now, err := c.ConsoleLog(ctx, id, ask)
		if err != nil && follow && ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		news := now
		switch {
		case !first:
			news = added(before, now)
		case tail >= 0:
			news = now[max(0, int64(len(now))-tail):]
		}
		if _, err := w.Write(news); err != nil {
			return err
		}
		if !follow {
			return nil
		}
		before = now
		select {
		case <-ctx.Done():
			return nil // how a look that follows ends
		case <-time.After(a.pause):
		}
	}
}

// usualTail is what lodged gives when no number of bytes is asked for.
const usualTail = 64 << 10

// overlap is how much of the end of the last answer is looked for in the next.
const overlap = 4 << 10

// added gives what came to a log of which only the end is known: it may have
// moved on, or begun anew.
func added(before, now []byte) []byte {
	if bytes.HasPrefix(now, before) {
		return now[len(before):]
	}
	known := before[max(0, len(before)-overlap):]
	if at := bytes.LastIndex(now, known); at >= 0 {
		return now[at+len(known):]
	}
	return now
}

// tame leaves out control characters and escape sequences. It remembers between
// writes where in a sequence it is.
type tame struct {
	w     io.Writer
	state int
}

const (
	inText   = iota
	inEscape // behind ESC
	inCSI    // ESC [ ... up to a letter
	inString // ESC ] ... up to BEL or ESC
)

func (t *tame) Write(p []byte) (int, error) {
	out := make([]byte, 0, len(p))
	for _, b := range p {
		if t.keeps(b) {
			out = append(out, b)
		}
	}
	if _, err := t.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (t *tame) keeps(b byte) bool {
	const esc, bel = 0x1b, 0x07
	switch t.state {
	case inEscape:
		switch b {
		case '[':
			t.state = inCSI
		case ']', 'P', 'X', '^', '_':
			t.state = inString
		case esc, '(', ')', '#', '%', ' ':
			// one more byte belongs to it
		default:
			t.state = inText
		}
		return false
	case inCSI:
		if b >= 0x40 && b <= 0x7e {
			t.state = inText
		}
		return false
	case inString:
		switch b {
		case bel, '\n': // a line's end too: nothing may swallow the rest of the log
			t.state = inText
			return b == '\n'
		case esc:
			t.state = inEscape
		}
		return false
	}
	if b == esc {
		t.state = inEscape
		return false
	}
	return b == '\n' || b == '\t' || b >= 0x20 && b != 0x7f
}

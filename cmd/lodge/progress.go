package main

import (
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/docker/go-units"
	"github.com/schollz/progressbar/v3"
)

// progress tells how something goes on: one line that changes on a terminal,
// and a line for each change elsewhere.
type progress struct {
	w     io.Writer
	tty   bool
	now   func() time.Time
	began time.Time
	said  string
	width int
	frame int
}

var spinner = []string{"|", "/", "-", `\`}

func (a *app) progress() *progress {
	return &progress{w: a.err, tty: a.tty, now: a.now, began: a.now()}
}

// say tells the present state. On a terminal each call turns the spinner.
func (p *progress) say(text string) {
	if !p.tty {
		if text != p.said {
			fmt.Fprintln(p.w, text)
		}
		p.said = text
		return
	}
	p.said = text
	line := fmt.Sprintf("%s %s (%s)", spinner[p.frame%len(spinner)], text, p.elapsed())
	p.frame++
	p.redraw(line)
}

func (p *progress) redraw(line string) {
	width := utf8.RuneCountInString(line)
	fmt.Fprintf(p.w, "\r%s%*s", line, max(p.width-width, 0), "")
	p.width = width
}

// clear takes the changing line away; what was printed elsewhere stays.
func (p *progress) clear() {
	if p.tty && p.width > 0 {
		p.redraw("")
		fmt.Fprint(p.w, "\r")
		p.width = 0
	}
}

func (p *progress) elapsed() time.Duration { return p.now().Sub(p.began).Round(time.Second) }

// bytesBar shows how many bytes have gone. total is -1 when nobody knows.
func (a *app) bytesBar(what string, total int64) *progressbar.ProgressBar {
	return progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(a.err),
		progressbar.OptionSetVisibility(a.tty),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true),
		progressbar.OptionShowTotalBytes(true),
		progressbar.OptionUseIECUnits(true),
		progressbar.OptionSetWidth(30),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetPredictTime(total > 0),
	)
}

// iec writes bytes for people: "4 GiB".
func iec(n int64) string {
	return units.CustomSize("%.4g %s", float64(n), 1024, []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"})
}

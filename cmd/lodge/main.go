// Command lodge is the command line of lodge: a client of /v1 like any other,
// with no privileged way in.
package main

import (
	"context"
	"crypto/x509"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"
)

// version is set by the Makefile from git.
var version = "dev"

// app is one run of the command line: what it reads, writes and was told.
type app struct {
	in       io.Reader
	out, err io.Writer
	ttyIn    bool // a person can be asked
	ttyOut   bool // what is printed reaches a terminal
	tty      bool // progress may redraw its line
	home     string
	real     string // lodged's socket on this machine; "" for the usual one
	getenv   func(string) string
	now      func() time.Time
	exec     func(path string, argv, env []string) error
	sshReady func(ctx context.Context, address string) error
	pause    time.Duration                                            // between two looks at what has no event to wait for
	secret   func(ctx context.Context, prompt string) (string, error) // asks a person, without echo
	roots    *x509.CertPool                                           // the system's when nil
	browse   func(page string)                                        // nil: there is no browser

	// The root flags.
	socket  string
	context string
	tenant  string
	output  string

	way    way // to lodged, as settled
	wayErr error
	noted  bool // that the file of contexts is open to others
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt ends what does not heed the first
	home, err := os.UserHomeDir()
	if err != nil {
		home = "/" // nothing is found there: no keys, no socket of a pretend host
	}
	a := &app{
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
		ttyIn:  term.IsTerminal(int(os.Stdin.Fd())),
		ttyOut: term.IsTerminal(int(os.Stdout.Fd())),
		tty:    term.IsTerminal(int(os.Stderr.Fd())),
		home:   home, getenv: os.Getenv, now: time.Now, exec: syscall.Exec, pause: time.Second,
	}
	a.sshReady = func(ctx context.Context, address string) error {
		return sshAnswers(ctx, net.JoinHostPort(address, "22"), 3*time.Second)
	}
	a.secret = askTerminal
	if a.tty {
		a.browse = openBrowser(a.getenv)
	}
	code := a.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run does what the arguments say and gives the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	cmd := a.command()
	cmd.SetArgs(args)
	cmd.SetIn(a.in)
	cmd.SetOut(a.out)
	cmd.SetErr(a.err)
	return a.report(ctx, cmd.ExecuteContext(ctx))
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// secretMost bounds a line with a secret.
const secretMost = 4 << 10

// errUnanswered is returned when an interrupt comes in place of an answer.
var errUnanswered error = codedError{exitInterrupted, "Interrupted; nothing was changed."}

// askTerminal asks for a secret on the terminal. An interrupt leaves it with its
// echo on.
func askTerminal(ctx context.Context, prompt string) (string, error) {
	fd := int(os.Stdin.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	fmt.Fprint(os.Stderr, prompt)
	b, err := awaited(ctx, func() ([]byte, error) { return term.ReadPassword(fd) })
	if errors.Is(err, errUnanswered) {
		_ = term.Restore(fd, before)
	}
	fmt.Fprintln(os.Stderr)
	return string(b), err
}

// awaited gives what read reads, or errUnanswered when an interrupt comes first.
// The read outlives that, for neither a terminal nor a pipe can be told to stop;
// the process does not.
func awaited[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	got := make(chan answer, 1)
	go func() {
		v, err := read()
		got <- answer{v, err}
	}()
	select {
	case <-ctx.Done():
		var zero T
		return zero, errUnanswered
	case g := <-got:
		return g.v, g.err
	}
}

// readLine reads one line of standard input and nothing behind it.
func (a *app) readLine() (string, error) {
	var line []byte
	one := make([]byte, 1)
	for len(line) <= secretMost {
		n, err := a.in.Read(one)
		if n == 1 && one[0] == '\n' || errors.Is(err, io.EOF) {
			return strings.TrimSuffix(string(line), "\r"), nil
		}
		if err != nil {
			return "", err
		}
		line = append(line, one[:n]...)
	}
	return "", usagef("A line of standard input has more than 4 KiB.")
}

// lineOf reads a line that must not be empty.
func (a *app) lineOf(ctx context.Context, what string) (string, error) {
	s, err := awaited(ctx, a.readLine)
	if err == nil && s == "" {
		err = usagef("Standard input has no %s; write it there as a line of its own.", what)
	}
	return s, err
}

// password reads a password from standard input, or asks for it.
func (a *app) password(ctx context.Context, prompt string, stdin bool) (string, error) {
	if stdin {
		return a.lineOf(ctx, "password")
	}
	if !a.ttyIn {
		return "", usagef("There is no terminal to ask for the password on; say --password-stdin.")
	}
	s, err := a.secret(ctx, prompt)
	if err == nil && s == "" {
		err = usagef("The password is empty.")
	}
	return s, err
}

// newPassword is password for one that is made now: who types it does so twice.
func (a *app) newPassword(ctx context.Context, stdin bool) (string, error) {
	s, err := a.password(ctx, "New password: ", stdin)
	if err != nil || stdin {
		return s, err
	}
	again, err := a.secret(ctx, "The same again: ")
	if err == nil && again != s {
		err = usagef("The two passwords differ.")
	}
	return s, err
}

// ask asks a person for a word.
func (a *app) ask(ctx context.Context, prompt string) (string, error) {
	fmt.Fprint(a.err, prompt)
	s, err := awaited(ctx, a.readLine)
	if errors.Is(err, errUnanswered) {
		fmt.Fprintln(a.err)
	}
	return strings.TrimSpace(s), err
}

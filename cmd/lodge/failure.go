package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"lodge/api/client"
)

// The exit codes. `lodge --help` and docs/cli.md list them.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitRefused     = 4
	exitUnavailable = 5
	exitWait        = 6
	exitInterrupted = 130
)

const exitHelp = `Exit codes:
  0  done
  1  an error
  2  a mistake on the command line, or a value that lodged does not take
  3  no such object
  4  refused: the object's state, a name that is taken, no room, no right, no login
  5  lodged cannot be reached or cannot answer now
  6  what was waited for did not come`

// codedError is a sentence with its exit code.
type codedError struct {
	code int
	text string
}

func (e codedError) Error() string { return e.text }

func notFoundf(format string, args ...any) error {
	return codedError{exitNotFound, fmt.Sprintf(format, args...)}
}

func refusedf(format string, args ...any) error {
	return codedError{exitRefused, fmt.Sprintf(format, args...)}
}

func waitf(format string, args ...any) error {
	return codedError{exitWait, fmt.Sprintf(format, args...)}
}

// report writes err as one sentence, with what is wrong with which field below
// it, and gives the exit code.
func (a *app) report(ctx context.Context, err error) int {
	if err == nil {
		return exitOK
	}
	code, text := a.explain(err)
	if ctx.Err() != nil && code != exitInterrupted {
		fmt.Fprintln(a.err, "lodge: Interrupted; lodged goes on with what it was told.")
		return exitInterrupted
	}
	fmt.Fprintf(a.err, "lodge: %s\n", sentence(text))
	var answer *client.Error
	if errors.As(err, &answer) {
		for _, f := range answer.Fields {
			if len(answer.Fields) == 1 && strings.Contains(answer.Detail, f.Message) {
				continue // the sentence is the field's own
			}
			fmt.Fprintf(a.err, "  %s: %s\n", harmless(asFlag(f.Field)), harmless(asFlags(f.Message)))
		}
	}
	return code
}

// explain gives the exit code of err and its sentence.
func (a *app) explain(err error) (code int, text string) {
	var mistake usageError
	var coded codedError
	var answer *client.Error
	var call *url.Error
	switch {
	case errors.As(err, &mistake):
		return exitUsage, mistake.text
	case errors.As(err, &coded):
		return coded.code, coded.text
	case client.IsUnauthorized(err) && a.way.socket == "":
		return exitRefused, a.way.loginAgain(a.now())
	case errors.As(err, &answer):
		return answerCode(answer), answerText(answer)
	case errors.As(err, &call) && a.way.socket == "":
		return a.way.broken(call)
	case errors.As(err, &call):
		return exitUnavailable, a.unreachable(call)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return exitUnavailable, "lodged broke off its answer; try again."
	}
	return exitError, err.Error()
}

func answerCode(e *client.Error) int {
	switch e.Status {
	case http.StatusBadRequest:
		switch {
		case e.Code == "invalid_request" && len(e.Fields) > 0, e.Code == "url_refused": // of a flag or an argument
			return exitUsage
		}
	case http.StatusNotFound:
		return exitNotFound
	case http.StatusConflict, http.StatusPreconditionFailed, http.StatusUnauthorized, http.StatusForbidden, http.StatusInsufficientStorage:
		return exitRefused
	case http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusGatewayTimeout:
		return exitUnavailable
	}
	return exitError
}

func answerText(e *client.Error) string {
	text := e.Detail
	if e.Status == http.StatusBadRequest {
		text = strings.Replace(asFlags(text), "mean with tenant.", "mean with --tenant.", 1)
	}
	if text == "" {
		text = fmt.Sprintf("lodged answered with status %d and no reason.", e.Status)
	}
	if e.Status >= http.StatusInternalServerError && e.RequestID != "" {
		text = strings.TrimSuffix(text, ".") + " (request " + e.RequestID + ")."
	}
	return text
}

func (a *app) unreachable(err *url.Error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("Nobody answers on %s; start lodged, or name its socket with --socket or LODGE_SOCKET.", a.socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("You may not use %s; join the group lodge (`sudo usermod -aG lodge $USER`, then log in again) or use sudo.", a.socket)
	}
	return fmt.Sprintf("lodged cannot be reached on %s: %v.", a.socket, err.Err)
}

// flags are lodge's words for fields of the API.
var flags = map[string]string{
	"vcpus": "--vcpus", "memory_mib": "--memory", "disk_gib": "--disk", "user_data": "--user-data", "expires_in": "--expires-in",
}

// apiFields is where lodged's sentences tell to give such a field.
var apiFields = regexp.MustCompile(`(?:\b(?:give|ask for) |^)(?:vcpus and memory_mib|vcpus|memory_mib|disk_gib)\b`)

var apiField = regexp.MustCompile(`vcpus|memory_mib|disk_gib`)

// asFlags puts lodge's flags where lodged names fields of its API. What stands in
// quotes is somebody's own words and stays as it is.
func asFlags(s string) string {
	parts := strings.Split(s, `"`)
	for i := 0; i < len(parts); i += 2 {
		parts[i] = apiFields.ReplaceAllStringFunc(parts[i], func(phrase string) string {
			return apiField.ReplaceAllStringFunc(phrase, asFlag)
		})
	}
	return strings.Join(parts, `"`)
}

// asFlag is the flag for a field, or the field where there is none.
func asFlag(field string) string {
	return cmp.Or(flags[field], field)
}

// harmless writes what a terminal would obey as Go does in a string.
func harmless(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if unprintable(r) || r == utf8.RuneError && n == 1 {
			q := strconv.Quote(s[:n])
			b.WriteString(q[1 : len(q)-1])
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// sentence makes one line with a capital and a stop.
func sentence(s string) string {
	s = harmless(strings.Join(strings.Fields(s), " "))
	if s != "" && !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "?") {
		s += "."
	}
	return s
}

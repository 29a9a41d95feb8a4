package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
)

const (
	// userDataMost is what the API takes; a bigger file is not read to its end.
	userDataMost = 64 << 10
	keyFileMost  = 1 << 20
)

// defaultKeys are tried, in this order, when no key is named.
var defaultKeys = []string{"id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub"}

// sshKeys gives the public keys for an instance: those named (a key itself or a
// file with keys), or those in ~/.ssh that are there.
func (a *app) sshKeys(ctx context.Context, named []string) ([]string, error) {
	var keys []string
	for _, n := range named {
		if looksLikeKey(n) {
			keys = append(keys, strings.TrimSpace(n))
			continue
		}
		got, err := keyFile(ctx, n)
		if err != nil {
			return nil, err
		}
		keys = append(keys, got...)
	}
	if len(named) > 0 {
		return keys, nil
	}
	for _, name := range defaultKeys {
		path := filepath.Join(a.home, ".ssh", name)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		got, err := keyFile(ctx, path)
		if err != nil {
			return nil, err
		}
		keys = append(keys, got...)
	}
	return keys, nil
}

func looksLikeKey(s string) bool {
	kind, rest, two := strings.Cut(strings.TrimSpace(s), " ")
	return two && rest != "" && (strings.HasPrefix(kind, "ssh-") || strings.HasPrefix(kind, "ecdsa-") || strings.HasPrefix(kind, "sk-"))
}

func keyFile(ctx context.Context, path string) ([]string, error) {
	b, err := readFile(ctx, path, keyFileMost)
	if errors.Is(err, errUnanswered) {
		return nil, err
	}
	if err != nil {
		return nil, usagef("--ssh-key: %v; give a public key or a file that holds one.", err)
	}
	if strings.Contains(string(b), "PRIVATE KEY") {
		return nil, usagef("--ssh-key: %s is a private key, which must not leave this machine; give its .pub file.", path)
	}
	var keys []string
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			keys = append(keys, line)
		}
	}
	if !slices.ContainsFunc(keys, looksLikeKey) {
		return nil, usagef("--ssh-key: %s holds no public key.", path)
	}
	return keys, nil
}

// readFile reads at most a little more than most bytes, so that too much is
// refused by whoever counts it and a device is not read for ever. An interrupt
// ends the wait for a pipe that nobody writes to.
func readFile(ctx context.Context, path string, most int64) ([]byte, error) {
	return awaited(ctx, func() ([]byte, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return io.ReadAll(io.LimitReader(f, most+1))
	})
}

// userData reads what --user-data names: a file, or standard input for "-".
func (a *app) userData(ctx context.Context, from string) (string, error) {
	var b []byte
	var err error
	switch from {
	case "":
		return "", nil
	case "-":
		b, err = awaited(ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(a.in, userDataMost+1)) })
	default:
		b, err = readFile(ctx, from, userDataMost)
	}
	if errors.Is(err, errUnanswered) {
		return "", err
	}
	if err != nil {
		return "", usagef("--user-data: %v.", err)
	}
	if len(b) > userDataMost {
		return "", usagef("--user-data: %s has more than 64 KiB.", from)
	}
	return string(b), nil
}

// sizeIn reads a size as people write it, in whole units of unit. A bare number
// counts units.
func sizeIn(flag, s string, unit int64, name string) (int, error) {
	if n, err := strconv.Atoi(strings.TrimSpace(s)); err == nil {
		return n, nil
	}
	n, err := units.RAMInBytes(s)
	if err != nil {
		return 0, usagef("--%s %q: write a size, as 4GB or 512MiB; a bare number counts %s.", flag, s, name)
	}
	if n < 0 || n == math.MaxInt64 { // it has no sign, so it ran over
		return 0, usagef("--%s %q: that is more than any host has.", flag, s)
	}
	if n%unit != 0 {
		return 0, usagef("--%s %q: use whole %s.", flag, s, name)
	}
	return int(n / unit), nil
}

func memorySize(s string) (int, error) { return sizeIn("memory", s, units.MiB, "MiB") }

func diskSize(s string) (int, error) { return sizeIn("disk", s, units.GiB, "GiB") }

// newLabels reads "k=v" pairs.
func newLabels(args []string) (map[string]string, error) {
	if len(args) == 0 {
		return nil, nil
	}
	m := make(map[string]string, len(args))
	for _, arg := range args {
		k, v, pair := strings.Cut(arg, "=")
		if !pair || k == "" {
			return nil, usagef("--label %q: write key=value.", arg)
		}
		m[k] = v
	}
	return m, nil
}

// labelChanges reads "k=v" to set and "k-" to remove.
func labelChanges(args []string) (map[string]*string, error) {
	if len(args) == 0 {
		return nil, nil
	}
	m := make(map[string]*string, len(args))
	for _, arg := range args {
		k, v, pair := strings.Cut(arg, "=")
		if pair && k != "" {
			m[k] = &v
			continue
		}
		gone, minus := strings.CutSuffix(arg, "-")
		if !minus || gone == "" {
			return nil, usagef("--label %q: write key=value to set it or key- to remove it.", arg)
		}
		m[gone] = nil
	}
	return m, nil
}

// period reads --month, or --from and --to. Zero times leave the choice to the
// server.
func period(month, from, to string) (start, end time.Time, err error) {
	if month != "" {
		if from != "" || to != "" {
			return start, end, usagef("--month goes without --from and --to.")
		}
		if start, err = time.Parse("2006-01", month); err != nil {
			return start, end, usagef("--month %q: write it as 2026-11.", month)
		}
		return start, start.AddDate(0, 1, 0), nil
	}
	if start, err = moment("from", from); err != nil {
		return start, end, err
	}
	end, err = moment("to", to)
	return start, end, err
}

func moment(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02T15:04Z07:00", "2006-01-02", "2006-01"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, usagef("--%s %q: write a day or a moment in UTC, as 2026-11-01 or 2026-11-01T12:00:00Z.", flag, s)
}

// usageError is a mistake on the command line.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

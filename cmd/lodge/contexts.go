package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"

	"sigs.k8s.io/yaml"

	"lodge/api/wire"
)

// contexts is the file that lodge keeps for a person.
type contexts struct {
	Current  string            `json:"current,omitempty"`
	Contexts map[string]*place `json:"contexts,omitempty"`
}

// place is a context: a lodged, and who one is there.
type place struct {
	URL       string    `json:"url"`
	CA        string    `json:"ca,omitempty"` // PEM; "": the system's authorities
	Tenant    string    `json:"tenant,omitempty"`
	User      string    `json:"user,omitempty"`
	Token     string    `json:"token,omitempty"`
	ExpiresAt wire.Time `json:"expires_at,omitzero"` // of a session; a token that was given has none
}

// contextFileMost bounds what is read; a context has a few KiB.
const contextFileMost = 4 << 20

var contextName = regexp.MustCompile(`^[A-Za-z0-9\[][A-Za-z0-9._:@\[\]-]{0,62}$`)

func checkContextName(name string) error {
	if !contextName.MatchString(name) {
		return usagef("%q is no name for a context; use up to 63 letters, digits, dots, dashes, colons and underscores.", name)
	}
	return nil
}

func (f *contexts) find(name string) (*place, error) {
	if c := f.Contexts[name]; c != nil {
		return c, nil
	}
	return nil, notFoundf("There is no context %s; `lodge context list` shows those there are.", shown(name))
}

// contextFile is where the contexts are.
func (a *app) contextFile() string {
	dir := a.getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(dir) { // as the XDG rules want it
		dir = filepath.Join(a.home, ".config")
	}
	return filepath.Join(dir, "lodge", "config.yaml")
}

// readContexts gives no contexts where there is no file. What a parser says of a
// broken one is not told: it could quote a token.
func (a *app) readContexts() (*contexts, error) {
	f := &contexts{Contexts: map[string]*place{}}
	path := a.contextFile()
	if info, err := os.Stat(path); err == nil && info.Mode()&fs.ModeNamedPipe != 0 { // nobody may ever write to it
		return nil, noContexts(path)
	}
	b, err := readFile(context.Background(), path, contextFileMost)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read contexts: %w", err)
	}
	a.noteOpenFile(path)
	if len(b) > contextFileMost || yaml.UnmarshalStrict(b, f) != nil {
		return nil, noContexts(path)
	}
	for name, c := range f.Contexts {
		if c == nil {
			delete(f.Contexts, name)
		}
	}
	if f.Contexts == nil {
		f.Contexts = map[string]*place{}
	}
	return f, nil
}

func noContexts(path string) error {
	return codedError{exitError, fmt.Sprintf("%s is not a file of contexts; put it right, or move it away and log in again.", path)}
}

// noteOpenFile says once when others can read the tokens, or put a lodged of their
// own there. lodge makes no such file, and its next change ends it.
func (a *app) noteOpenFile(path string) {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o077 == 0 || a.noted {
		return
	}
	a.noted = true
	a.note("Others on this machine may read or change %s, where your tokens are; run `chmod 600 %s`.", path, path)
}

// contextsKeepable looks whether a change of the contexts could be kept, without
// making one.
func (a *app) contextsKeepable() error {
	path := a.contextFile()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keep contexts: %w", err)
	}
	part, err := os.CreateTemp(filepath.Dir(realPath(path)), ".config-*")
	if err != nil {
		return fmt.Errorf("keep contexts: %w", err)
	}
	return errors.Join(part.Close(), os.Remove(part.Name()))
}

// changeContexts does one change at a time, whole or not at all.
func (a *app) changeContexts(change func(*contexts) error) error {
	path := a.contextFile()
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keep contexts: %w", err)
	}
	lock, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("keep contexts: %w", err)
	}
	defer lock.Close() // and unlocks
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("keep contexts: lock %s: %w", dir, err)
	}
	f, err := a.readContexts()
	if err != nil {
		return err
	}
	if err := change(f); err != nil {
		return err
	}
	b, err := yaml.Marshal(f)
	if err != nil {
		return err
	}
	if err := replaceFile(path, b); err != nil {
		return fmt.Errorf("keep contexts: %w", err)
	}
	return nil
}

func realPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// replaceFile writes path for its owner alone; a kill leaves the old one or the
// new one. A link stays one.
func replaceFile(path string, b []byte) (err error) {
	path = realPath(path)
	part, err := os.CreateTemp(filepath.Dir(path), ".config-*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(part.Name())
		}
	}()
	_, err = part.Write(b)
	if err == nil {
		err = part.Sync()
	}
	if err = errors.Join(err, part.Close()); err != nil {
		return err
	}
	return os.Rename(part.Name(), path)
}

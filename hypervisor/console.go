package hypervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"lodge/cloud"
)

// ConsoleLog returns at most max bytes from the end of what the guest wrote to
// its serial console, over restarts; nothing when it never wrote. It works
// without libvirt. Returns CodeInvalid for an id that is no file name.
func (h *Host) ConsoleLog(ctx context.Context, id string, max int) ([]byte, error) {
	if filepath.Base(id) != id {
		return nil, cloud.Errorf(cloud.CodeInvalid, "The guest's id is not an id.")
	}
	path := consolePath(h.opts.ConsoleDir, id)
	text, err := tail(path, max)
	if err == nil && len(text) < max {
		// virtlogd begins a new file every max_size bytes (2 MiB) and keeps the last one as ".0".
		var older []byte
		older, err = tail(path+".0", max-len(text))
		text = append(older, text...)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("console log of guest %s: %w", id, err)
	}
	return text, nil
}

// tail reads the last max bytes of a file that may still grow.
func tail(path string, max int) ([]byte, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return nil, err
	}
	from := st.Size() - int64(max)
	if from < 0 {
		from = 0
	}
	return io.ReadAll(io.NewSectionReader(file, from, int64(max)))
}

// removeConsole removes a guest's console log and what virtlogd rotated away.
func removeConsole(dir, id string) error {
	if filepath.Base(id) != id {
		return nil
	}
	path := consolePath(dir, id)
	old, err := filepath.Glob(path + ".*")
	if err != nil {
		return err
	}
	for _, f := range append(old, path) {
		if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lodge/cloud"
)

// folder keeps each backup as a folder of its own: an archive and a manifest. One
// that is being made has a hidden name, which is locked as long as somebody makes
// it, and gets its own name at the end.
type folder struct{ dir string }

const partPrefix = ".part-"

func (f folder) List(context.Context) ([]string, error) {
	entries, err := os.ReadDir(f.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the backups: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if !IsID(e.Name()) {
			continue
		}
		if _, err := os.Stat(filepath.Join(f.dir, e.Name(), manifestName)); err == nil {
			ids = append(ids, e.Name())
		}
	}
	return newestFirst(ids), nil
}

func (f folder) Manifest(_ context.Context, id string) (Manifest, error) {
	if !IsID(id) {
		return Manifest{}, noBackup(id)
	}
	r, err := os.Open(filepath.Join(f.dir, id, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return Manifest{}, noBackup(id)
	}
	if err != nil {
		return Manifest{}, fmt.Errorf("read the manifest: %w", err)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxManifest))
	if err != nil {
		return Manifest{}, fmt.Errorf("read the manifest: %w", err)
	}
	return decode(b, id)
}

func (f folder) Put(_ context.Context, id string, write func(io.Writer) (Manifest, error)) (err error) {
	if err := f.make(); err != nil {
		return err
	}
	part := filepath.Join(f.dir, partPrefix+id)
	if err := os.Mkdir(part, 0o700); err != nil {
		return fmt.Errorf("begin a backup: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(part))
		}
		if Full(err) {
			err = cloud.Wrap(cloud.CodeDiskFull, err, "The disk of %s, where the backups are kept, is full; free some space and try again.", f.dir)
		}
	}()
	lock, err := lockFolder(part)
	if err != nil {
		return fmt.Errorf("begin a backup: %w", err)
	}
	defer lock.Close()
	data := filepath.Join(part, "data")
	w, err := os.OpenFile(data, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	m, err := write(w)
	if err = errors.Join(err, w.Sync(), w.Close()); err != nil {
		return fmt.Errorf("write a backup: %w", err)
	}
	if err := os.Rename(data, filepath.Join(part, m.Archive.Name)); err != nil {
		return err
	}
	text, err := m.encode()
	if err != nil {
		return err
	}
	if err := writeSync(filepath.Join(part, manifestName), append(text, '\n')); err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	if err := errors.Join(syncDir(part), os.Rename(part, filepath.Join(f.dir, id))); err != nil {
		return fmt.Errorf("end a backup: %w", err)
	}
	return syncDir(f.dir)
}

// make makes the folder where there is none, and none above it: what is not there is
// a disk that is not mounted, more likely, and what is written in its place is lost
// with this one.
func (f folder) make() error {
	if _, err := os.Stat(f.dir); err == nil {
		return nil
	}
	err := os.Mkdir(f.dir, 0o700)
	switch {
	case err == nil || errors.Is(err, fs.ErrExist):
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return cloud.Wrap(cloud.CodeNotFound, err, "The folder for backups %s is not there, and neither is the one that it is in; mount its disk, or make that folder.", f.dir)
	}
	return fmt.Errorf("make the folder of backups: %w", err)
}

func (f folder) Open(_ context.Context, m Manifest) (io.ReadCloser, error) {
	r, err := os.Open(filepath.Join(f.dir, m.ID, m.Archive.Name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the archive of backup %s is not there", m.ID)
	}
	return r, err
}

func (f folder) Delete(ctx context.Context, id string) error {
	if !IsID(id) {
		return noBackup(id)
	}
	part := filepath.Join(f.dir, partPrefix+id)
	err := os.Rename(filepath.Join(f.dir, id), part)
	if errors.Is(err, fs.ErrNotExist) {
		return noBackup(id)
	}
	if err != nil {
		return fmt.Errorf("delete a backup: %w", err)
	}
	return os.RemoveAll(part)
}

func (f folder) Sweep(_ context.Context, hostID string, now time.Time) (n int, err error) {
	entries, err := os.ReadDir(f.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		id, part := strings.CutPrefix(e.Name(), partPrefix)
		if !part || !IsID(id) {
			continue
		}
		path := filepath.Join(f.dir, e.Name())
		info, err := e.Info()
		if err != nil {
			continue // it went meanwhile
		}
		if !mine(id, hostID) && now.Sub(info.ModTime()) < leftoverAge {
			continue // another machine's: its lock is not seen from here
		}
		lock, err := lockFolder(path)
		if err != nil {
			continue // somebody makes it right now
		}
		err = os.RemoveAll(path)
		lock.Close()
		if err != nil {
			return n, fmt.Errorf("remove what is left of a backup: %w", err)
		}
		n++
	}
	return n, nil
}

// mine reports whether a backup is of the host.
func mine(id, hostID string) bool { return hostIn(id) == fmt.Sprintf("%.8s", hostID) }

// hostIn is what the name of a backup has of its host's id.
func hostIn(id string) string {
	_, host, _ := strings.Cut(strings.TrimSuffix(id, bySchedule), "-")
	return host
}

// lockFolder takes a folder for this process, for as long as the file is open.
func lockFolder(path string) (*os.File, error) {
	d, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func writeSync(path string, b []byte) error {
	w, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return errors.Join(err, w.Sync(), w.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

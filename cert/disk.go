package cert

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"lodge/cloud"
)

// folder is the folder of the own CA.
type folder struct {
	dir string
	log *slog.Logger
}

// The files, in the order in which they are first written. Each one is of use
// only with those before it.
const (
	caKeyFile  = "ca.key"
	caCertFile = "ca.crt"
	serverFile = "server.pem" // certificate and key together: they cannot come apart
)

func openFolder(dir string, log *slog.Logger) (folder, error) {
	f := folder{dir: dir, log: log}
	if dir == "" {
		return f, cloud.Errorf(cloud.CodeInvalid, "No folder is named for the certificate authority of lodge.")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return f, diskError(err, dir)
	}
	// As good as it goes: the folder above may not be ours to read.
	_ = syncDir(filepath.Dir(dir))
	if err := f.shut("", 0o700); err != nil {
		return f, err
	}
	for _, name := range []string{caKeyFile, caCertFile, serverFile} {
		// A kill may have left one, with a key in it.
		if err := os.Remove(f.part(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return f, diskError(err, f.part(name))
		}
	}
	return f, nil
}

func (f folder) path(name string) string { return filepath.Join(f.dir, name) }
func (f folder) part(name string) string { return filepath.Join(f.dir, "."+name+".part") }

// shut takes what others may do to a file away; "" is the folder itself.
func (f folder) shut(name string, mode fs.FileMode) error {
	path := f.path(name)
	info, err := os.Stat(path)
	if err != nil {
		return diskError(err, path)
	}
	if info.Mode().Perm()&^mode == 0 {
		return nil
	}
	f.log.Warn("certificate authority was open to others", "path", path, "mode", info.Mode().Perm().String())
	if err := os.Chmod(path, mode); err != nil {
		return diskError(err, path)
	}
	return nil
}

// read gives the bytes of a file; nil when there is none.
func (f folder) read(name string) ([]byte, error) {
	b, err := os.ReadFile(f.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, diskError(err, f.path(name))
	}
	return b, nil
}

// readKey is read for a file that holds a key.
func (f folder) readKey(name string) ([]byte, error) {
	b, err := f.read(name)
	if b == nil || err != nil {
		return nil, err
	}
	return b, f.shut(name, 0o600)
}

// write makes a file whole or not at all, and on the disk when it returns.
func (f folder) write(name string, data []byte, mode fs.FileMode) error {
	part := f.part(name)
	_ = os.Remove(part)
	err := writeSync(part, data, mode)
	if err == nil {
		err = os.Rename(part, f.path(name))
	}
	if err != nil {
		_ = os.Remove(part)
		return diskError(err, f.path(name))
	}
	if err := syncDir(f.dir); err != nil {
		return diskError(err, f.dir)
	}
	return nil
}

func writeSync(path string, data []byte, mode fs.FileMode) error {
	// O_EXCL: a file with more permissive a mode is not taken over.
	w, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	if err == nil {
		err = w.Sync()
	}
	return errors.Join(err, w.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func diskError(err error, path string) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return cloud.Wrap(cloud.CodeDiskFull, err, "There is no space left for %s; free some on its file system.", path)
	}
	return cloud.Wrap(cloud.CodeStorage, err, "The certificate file %s cannot be read or written; see to its permissions and its disk.", path)
}

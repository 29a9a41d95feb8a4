package store

import (
	"errors"
	"io/fs"
	"os"

	"lodge/cloud"
)

// named are the files that a database is written to, as they were when it was
// opened. Whoever removes or replaces one under a running lodged sees no error:
// SQLite goes on with a file that no name leads to, and all of it is gone with the
// process.
type named struct {
	path string
	main fs.FileInfo
	log  bool // there was a write-ahead log; a file system may have none
}

func nameFiles(path string) (named, error) {
	main, err := os.Stat(path)
	if err != nil {
		return named{}, err
	}
	_, err = os.Stat(path + "-wal")
	return named{path, main, err == nil}, nil
}

// there returns CodeUnavailable while what is written would be lost. Call it with a
// transaction open: SQLite makes its log anew when nobody has the database open.
func (n named) there() error {
	main, err := os.Stat(n.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return lost(n.path + " was removed")
	case err != nil:
		return lost(err.Error())
	case !os.SameFile(main, n.main):
		return lost(n.path + " is another file than the one that lodged opened")
	}
	if n.log {
		if _, err := os.Stat(n.path + "-wal"); err != nil {
			return lost(n.path + "-wal was removed")
		}
	}
	return nil
}

func lost(what string) error {
	return cloud.Wrap(cloud.CodeUnavailable, errors.New(what), "The file of the database is not where it was, so nothing is changed; the log of lodged says which.")
}

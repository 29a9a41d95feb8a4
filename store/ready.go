package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/mattn/go-sqlite3"
	"golang.org/x/sys/unix"

	"lodge/cloud"
)

// readyRoom is what has to be free again behind a full disk, in bytes. The
// write-ahead log is written over from its beginning, so that a small change may
// still find a place in it where most find none.
const readyRoom = 1 << 20

// Ready returns nil when the store takes writes. Returns CodeUnavailable when
// the writer is held for too long or the file cannot be written, and when a read
// or a change has met damage in it; CodeDiskFull when there is no space.
//
// An empty change costs no write, and finds no full disk. So once a change was
// refused, Ready tries one that is written, until that is taken.
func (d *DB) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, d.opts.BusyTimeout)
	defer cancel()
	if d.damage.seen.Load() {
		return cloud.Wrap(cloud.CodeUnavailable, damaged("a read or a change met damage"),
			"The database of lodge is damaged; restore a backup with `lodged backup restore latest --replace`. `lodged --check` says what of it is broken.")
	}
	refused := d.refused.Load()
	err := d.write(ctx, time.Time{}, cloud.Caller{}, "ready", func(t *tx) error {
		if !refused {
			var one int
			return t.row(`SELECT 1`).Scan(&one)
		}
		if err := roomAgain(d.path); err != nil {
			return err
		}
		// SQLite writes no page that would stay as it is.
		if _, err := t.exec(`INSERT INTO schema_migrations (version, name) VALUES (-1, '')`); err != nil {
			return err
		}
		_, err := t.exec(`DELETE FROM schema_migrations WHERE version = -1`)
		return err
	})
	if refused && err == nil {
		d.refused.Store(false)
	}
	return err
}

// roomAgain returns SQLite's own error while there is less than readyRoom.
func roomAgain(path string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(path), &st); err != nil {
		return fmt.Errorf("space of the database: %w", err)
	}
	if int64(st.Bavail)*st.Bsize < readyRoom {
		return sqlite3.Error{Code: sqlite3.ErrFull}
	}
	return nil
}

// refusesWrites reports whether the file or its file system took no change.
func refusesWrites(err error) bool {
	var se sqlite3.Error
	if !errors.As(err, &se) {
		return false
	}
	switch se.Code {
	case sqlite3.ErrFull, sqlite3.ErrReadonly, sqlite3.ErrIoErr, sqlite3.ErrCantOpen, sqlite3.ErrPerm:
		return true
	}
	return false
}

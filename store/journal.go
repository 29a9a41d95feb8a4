package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	"github.com/mattn/go-sqlite3"
)

// heal rolls back what a process has left half written in a file that was not in
// WAL yet, as at its first opening and at the first one behind a restore. Whoever
// may write does so at the first read; whoever may only read is refused until then.
// A file without a rollback journal is not opened.
// https://www.sqlite.org/lockingv3.html#hot_journals
func heal(ctx context.Context, path string) error {
	info, err := os.Stat(path + "-journal")
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	if err == nil {
		_, err = os.Stat(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // SQLite does not take it for that of a new file
	}
	if err != nil {
		return fmt.Errorf("journal of the database %s: %w", path, err)
	}
	s, err := connectOne(ctx, path, url.Values{"mode": {"rw"}, "_busy_timeout": {"5000"}, "_synchronous": {"FULL"}})
	if err != nil {
		return unreadable(path, err)
	}
	var tables int
	err = errors.Join(s.conn.QueryRowContext(ctx, `SELECT COUNT(*) FROM sqlite_master`).Scan(&tables), s.close())
	var se sqlite3.Error
	if errors.As(err, &se) && se.Code == sqlite3.ErrReadonly {
		return fmt.Errorf("database %s: a write to it was cut off, and what its journal has cannot be put back, for it cannot be written: %w", path, err)
	}
	return unreadableOrNil(path, err)
}

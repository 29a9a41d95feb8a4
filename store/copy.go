package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/mattn/go-sqlite3"

	"lodge/cloud"
)

// copyPages is how many pages are copied between two looks at the context: 16
// MiB.
const copyPages = 4096

// Copy writes the database file at src to dst, as it was at one moment, while
// others, of this process or another one, read and write it. dst must not be
// there; it is one file, for its owner alone, and on the disk when Copy returns.
//
// It is SQLite's backup interface on a read transaction: it takes the pages as
// they are, so a copy is checked by what is checked in it, holds up no writer
// (WAL), and does not begin again when somebody writes. VACUUM INTO would build
// the file anew from what it can read.
func Copy(ctx context.Context, src, dst string) (err error) {
	if err := createNew(dst); err != nil {
		return fmt.Errorf("copy the database: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("copy the database %s: %w", src, err)
			_ = os.Remove(dst)
		}
	}()
	from, err := connectRead(ctx, src)
	if err != nil {
		return err
	}
	defer from.close()
	to, err := connectOne(ctx, dst, url.Values{"mode": {"rw"}, "_synchronous": {"OFF"}})
	if err != nil {
		return err
	}
	if err := copyInto(ctx, to, from); err != nil {
		return errors.Join(err, to.close())
	}
	// Out of WAL: the copy is one file.
	if _, err := to.conn.ExecContext(ctx, `PRAGMA journal_mode = DELETE`); err != nil {
		return errors.Join(err, to.close())
	}
	if err := to.close(); err != nil {
		return err
	}
	return syncFile(dst)
}

func createNew(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// single is one connection to a file.
type single struct {
	db   *sql.DB
	conn *sql.Conn
}

func connectRead(ctx context.Context, path string) (single, error) {
	if err := heal(ctx, path); err != nil {
		return single{}, err
	}
	return connectOne(ctx, path, url.Values{"mode": {"ro"}, "_busy_timeout": {"5000"}})
}

func connectOne(ctx context.Context, path string, q url.Values) (single, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return single{}, err
	}
	db, err := sql.Open("sqlite3", dsn(abs, q))
	if err != nil {
		return single{}, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return single{}, errors.Join(err, db.Close())
	}
	return single{db, conn}, nil
}

// reads reads by the pool, which makes a second connection.
func (s single) reads(ctx context.Context) reads { return reads{db: s.db, ctx: ctx} }

func (s single) close() error { return errors.Join(s.conn.Close(), s.db.Close()) }

// raw runs f on the driver's own connection.
func (s single) raw(f func(*sqlite3.SQLiteConn) error) error {
	return s.conn.Raw(func(c any) error {
		sc, ok := c.(*sqlite3.SQLiteConn)
		if !ok {
			return fmt.Errorf("the driver is %T", c)
		}
		return f(sc)
	})
}

func copyInto(ctx context.Context, to, from single) error {
	// The first read begins the transaction, and with it the moment that is copied.
	if _, err := from.conn.ExecContext(ctx, `BEGIN`); err != nil {
		return err
	}
	var n int
	if err := from.conn.QueryRowContext(ctx, `SELECT COUNT(*) FROM sqlite_master`).Scan(&n); err != nil {
		return err
	}
	return to.raw(func(dst *sqlite3.SQLiteConn) error {
		return from.raw(func(src *sqlite3.SQLiteConn) error {
			b, err := dst.Backup("main", src, "main")
			if err != nil {
				return err
			}
			for {
				done, err := b.Step(copyPages)
				if err == nil {
					err = ctx.Err()
				}
				if err != nil {
					return errors.Join(err, b.Close())
				}
				if done {
					return b.Finish()
				}
			}
		})
	})
}

// openCopy opens a file that is a copy itself: it keeps none before an upgrade.
func openCopy(path string) (*DB, error) { return openWith(path, Options{}, false) }

// ReadCopy opens a copy, brings it up to date, and reads its ledger.
func ReadCopy(ctx context.Context, path string, read func(cloud.Ledger) error) error {
	d, err := openCopy(path)
	if err != nil {
		return err
	}
	return errors.Join(d.ReadLedger(ctx, read), d.Close())
}

// MarkCopy opens a copy that was taken from a backup, brings it up to date, and
// writes into it that it was. It is one file afterwards.
func MarkCopy(ctx context.Context, path string, now time.Time, backupID string, taken time.Time) error {
	d, err := openCopy(path)
	if err != nil {
		return err
	}
	if err := errors.Join(d.MarkRestored(ctx, now, backupID, taken), d.Close()); err != nil {
		return err
	}
	return Settle(ctx, path)
}

// Settle brings what is in a file's log into the file and takes it out of WAL, so
// that it can be moved alone. Nobody else may have it open.
func Settle(ctx context.Context, path string) error {
	s, err := connectOne(ctx, path, url.Values{"mode": {"rw"}, "_synchronous": {"FULL"}})
	if err != nil {
		return err
	}
	_, err = s.conn.ExecContext(ctx, `PRAGMA journal_mode = DELETE`)
	if err = errors.Join(err, s.close()); err != nil {
		return err
	}
	return syncFile(path)
}

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// Facts are what a database file says of itself.
type Facts struct {
	Schema    int // the newest migration in it; 0: it is not one of lodge
	Instances int // that are not gone
	Hosts     []string
	At        time.Time // its newest event or look at the host; zero: it has none
	Links     int64     // of the ledger's chain
	Head      [32]byte  // its last hash
}

// Inspect reads the facts of a file, which is not changed, whatever its schema.
func Inspect(ctx context.Context, path string) (f Facts, err error) {
	s, err := connectRead(ctx, path)
	if err != nil {
		return f, unreadable(path, err)
	}
	defer func() { err = errors.Join(err, s.close()) }()
	r := s.reads(ctx)
	ours, err := exists(r, `SELECT 1 FROM sqlite_master WHERE name = 'schema_migrations'`)
	if err != nil || !ours {
		return f, unreadableOrNil(path, err)
	}
	if err := r.row(`SELECT COALESCE(MAX(version), 0) FROM schema_migrations`).Scan(&f.Schema); err != nil {
		return f, unreadable(path, err)
	}
	if err := r.row(`SELECT COUNT(*) FROM instance WHERE gone_at IS NULL`).Scan(&f.Instances); err != nil {
		return f, unreadable(path, err)
	}
	if f.Hosts, err = collect(r, func(rows *sql.Rows) (id string, err error) { return id, rows.Scan(&id) }, `SELECT id FROM host ORDER BY id`); err != nil {
		return f, unreadable(path, err)
	}
	var at sql.NullInt64
	if err := r.row(`
		SELECT MAX(at)
		FROM (
		  SELECT MAX(at) AS at FROM event
		  UNION ALL
		  SELECT MAX(heartbeat_at) FROM host
		)`).Scan(&at); err != nil {
		return f, unreadable(path, err)
	}
	f.At = moment(at)
	chained, err := exists(r, `SELECT 1 FROM sqlite_master WHERE name = 'usage_seal'`)
	if err != nil || !chained {
		return f, unreadableOrNil(path, err)
	}
	var head []byte
	err = r.row(`SELECT n, hash FROM usage_seal ORDER BY n DESC LIMIT 1`).Scan(&f.Links, &head)
	if errors.Is(err, sql.ErrNoRows) {
		return f, nil
	}
	copy(f.Head[:], head)
	return f, unreadableOrNil(path, err)
}

func unreadableOrNil(path string, err error) error {
	if err == nil {
		return nil
	}
	return unreadable(path, err)
}

// Blank reports whether a file is no database yet: it is missing, empty, or one of
// SQLite's without a table. The last is what is left of a young database when its
// write-ahead log is lost, for all that was written is in that. The file is not
// changed, but for a write that was cut off, which is rolled back; one that cannot be read is not blank, and opening it says why.
func Blank(path string) bool {
	if heal(context.Background(), path) != nil {
		return false
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return true
	}
	if err != nil || checkHeader(path) != nil {
		return false
	}
	seen, unlink := linked(path)
	defer unlink()
	s, err := connectRead(context.Background(), seen)
	if err != nil {
		return false
	}
	defer s.close()
	tables, err := exists(s.reads(context.Background()), `SELECT 1 FROM sqlite_master`)
	return err == nil && !tables
}

// examine opens a file that begins as one of SQLite's, and changes nothing of it.
func examine(ctx context.Context, path string) (single, error) {
	if err := heal(ctx, path); err != nil {
		return single{}, err
	}
	if err := checkHeader(path); err != nil {
		return single{}, err
	}
	s, err := connectRead(ctx, path)
	if err != nil {
		return single{}, unreadable(path, err)
	}
	return s, nil
}

// Newest is the newest version of the schema that this lodge knows.
func Newest() int { return newest() }

// Check reads a whole file and says what of it is broken: pages, indexes,
// constraints, and references to rows that are not there. Nothing: it is whole.
func Check(ctx context.Context, path string) (wrong []string, err error) {
	s, err := examine(ctx, path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	rows, err := s.conn.QueryContext(ctx, `PRAGMA integrity_check(20)`)
	if err != nil {
		return nil, unreadable(path, err)
	}
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, errors.Join(unreadable(path, err), rows.Close())
		}
		if text != "ok" {
			wrong = append(wrong, "integrity: "+text)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return wrong, unreadable(path, err)
	}
	if rows, err = s.conn.QueryContext(ctx, `PRAGMA foreign_key_check`); err != nil {
		return wrong, unreadable(path, err)
	}
	for rows.Next() && len(wrong) < 40 {
		var table, parent string
		var row sql.NullInt64
		var key int
		if err := rows.Scan(&table, &row, &parent, &key); err != nil {
			return wrong, errors.Join(unreadable(path, err), rows.Close())
		}
		wrong = append(wrong, fmt.Sprintf("references: row %d of %s names a row of %s that is not there", row.Int64, table, parent))
	}
	return wrong, unreadableOrNil(path, errors.Join(rows.Err(), rows.Close()))
}

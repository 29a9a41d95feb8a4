//lint:file-ignore ST1005 What is wrong with a database file is a sentence for whoever starts lodged.

package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// quickCheckLimit is the size in bytes up to which a file is read through when
// it is opened; beyond it the check would delay the start too much, and what is
// damaged is seen when it is read.
var quickCheckLimit int64 = 64 << 20

type migration struct {
	version int
	name    string
	sql     string
}

// migrations returns the embedded ones in order. A number may be left out, and
// none is given twice.
func migrations() []migration {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql") // sorted
	if err != nil {
		panic(err) // the pattern is constant
	}
	out := make([]migration, 0, len(names))
	last := 0
	for _, path := range names {
		name := strings.TrimSuffix(strings.TrimPrefix(path, "migrations/"), ".sql")
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.Atoi(number)
		if err != nil || version <= last {
			panic("store: migration " + name + " is out of order")
		}
		last = version
		text, err := migrationFiles.ReadFile(path)
		if err != nil {
			panic(err) // it was just listed
		}
		out = append(out, migration{version, name, string(text)})
	}
	return out
}

// newest is the schema version that this lodge makes.
func newest() int {
	all := migrations()
	return all[len(all)-1].version
}

// inspect looks at the file without changing it, but for a write that was cut off,
// which is rolled back. It returns nil for a file that
// is missing, empty, or a database of this lodge or an older one.
func inspect(abs string) error {
	if err := heal(context.Background(), abs); err != nil {
		return err
	}
	info, err := os.Stat(abs)
	if errors.Is(err, fs.ErrNotExist) {
		return create(abs)
	}
	if err != nil {
		return fmt.Errorf("database %s: %w", abs, err)
	}
	if info.IsDir() {
		return fmt.Errorf("The database path %s is a directory; name a file in it.", abs)
	}
	if info.Size() == 0 {
		return nil
	}
	if err := checkHeader(abs); err != nil {
		return err
	}
	seen, unlink := linked(abs)
	defer unlink()
	db, err := sql.Open("sqlite3", dsn(seen, url.Values{"mode": {"ro"}, "_busy_timeout": {"5000"}}))
	if err != nil {
		return fmt.Errorf("database %s: %w", abs, err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if err := checkVersion(db, abs); err != nil {
		return err
	}
	if info.Size() > quickCheckLimit {
		return nil
	}
	var verdict string
	if err := db.QueryRow(`PRAGMA quick_check(1)`).Scan(&verdict); err != nil {
		return unreadable(abs, err)
	}
	if verdict != "ok" {
		return unreadable(abs, damaged(verdict))
	}
	return nil
}

const lookPrefix = ".lodge-look-"

// Sweep removes what a process that was killed while it looked at a database has
// left beside it: second names, which would keep the space of the file and its log.
// Call it while nobody else may look.
func Sweep(path string) error {
	left, err := filepath.Glob(filepath.Join(globbed(filepath.Dir(path)), lookPrefix+"*"))
	for _, dir := range left {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

// linked is another name of the file and its log, in a folder of its own. Whoever
// only reads a database has SQLite make side files where there are none, and write
// over the index of the log that a crash has left. So that is made here, and what
// may have to be looked into is left to the byte as it was. Where there are no
// hard links it is abs itself.
func linked(abs string) (path string, unlink func()) {
	dir, err := os.MkdirTemp(filepath.Dir(abs), lookPrefix)
	if err != nil {
		return abs, func() {}
	}
	unlink = func() { _ = os.RemoveAll(dir) }
	path = filepath.Join(dir, filepath.Base(abs))
	err = os.Link(abs, path)
	if err == nil {
		if err = os.Link(abs+"-wal", path+"-wal"); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		unlink()
		return abs, func() {}
	}
	return path, unlink
}

// checkHeader reads the magic itself: SQLite takes a file of a few bytes for an
// empty database and writes over it.
func checkHeader(abs string) error {
	f, err := os.Open(abs)
	if err != nil {
		return fmt.Errorf("database %s: %w", abs, err)
	}
	defer f.Close()
	const magic = "SQLite format 3\x00"
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(f, head); err != nil || string(head) != magic {
		return unreadable(abs, damaged("it does not begin as one"))
	}
	return nil
}

// create makes the file for its owner alone: it holds hashes of secrets and the
// user data of tenants. SQLite gives its side files the same mode.
func create(abs string) error {
	f, err := os.OpenFile(abs, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	return f.Close()
}

func checkVersion(db *sql.DB, abs string) error {
	var tables, ours int
	err := db.QueryRow(`
		SELECT
		  COUNT(*),
		  COALESCE(SUM(CASE WHEN name = 'schema_migrations' THEN 1 ELSE 0 END), 0)
		FROM sqlite_master
		WHERE type = 'table'`).Scan(&tables, &ours)
	if err != nil {
		return unreadable(abs, err)
	}
	if ours == 0 {
		if tables == 0 {
			return nil
		}
		return fmt.Errorf("The file %s is a SQLite database, but not one of lodge; choose another path.", abs)
	}
	var version int
	if err := db.QueryRow(`SELECT COALESCE(MAX(version), 0) FROM schema_migrations`).Scan(&version); err != nil {
		return unreadable(abs, err)
	}
	if known := newest(); version > known {
		return fmt.Errorf("The database %s has schema version %d and this lodge knows versions up to %d; start the newer lodge that wrote it, or restore a backup. Nothing was changed.",
			abs, version, known)
	}
	return nil
}

type damaged string

func (d damaged) Error() string { return string(d) }

// unreadable says what to do about a file that SQLite cannot read.
func unreadable(abs string, err error) error {
	if Damaged(err) {
		return damagedFile(abs, err)
	}
	return fmt.Errorf("database %s: %w", abs, err)
}

// migrate applies what the file lacks, one transaction each.
func migrate(w *sql.DB) error {
	_, err := w.Exec(`
		CREATE TABLE IF NOT EXISTS schema_migrations (
		  version INTEGER NOT NULL PRIMARY KEY,
		  name    TEXT    NOT NULL
		)`)
	if err != nil {
		return err
	}
	missing, err := lacks(reads{db: w, ctx: context.Background()})
	if err != nil {
		return err
	}
	for i, m := range missing {
		if err := apply(w, m, i == len(missing)-1); err != nil {
			return fmt.Errorf("migration %s: %w", m.name, err)
		}
	}
	return nil
}

// lacks are the migrations that a database has not had.
func lacks(s source) (out []migration, err error) {
	versions, err := collect(s, func(rows *sql.Rows) (v int, err error) { return v, rows.Scan(&v) }, `SELECT version FROM schema_migrations`)
	if err != nil {
		return nil, err
	}
	for _, m := range migrations() {
		if !slices.Contains(versions, m.version) {
			out = append(out, m)
		}
	}
	return out, nil
}

func apply(w *sql.DB, m migration, last bool) error {
	st, err := w.Begin()
	if err != nil {
		return err
	}
	defer st.Rollback()
	t := &tx{sql: st, ctx: context.Background()}
	var done int
	if err := t.row(`SELECT COUNT(*) FROM schema_migrations WHERE version = ?`, m.version).Scan(&done); err != nil || done > 0 {
		return err
	}
	from, err := underWay(t)
	if err != nil {
		return err
	}
	if from == 0 {
		from = m.version
	}
	if _, err := t.exec(m.sql); err != nil {
		return err
	}
	if _, err := t.exec(`INSERT INTO schema_migrations (version, name) VALUES (?, ?)`, m.version, m.name); err != nil {
		return err
	}
	if err := t.markUpgrade(from, m.version, last); err != nil {
		return err
	}
	atStatement()
	return st.Commit()
}

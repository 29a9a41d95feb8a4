// Package store keeps lodge's rows in one SQLite file: what is wanted, what was
// seen, what happened, and the usage ledger.
//
// Every exported method is one transaction or one read. A change is atomic with
// its permission check, its address, its event and its usage. The store never
// calls a host, never reads a clock and never invents an id: times and ids
// arrive as arguments. Errors are *cloud.Error with the code for the client.
//
// Values that are returned may share maps and slices with other callers: read
// them, never change them.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	_ "github.com/mattn/go-sqlite3" // the driver "sqlite3"

	"lodge/cloud"
)

// Options are the settings of a store. Zero values mean the defaults.
type Options struct {
	// NetworkPool is where the subnets of new tenants come from; 10.77.0.0/16.
	NetworkPool netip.Prefix
	// SubnetBits is the prefix length of a new tenant's subnet; 24.
	SubnetBits int
	// Readers is how many reads run side by side; 4.
	Readers int
	// BusyTimeout is how long a write waits for another process; 5 s.
	BusyTimeout time.Duration
	// Observe hears of every change and its commit; nil: nobody.
	Observe cloud.Observe
}

func (o Options) withDefaults() Options {
	if !o.NetworkPool.IsValid() {
		o.NetworkPool = netip.MustParsePrefix("10.77.0.0/16")
	}
	if o.SubnetBits == 0 {
		o.SubnetBits = 24
	}
	if o.Readers <= 0 {
		o.Readers = 4
	}
	if o.BusyTimeout <= 0 {
		o.BusyTimeout = 5 * time.Second
	}
	return o
}

// DB is an open store. Its methods may be called side by side.
type DB struct {
	path   string
	files  named
	opts   Options
	writer *sql.DB // one connection
	reader *sql.DB // a pool that cannot write
	bell   chan struct{}
	cache  *instanceCache

	// floor is the instant, in milliseconds, behind the last step of the clock:
	// nothing is written with an earlier time.
	floor atomic.Int64

	// refused says that a change found no place on the disk, or a file that cannot
	// be written, and that Ready has not yet seen the end of that.
	refused atomic.Bool

	// damage is what reads and changes have met of it.
	damage damage

	identities *identities
	operations *operationBell
	events     *eventBell
	acts       acts       // what budgets and schedules did since the start
	changes    *eventBell // heard by who keeps budgets: everyTenant only
}

// Open opens the database file with the default options, creating it when it is
// not there, and brings its schema up to date.
//
// Returns an error, and leaves the file as it was, when it is damaged, is not a
// database of lodge, or was written by a newer lodge.
func Open(path string) (*DB, error) { return OpenWith(path, Options{}) }

// OpenWith is Open with options. A file of an older lodge is copied beside itself
// first, as PATH.before-NNNN; the newest three of such copies stay. One whose upgrade
// was killed half way keeps the copy that it has.
func OpenWith(path string, o Options) (*DB, error) { return openWith(path, o, true) }

func openWith(path string, o Options, keep bool) (*DB, error) {
	o = o.withDefaults()
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	d, err := openAt(abs, o, keep)
	if err != nil {
		return nil, Refusal(abs, err)
	}
	return d, nil
}

func openAt(abs string, o Options, keep bool) (_ *DB, err error) {
	if err := inspect(abs); err != nil {
		return nil, err
	}
	if keep {
		if err := keepCopy(context.Background(), abs); err != nil {
			return nil, err
		}
	}
	d := &DB{path: abs, opts: o, bell: make(chan struct{}, 1), cache: newInstanceCache(cacheEntries, cacheBytes), identities: newIdentities(), operations: newOperationBell(), events: newEventBell(), changes: newEventBell()}
	if d.writer, err = connect(abs, o, true, 1); err != nil {
		return nil, fmt.Errorf("open database %s: %w", abs, err)
	}
	if err := migrate(d.writer); err != nil {
		d.writer.Close()
		return nil, unreadable(abs, err)
	}
	if d.reader, err = connect(abs, o, false, o.Readers); err != nil {
		d.writer.Close()
		return nil, fmt.Errorf("open database %s for reading: %w", abs, err)
	}
	if d.files, err = nameFiles(abs); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	if err := d.openLedger(context.Background()); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// connect makes a pool. Every setting is in the DSN: a PRAGMA run on a pool
// reaches one connection only.
func connect(abs string, o Options, write bool, n int) (*sql.DB, error) {
	q := url.Values{}
	q.Set("mode", "rwc")
	q.Set("_busy_timeout", strconv.FormatInt(o.BusyTimeout.Milliseconds(), 10))
	q.Set("_foreign_keys", "1")
	q.Set("_stmt_cache_size", "200")
	if write {
		q.Set("_journal_mode", "WAL")
		q.Set("_synchronous", "FULL")
		q.Set("_txlock", "immediate")
		// Without it a REPLACE would delete rows behind the ledger's triggers.
		q.Set("_recursive_triggers", "1")
	} else {
		q.Set("mode", "rw")
		q.Set("_query_only", "1")
	}
	db, err := sql.Open("sqlite3", dsn(abs, q))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	if err := db.Ping(); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

func dsn(abs string, q url.Values) string {
	u := url.URL{Scheme: "file", OmitHost: true, Path: abs, RawQuery: q.Encode()}
	return u.String()
}

// Close waits for running calls and closes the file.
func (d *DB) Close() error {
	rerr := d.reader.Close()
	if err := d.writer.Close(); err != nil {
		return fmt.Errorf("close database: %w", err)
	}
	if rerr != nil {
		return fmt.Errorf("close database readers: %w", rerr)
	}
	return nil
}

// Bell rings after each commit that changed a wish. It carries nothing and may
// ring once for many: whoever hears it looks for itself.
func (d *DB) Bell() <-chan struct{} { return d.bell }

func (d *DB) ring() {
	select {
	case d.bell <- struct{}{}:
	default:
	}
}

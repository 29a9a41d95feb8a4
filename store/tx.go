package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/mattn/go-sqlite3"

	"lodge/cloud"
)

// tx is one write transaction. It holds the write lock from its start, so what
// it has read stays true until it commits.
type tx struct {
	sql    *sql.Tx
	ctx    context.Context
	now    time.Time // UTC, whole milliseconds
	caller cloud.Caller
	opts   Options
	wished bool // a wish changed: ring after the commit

	answer          any           // what the change returns, for an answer that is kept
	pending         string        // the id of what is still to be made when it has committed
	onceScope       string        // of the caller that came: a login becomes somebody
	freed           cloud.Amounts // what the tenant has less, once nothing is left of what was deleted
	subject         auditSubject
	identityChanged bool // who may do what has changed: identities are read anew

	begun []string // operations that the caller may follow
	ended []string // operations whose waiters are woken after the commit

	floor  int64      // nothing is written with an earlier time
	ledger ledgerEnds // of the ledger, as far as it goes

	evented map[string]bool // tenants that events were written for
	acts    map[cloud.Act]int64
	carried bool // bytes were written
}

// notBefore is a time in whole milliseconds, floor when it is earlier.
func notBefore(at time.Time, floor int64) time.Time {
	return time.UnixMilli(max(at.UnixMilli(), floor)).UTC()
}

// source is where rows are read from: a transaction or the pool of readers.
type source interface {
	rows(query string, args ...any) (lines, error)
	row(query string, args ...any) line
}

func (t *tx) rows(query string, args ...any) (lines, error) {
	rows, err := t.sql.QueryContext(t.ctx, query, args...)
	return lines{rows, nil}, err // write has the error in the end
}

func (t *tx) row(query string, args ...any) line {
	return line{t.sql.QueryRowContext(t.ctx, query, args...), nil}
}

// atStatement is called before every statement that writes and before every
// commit; tests end the process there.
var atStatement = func() {}

// exec runs a statement and returns how many rows it changed.
func (t *tx) exec(query string, args ...any) (int64, error) {
	atStatement()
	res, err := t.sql.ExecContext(t.ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// insert inserts one row and returns the number that SQLite gave it.
func (t *tx) insert(query string, args ...any) (int64, error) {
	atStatement()
	res, err := t.sql.ExecContext(t.ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

// returning runs a statement that writes, and returns what it gives of its rows.
func returning[T any](t *tx, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	atStatement()
	return collect(t, scan, query, args...)
}

// write runs f in one immediate transaction and commits when f returns nil.
// Only the wait for the writer ends with ctx: what has begun is finished, and
// the driver needs no watcher per statement.
func (d *DB) write(ctx context.Context, now time.Time, c cloud.Caller, what string, f func(*tx) error) (err error) {
	ctx, end := d.opts.Observe.Begin(ctx, cloud.WorkTransaction, what, "")
	defer func() { end(err) }()
	defer func() {
		if refusesWrites(err) {
			d.refused.Store(true)
		}
		d.damage.note(err)
	}()
	conn, err := d.writer.Conn(ctx)
	if err != nil {
		return fail(what, err)
	}
	defer conn.Close()
	ctx = context.WithoutCancel(ctx)
	st, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return fail(what, err)
	}
	defer st.Rollback() // after a commit it does nothing
	if err := d.files.there(); err != nil {
		return fail(what, err)
	}
	floor := d.floor.Load()
	t := &tx{sql: st, ctx: ctx, now: notBefore(now, floor), floor: floor, caller: c, opts: d.opts, onceScope: onceScope(c)}
	if err := t.replay(); err != nil {
		return fail(what, err)
	}
	if err := f(t); err != nil {
		return fail(what, err)
	}
	if c.DryRun {
		return fail(what, t.rehearsal(what, d.read(ctx)))
	}
	if err := t.keepAnswer(); err != nil {
		return fail(what, err)
	}
	if err := t.audit(what); err != nil {
		return fail(what, err)
	}
	if err := d.commit(ctx, st); err != nil {
		return fail(what, err)
	}
	if t.identityChanged {
		d.identities.forget()
	}
	d.events.ring(t.evented)
	d.acts.add(t.acts)
	if len(t.evented) > 0 || t.carried {
		d.changes.ring(map[string]bool{everyTenant: true})
	}
	if t.wished {
		d.ring()
	}
	d.operations.ring(t.ended)
	if c.Begin != nil {
		c.Begin.Begun = append(c.Begin.Begun, t.begun...)
	}
	return nil
}

func (d *DB) commit(ctx context.Context, st *sql.Tx) (err error) {
	_, end := d.opts.Observe.Begin(ctx, cloud.WorkCommit, "commit", "")
	defer func() { end(err) }()
	atStatement()
	return st.Commit()
}

// reads is the pool of readers as a source. A read is too short to be worth
// interrupting; one that was given up before it began is not begun.
type reads struct {
	db  *sql.DB
	ctx context.Context
	met *damage // nil: nobody asks
}

func (d *DB) read(ctx context.Context) reads {
	return reads{db: d.reader, ctx: context.WithoutCancel(ctx), met: &d.damage}
}

func (r reads) rows(query string, args ...any) (lines, error) {
	rows, err := r.db.QueryContext(r.ctx, query, args...)
	r.met.note(err)
	return lines{rows, r.met}, err
}

func (r reads) row(query string, args ...any) line {
	return line{r.db.QueryRowContext(r.ctx, query, args...), r.met}
}

// fail gives err the code that the client shall see. What is a *cloud.Error
// already stays as it is.
func fail(what string, err error) error {
	if err == nil {
		return nil
	}
	var ce *cloud.Error
	var replay *cloud.Replay
	var rehearsal *cloud.Rehearsal
	if errors.As(err, &ce) || errors.As(err, &replay) || errors.As(err, &rehearsal) {
		return err
	}
	cause := fmt.Errorf("%s: %w", what, err)
	var se sqlite3.Error
	if errors.As(err, &se) {
		switch se.Code {
		case sqlite3.ErrFull:
			return cloud.Wrap(cloud.CodeDiskFull, cause, "The disk that holds lodge's database is full, so nothing was changed; free some space and try again.")
		case sqlite3.ErrBusy, sqlite3.ErrLocked:
			return cloud.Wrap(cloud.CodeUnavailable, cause, "The database is busy and nothing was changed; try again.")
		case sqlite3.ErrCorrupt, sqlite3.ErrNotADB:
			return cloud.Wrap(cloud.CodeUnavailable, cause, damagedSentence)
		case sqlite3.ErrReadonly, sqlite3.ErrIoErr, sqlite3.ErrCantOpen, sqlite3.ErrNomem, sqlite3.ErrPerm:
			return cloud.Wrap(cloud.CodeUnavailable, cause, "The database cannot be written or read now; the log of lodged has the cause.")
		}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return cloud.Wrap(cloud.CodeUnavailable, cause, "The request was given up before the database took it; try again.")
	}
	return cloud.Wrap(cloud.CodeInternal, cause, "%s", cloud.MessageOf(err))
}

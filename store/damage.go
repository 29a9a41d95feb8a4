package store

import (
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/mattn/go-sqlite3"

	"lodge/cloud"
)

// damagedSentence is for whoever asked for what could not be read.
const damagedSentence = "The database of lodge is damaged, so this cannot be read or changed; its operator has to restore a backup."

// Damaged reports whether SQLite met a file that is not as it wrote it.
func Damaged(err error) bool {
	var d damaged
	var se sqlite3.Error
	return errors.As(err, &d) || errors.As(err, &se) && (se.Code == sqlite3.ErrCorrupt || se.Code == sqlite3.ErrNotADB)
}

// Refusal is why nothing is done with the database at path, when err is of one
// that is damaged; another error stays as it is.
func Refusal(path string, err error) error {
	var told unusable
	if !Damaged(err) || errors.As(err, &told) {
		return err
	}
	return unreadable(path, err)
}

// unusable is an error that says what to do about a damaged database.
type unusable struct{ error }

func (u unusable) Unwrap() error { return u.error }

func damagedFile(path string, err error) error {
	var ce *cloud.Error
	if errors.As(err, &ce) && ce.Cause != nil {
		err = ce.Cause // its sentence is for clients
	}
	return unusable{fmt.Errorf("The database %s is damaged or is not a SQLite file; restore a backup, or move it away to start anew: %w", path, err)} //lint:ignore ST1005 It is a sentence for whoever starts lodged.
}

// damage is whether something met damage since the file was opened. It does not
// end: what is damaged stays so until another file is opened.
type damage struct{ seen atomic.Bool }

func (d *damage) note(err error) {
	if err != nil && d != nil && Damaged(err) {
		d.seen.Store(true)
	}
}

// lines and line are rows and the row of a read; what they meet is noted.
type lines struct {
	*sql.Rows
	met *damage
}

func (l lines) Err() error {
	err := l.Rows.Err()
	l.met.note(err)
	return err
}

type line struct {
	row *sql.Row
	met *damage
}

func (l line) Scan(into ...any) error {
	err := l.row.Scan(into...)
	l.met.note(err)
	return err
}

package store

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"lodge/cloud"
)

// ledgerEnds is how far the ledger goes: its chain, and its closed hours as of the
// first look at them. A transaction that records reads both, so they are read
// together, once.
type ledgerEnds struct {
	read   bool
	closed time.Time // the beginning of the last closed hour, zero for none
	n      int64     // of the last link
	hash   [sha256.Size]byte
}

func (t *tx) ledgerEnds() (*ledgerEnds, error) {
	if t.ledger.read {
		return &t.ledger, nil
	}
	var closed, n sql.NullInt64
	var hash []byte
	err := t.row(`
		SELECT
		  c.hour,
		  s.n,
		  s.hash
		FROM (SELECT MAX(hour) AS hour FROM usage_close) c
		LEFT JOIN usage_seal s ON s.n = (SELECT MAX(n) FROM usage_seal)`).Scan(&closed, &n, &hash)
	if err != nil {
		return nil, err
	}
	t.ledger = ledgerEnds{read: true, closed: moment(closed), n: n.Int64}
	copy(t.ledger.hash[:], hash)
	return &t.ledger, nil
}

// sealable is a row of a kind, with all of it that the chain covers.
type sealable struct {
	ref int64
	row []byte
}

// seal covers a row that will not change any more. row is all of it.
func (t *tx) seal(kind cloud.SealKind, ref int64, row []byte) error {
	return t.sealAll(kind, []sealable{{ref, row}})
}

// sealAll is seal for rows of one kind, in one statement.
func (t *tx) sealAll(kind cloud.SealKind, rows []sealable) error {
	end, err := t.ledgerEnds()
	if err != nil || len(rows) == 0 {
		return err
	}
	args := make([]any, 0, 4*len(rows))
	for _, r := range rows {
		end.n++
		end.hash = cloud.Seal(end.hash, kind, r.row)
		args = append(args, end.n, string(kind), r.ref, bytes.Clone(end.hash[:]))
	}
	const values = `(?, ?, ?, ?)`
	_, err = t.exec(`
		INSERT INTO usage_seal (
		  n,
		  kind,
		  ref,
		  hash
		) VALUES `+values+strings.Repeat(", "+values, len(rows)-1), args...)
	return err
}

const sealQuery = `
		SELECT
		  n,
		  kind,
		  ref,
		  hash
		FROM usage_seal`

func lastSeal(s source) (cloud.UsageSeal, error) {
	var seal cloud.UsageSeal
	var hash []byte
	err := s.row(sealQuery+` ORDER BY n DESC LIMIT 1`).Scan(&seal.N, &seal.Kind, &seal.Ref, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return seal, nil
	}
	copy(seal.Hash[:], hash)
	return seal, err
}

func scanSeal(rows *sql.Rows) (s cloud.UsageSeal, err error) {
	var hash []byte
	if err = rows.Scan(&s.N, &s.Kind, &s.Ref, &hash); err == nil {
		err = whole(s.Hash[:], hash)
	}
	return s, err
}

// whole copies a hash, which has neither less nor more.
func whole(to, hash []byte) error {
	if len(hash) != len(to) {
		return fmt.Errorf("a hash of %d bytes", len(hash))
	}
	copy(to, hash)
	return nil
}

// sealOld covers what a lodge without the chain has left: called once, when the
// schema has got it. Rows written since are covered by their own transactions.
func (t *tx) sealOld() error { return t.sealMissing(func(cloud.SealKind) bool { return true }) }

// sealOpen covers the openings of what a lodge that did not cover them has left
// open: called once, when the schema has got that.
func (t *tx) sealOpen() error {
	return t.sealMissing(func(kind cloud.SealKind) bool { return kind == cloud.SealOpened })
}

func (t *tx) sealMissing(wanted func(cloud.SealKind) bool) error {
	l := ledger{sql: t.sql, ctx: t.ctx}
	type link struct {
		kind cloud.SealKind
		ref  int64
	}
	var old []link
	err := l.Unsealed(func(kind cloud.SealKind, ref int64) error {
		if wanted(kind) {
			old = append(old, link{kind, ref})
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, k := range old {
		row, err := l.sealed(k.kind, k.ref)
		if err == nil {
			err = t.seal(k.kind, k.ref, row)
		}
		if err != nil {
			return fmt.Errorf("seal %s %d: %w", k.kind, k.ref, err)
		}
	}
	return nil
}

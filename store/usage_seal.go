package store

import (
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"

	"lodge/cloud"
)

// chain is the end of the chain, read once in a transaction.
type chain struct {
	read bool
	n    int64
	hash [sha256.Size]byte
}

// seal covers a row that will not change any more. row is all of it.
func (t *tx) seal(kind cloud.SealKind, ref int64, row []byte) error {
	if !t.chain.read {
		s, err := lastSeal(t)
		if err != nil {
			return err
		}
		t.chain = chain{read: true, n: s.N, hash: s.Hash}
	}
	t.chain.n++
	t.chain.hash = cloud.Seal(t.chain.hash, kind, row)
	_, err := t.exec(`
		INSERT INTO usage_seal (
		  n,
		  kind,
		  ref,
		  hash
		) VALUES (?, ?, ?, ?)`, t.chain.n, string(kind), ref, t.chain.hash[:])
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
	err = rows.Scan(&s.N, &s.Kind, &s.Ref, &hash)
	copy(s.Hash[:], hash)
	return s, err
}

// sealOld covers what a lodge without the chain has left: called once, when the
// schema has got it. Rows written since are covered by their own transactions.
func (t *tx) sealOld() error {
	l := ledger{t.sql, t.ctx}
	type link struct {
		kind cloud.SealKind
		ref  int64
	}
	var old []link
	err := l.Unsealed(func(kind cloud.SealKind, ref int64) error {
		old = append(old, link{kind, ref})
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

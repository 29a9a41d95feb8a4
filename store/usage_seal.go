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
	ivs, err := collect(t, scanInterval, intervalQuery+`
		WHERE ended_at IS NOT NULL
		  AND NOT EXISTS (SELECT 1 FROM usage_seal s WHERE s.kind = 'interval' AND s.ref = usage_interval.seq)
		ORDER BY seq`)
	if err != nil {
		return err
	}
	for _, iv := range ivs {
		if err := t.seal(cloud.SealInterval, iv.Seq, iv.Sealed()); err != nil {
			return fmt.Errorf("seal interval %d: %w", iv.Seq, err)
		}
	}
	drops, err := collect(t, scanDrop, dropQuery+`
		WHERE NOT EXISTS (SELECT 1 FROM usage_seal s WHERE s.kind = 'drop' AND s.ref = usage_drop.seq)
		ORDER BY seq`)
	if err != nil {
		return err
	}
	for _, d := range drops {
		if err := t.seal(cloud.SealDrop, d.Seq, d.Sealed()); err != nil {
			return fmt.Errorf("seal drop %d: %w", d.Seq, err)
		}
	}
	facts, err := collect(t, scanFact, factQuery+`
		WHERE NOT EXISTS (SELECT 1 FROM usage_seal s WHERE s.kind = 'fact' AND s.ref = usage_fact.seq)
		ORDER BY seq`)
	if err != nil {
		return err
	}
	for _, f := range facts {
		if err := t.seal(cloud.SealFact, f.Seq, f.Sealed()); err != nil {
			return fmt.Errorf("seal fact %d: %w", f.Seq, err)
		}
	}
	return nil
}

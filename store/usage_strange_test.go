package store_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/meter"
	"lodge/store"
)

// A value that lodge cannot have written is a finding with its row, and what else is
// wrong is found too.
func TestVerifyReadsPastWhatCannotBeRead(t *testing.T) {
	for name, tc := range map[string]struct {
		stmt, table string
		row         int64
	}{
		"an amount that is text":        {`UPDATE usage_interval SET amount = 'abc' WHERE seq = 3`, "usage_interval", 3},
		"a beginning that is no number": {`UPDATE usage_interval SET started_at = started_at + 0.4 WHERE seq = 3`, "usage_interval", 3},
		"labels that are no JSON":       {`UPDATE usage_fact SET labels = '{' WHERE seq = 2`, "usage_fact", 2},
		"totals that are no JSON":       {`UPDATE usage_hour SET totals = '{' WHERE seq = 2`, "usage_hour", 2},
		"totals with a space":           {`UPDATE usage_hour SET totals = ' ' || totals WHERE seq = 2`, "usage_hour", 2},
		"a digest with a byte more":     {`UPDATE usage_hour SET digest = digest || x'00' WHERE seq = 2`, "usage_hour", 2},
		"a hash with a byte more":       {`UPDATE usage_seal SET hash = hash || x'00' WHERE n = 5`, "usage_seal", 5},
		"a link before the first":       {`INSERT INTO usage_seal VALUES (0, 'fact', 9999, randomblob(32))`, "usage_seal", 0},
		"an hour that is not closed":    {`DELETE FROM usage_close WHERE hour = (SELECT MIN(hour) + 3600000 FROM usage_close)`, "usage_close", noon.Add(2 * time.Hour).UnixMilli()},
		"an hour closed at another time": {`UPDATE usage_close SET closed_at = closed_at + 5 WHERE hour = (SELECT MIN(hour) FROM usage_close)`,
			"usage_close", noon.UnixMilli()},
		"a closed hour that is text": {`INSERT INTO usage_close VALUES ('abc', 'abd')`, "usage_close", 5},
		"a time that is text":        {`UPDATE usage_clock SET at_ns = 'abc'`, "usage_clock", 0},
		"a correction that is text":  {`INSERT INTO usage_recount SELECT 'abc', id FROM tenant LIMIT 1`, "usage_recount", 0},
		"lines of no invoice":        {`INSERT INTO invoice_line SELECT 77, 1, t.id, 0, 0, 'usage', 'r', 'r', 'cpu', 'vcpu', 'p', NULL, '1', '1', '0', '1' FROM tenant t LIMIT 1`, "invoice_line", 77},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			i := w.run("web1")
			w.later(30 * time.Minute)
			w.record(w.stopped(i))
			w.later(4 * time.Hour)
			w.closeHours()
			w.sound()
			w.loosely(tc.stmt)
			w.byHand(`UPDATE usage_fact SET name = 'forged' WHERE seq = 1`)
			r := w.verify()
			if !slices.ContainsFunc(r.Findings, func(f meter.Finding) bool {
				return f.Check == meter.CheckRow && f.Table == tc.table && f.Row == tc.row && strings.HasSuffix(f.Message, ".")
			}) {
				t.Errorf("the row is not named: %+v", r.Findings)
			}
			if name != "a hash with a byte more" { // it is missing from the chain, and all behind it does not fit
				w.finds(meter.CheckChain, "does not fit")
			}
		})
	}
}

// loosely is byHand without checks and foreign keys.
func (w *world) loosely(stmt string) {
	w.t.Helper()
	w.must(store.Exec(w.DB, `PRAGMA ignore_check_constraints = on`))
	w.must(store.Exec(w.DB, `PRAGMA foreign_keys = off`))
	w.byHand(stmt)
	w.must(store.Exec(w.DB, `PRAGMA foreign_keys = on`))
	w.must(store.Exec(w.DB, `PRAGMA ignore_check_constraints = off`))
}

// The heads that invoices bear, and one that was kept elsewhere, tell of a chain that
// was made anew and of one whose end was cut off.
func TestVerifyComparesHeads(t *testing.T) {
	w, _ := corrected(t)
	was := w.sound().Head
	withHead := func() meter.Report {
		t.Helper()
		var r meter.Report
		w.must(w.ReadLedger(ctx, func(l cloud.Ledger) (err error) {
			r, err = meter.Verify(l, was)
			return err
		}))
		return r
	}
	if r := withHead(); r.Wrong != 0 {
		t.Fatalf("got %+v", r.Findings)
	}
	heads := store.Query(t, w.DB, `SELECT 'UPDATE invoice SET head_hash = x''' || hex(head_hash) || ''' WHERE seq = ' || seq FROM invoice`)
	w.forge(`UPDATE usage_fact SET labels = '{"env":"x"}' WHERE seq = 1`)
	if r := withHead(); !slices.ContainsFunc(r.Findings, func(f meter.Finding) bool { return f.Check == meter.CheckHead && f.Row == was.N }) {
		t.Errorf("the head that was kept is not missed: %+v", r.Findings)
	}
	w.byHand(heads[1]) // as the customer's copy has it
	w.finds(meter.CheckHead, "the invoice INV-000002")

	w, _ = corrected(t)
	was = w.sound().Head
	w.byHand(`DELETE FROM usage_interval WHERE seq = (SELECT ref FROM usage_seal WHERE n = (SELECT MAX(n) FROM usage_seal))`, `DELETE FROM usage_seal WHERE n = (SELECT MAX(n) FROM usage_seal)`)
	if r := withHead(); !slices.ContainsFunc(r.Findings, func(f meter.Finding) bool {
		return f.Check == meter.CheckHead && strings.Contains(f.Message, "cut off")
	}) {
		t.Errorf("a chain that was cut off: %+v", r.Findings)
	}
}

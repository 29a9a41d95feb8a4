package store_test

import (
	"database/sql"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lodge/store"
)

// span is an interval of a slot; b is never for one that is open.
type span struct{ a, b int64 }

const never = int64(1) << 40

// Whatever rows a slot has, the trigger refuses just what shares a moment with
// one of them: it looks at two rows, and this at all.
func TestAnOverlapIsFoundWhereverItIs(t *testing.T) {
	w := newWorld(t)
	db := raw(t, w.path)
	rapid.Check(t, func(rt *rapid.T) {
		resource := rapid.StringMatching(`[a-z]{20}`).Draw(rt, "resource")
		var kept []span
		for range rapid.IntRange(1, 15).Draw(rt, "rows") {
			a := rapid.Int64Range(0, 30).Draw(rt, "from")
			s := span{a, a + rapid.Int64Range(1, 9).Draw(rt, "length")}
			end := sql.NullInt64{Int64: s.b, Valid: true}
			evidence := "seen"
			if rapid.IntRange(0, 7).Draw(rt, "open") == 0 {
				s.b, end, evidence = never, sql.NullInt64{}, ""
			}
			overlaps := false
			for _, k := range kept {
				overlaps = overlaps || (k.a < s.b && s.a < k.b)
			}
			_, err := db.Exec(`INSERT INTO usage_interval (tenant_id, resource_id, resource, slot, meter, amount, state, started_at, ended_at, evidence) VALUES (?, ?, 'r', 'cpu', 'vcpu', 1, 'running', ?, ?, ?)`,
				w.tenant.ID, resource, s.a, end, evidence)
			switch {
			case overlaps && (err == nil || !strings.Contains(err.Error(), "overlaps")):
				rt.Fatalf("%v beside %v: got %v", s, kept, err)
			case !overlaps && err != nil:
				rt.Fatalf("%v beside %v: %v", s, kept, err)
			case !overlaps:
				kept = append(kept, s)
			}
		}
	})
}

// What the ledger is asked while something is recorded, closed or reported does not
// grow with its history: each row is found by all that an index has.
func TestNoStatementWalksTheLedgersHistory(t *testing.T) {
	w := newWorld(t)
	for _, tc := range []struct {
		query string
		uses  []string
	}{
		{store.OpenQuery, []string{"usage_interval_open (resource_id=?)"}},
		{store.LastEndQuery, []string{"usage_interval_by_slot (resource_id=? AND slot=? AND meter=?)"}},
		{store.DuringQuery, []string{"(rowid=?)", "(tenant_id=? AND ended_at=? AND started_at<?)", "(tenant_id=? AND ended_at>?)"}},
		{store.DuringQueryOfAll, []string{"(rowid=?)", "(tenant_id=? AND ended_at=? AND started_at<?)", "(tenant_id=? AND ended_at>?)"}},
	} {
		var plan []string
		for _, line := range strings.Split(store.Plan(t, w.DB, tc.query, make([]any, strings.Count(tc.query, "?"))...), "\n") {
			if strings.HasPrefix(line, "SEARCH") || strings.HasPrefix(line, "SCAN") && !strings.HasPrefix(line, "SCAN t ") {
				plan = append(plan, line)
			}
		}
		if len(plan) != len(tc.uses) {
			t.Fatalf("%s\nis found by %q, want %q", tc.query, plan, tc.uses)
		}
		for n, uses := range tc.uses {
			if !strings.HasSuffix(plan[n], uses) {
				t.Errorf("%s\nis found by %q, want %q", tc.query, plan[n], uses)
			}
		}
	}
}

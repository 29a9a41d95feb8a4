package store

import (
	"testing"

	"lodge/cloud"
)

// LimitPages lets the file grow no more.
func LimitPages(t *testing.T, d *DB) {
	t.Helper()
	if _, err := d.writer.Exec(`PRAGMA max_page_count = 1`); err != nil { // SQLite raises it to the size
		t.Fatal(err)
	}
}

// CheckNoFile opens files of any size as those that are too big to be read through.
func CheckNoFile(t *testing.T) {
	was := quickCheckLimit
	quickCheckLimit = 0
	t.Cleanup(func() { quickCheckLimit = was })
}

// WriteByReader tries to write through the pool of readers.
func WriteByReader(d *DB) error {
	_, err := d.reader.Exec(`DELETE FROM flavor`)
	return err
}

// Plan is SQLite's plan of a query.
func Plan(t *testing.T, d *DB, query string, args ...any) string {
	t.Helper()
	rows, err := d.reader.Query(`EXPLAIN QUERY PLAN `+query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	plan := ""
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan += detail + "\n"
	}
	return plan
}

// DueQuery is the query of DueInstances.
const DueQuery = dueQuery

// WithCache makes the cache of instances small.
func WithCache(d *DB, entries, bytes int) { d.cache = newInstanceCache(entries, bytes) }

// Cached is how many instances are cached, and their cost in bytes.
func Cached(d *DB) (entries, bytes int) { return len(d.cache.byID), d.cache.held }

// Exec runs a statement through the writer, past every method.
func Exec(d *DB, query string, args ...any) error {
	_, err := d.writer.Exec(query, args...)
	return err
}

// Count is the single number of a query, past every method.
func Count(t testing.TB, d *DB, query string) (n int) {
	t.Helper()
	if err := d.reader.QueryRow(query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// RunningQuery is the query of the operations that a record may end.
const RunningQuery = runningQuery

// MaxTenantWaiters is how many of one tenant may wait for operations.
const MaxTenantWaiters = maxTenantWaiters

// Waiters is how many wait for operations.
func Waiters(d *DB) int {
	d.operations.mu.Lock()
	defer d.operations.mu.Unlock()
	return d.operations.waiters
}

// ListPlan is SQLite's plan of a list of instances, with each term of the
// selector found so often.
func ListPlan(t *testing.T, d *DB, tenantID string, f cloud.Filter, p cloud.Page, found ...int) string {
	t.Helper()
	s, err := listSpan(p, "instances", tenantID, f)
	if err != nil {
		t.Fatal(err)
	}
	q := instancesOf(chooseRoute(f.Labels, s.sort, append(found, make([]int, len(f.Labels))...)), tenantID, f, "")
	query := q.page(s)
	return Plan(t, d, query, q.args...)
}

// QuotaPlan is SQLite's plan of what a quota adds up.
func QuotaPlan(t *testing.T, d *DB, tenantID string) string {
	t.Helper()
	return Plan(t, d, usedQuery, tenantID, 0)
}

// Query gives the rows of a query as text, past every method.
func Query(t testing.TB, d *DB, query string, args ...any) (out []string) {
	t.Helper()
	rows, err := d.reader.Query(query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		out = append(out, text)
	}
	return out
}

// Term is the term that a list of instances is walked by; -1: by its order.
func Term(sel cloud.Selector, sort cloud.Sort, found ...int) int {
	return chooseRoute(sel, sort, found).term
}

// AtStatement calls f before every statement that writes and before every commit.
func AtStatement(f func()) { atStatement = f }

// The queries whose plans are tested.
const (
	OpenQuery        = openQuery
	LastEndQuery     = lastEndQuery
	DuringQuery      = duringQuery
	DuringQueryOfAll = duringQueryOfAll
)

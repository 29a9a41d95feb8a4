package store

import (
	"context"
	"database/sql"
	"maps"
	"sync"
	"time"

	"lodge/cloud"
)

// acts counts what budgets and schedules did, once it has committed.
type acts struct {
	mu    sync.Mutex
	count map[cloud.Act]int64
}

func (a *acts) add(some map[cloud.Act]int64) {
	if len(some) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.count == nil {
		a.count = map[cloud.Act]int64{}
	}
	for act, n := range some {
		a.count[act] += n
	}
}

func (a *acts) all() map[cloud.Act]int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := maps.Clone(a.count)
	if out == nil {
		out = map[cloud.Act]int64{}
	}
	return out
}

// acted notes something that the transaction does.
func (t *tx) acted(by cloud.Kind, what string) {
	if t.acts == nil {
		t.acts = map[cloud.Act]int64{}
	}
	t.acts[cloud.Act{By: by, What: what}]++
}

// ActStats is the state of budgets, schedules and webhooks, all tenants together.
func (d *DB) ActStats(ctx context.Context, now time.Time) (a cloud.ActStats, err error) {
	s := d.read(ctx)
	a.InForce, a.Held, a.Acts = map[cloud.BudgetAction]int64{}, map[cloud.Kind]int64{}, d.acts.all()
	var overdue, oldest sql.NullInt64
	err = s.row(`
		SELECT
		  (SELECT COUNT(*) FROM budget),
		  (SELECT COUNT(*) FROM schedule),
		  (SELECT COUNT(*) FROM webhook),
		  (SELECT MIN(stop_at) FROM budget_crossing WHERE lifted_at IS NULL AND action <> 'notify' AND stopped_at IS NULL AND stop_at <= ?),
		  (SELECT COUNT(*) FROM webhook_delivery WHERE next_at IS NOT NULL),
		  (SELECT COUNT(*) FROM webhook_delivery WHERE next_at IS NOT NULL AND attempts > 0),
		  (SELECT MIN(created_at) FROM webhook_delivery WHERE next_at IS NOT NULL),
		  (SELECT COUNT(*) FROM webhook_delivery WHERE given_up_at > ?)`, stamp(now), stamp(now.Add(-24*time.Hour))).
		Scan(&a.Budgets, &a.Schedules, &a.Webhooks, &overdue, &a.Pending, &a.Failing, &oldest, &a.GivenUp)
	if err != nil {
		return a, fail("stats of what acts", err)
	}
	a.Overdue, a.Oldest = moment(overdue), moment(oldest)
	for _, group := range []struct {
		query string
		put   func(word string, n int64)
	}{
		{`SELECT action, COUNT(*) FROM budget_crossing WHERE lifted_at IS NULL GROUP BY action`, func(w string, n int64) { a.InForce[cloud.BudgetAction(w)] = n }},
		{`SELECT stopped_by, COUNT(*) FROM instance WHERE stopped_by_id <> '' AND deleted_at IS NULL GROUP BY stopped_by`, func(w string, n int64) { a.Held[cloud.Kind(w)] = n }},
	} {
		_, err := collect(s, func(rows *sql.Rows) (none struct{}, err error) {
			var word string
			var n int64
			if err = rows.Scan(&word, &n); err == nil {
				group.put(word, n)
			}
			return none, err
		}, group.query)
		if err != nil {
			return a, fail("stats of what acts", err)
		}
	}
	return a, nil
}

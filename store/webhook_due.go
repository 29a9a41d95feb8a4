package store

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"lodge/cloud"
)

// The messages that are under way at once: so many of a webhook, of one whose last
// attempt failed, of a tenant, and of all of a tenant's webhooks that fail. The
// last leaves a place for one that does not.
const (
	perWebhook = 2
	perFailing = 1
	perTenant  = 4
	ofFailing  = perTenant - 1
)

// dueMessage is a message that may be sent, one of the first of its webhook.
type dueMessage struct {
	seq, nextAt         int64
	webhookID, tenantID string
}

// lastTry is how the last attempt of a webhook went.
type lastTry struct {
	at     int64
	failed bool
}

// chooseDue gives the messages to send, at most limit: what is under way counts for
// its webhook and tenant. A tenant's first comes before any second, and so it is
// among a tenant's webhooks; then the one that was tried least recently comes first.
func chooseDue(waiting []dueMessage, tried map[string]lastTry, busy []cloud.Delivery, limit int) (chosen []dueMessage) {
	ofWebhook, ofTenant, failing := map[string]int{}, map[string]int{}, map[string]int{}
	take := func(webhookID, tenantID string) {
		ofWebhook[webhookID]++
		ofTenant[tenantID]++
		if tried[webhookID].failed {
			failing[tenantID]++
		}
	}
	for _, m := range busy {
		take(m.WebhookID, m.TenantID)
	}
	may := func(m dueMessage) bool {
		if ofTenant[m.tenantID] >= perTenant {
			return false
		}
		if tried[m.webhookID].failed {
			return ofWebhook[m.webhookID] < perFailing && failing[m.tenantID] < ofFailing
		}
		return ofWebhook[m.webhookID] < perWebhook
	}
	before := func(a, b dueMessage) int {
		return cmp.Or(
			cmp.Compare(ofTenant[a.tenantID], ofTenant[b.tenantID]),
			cmp.Compare(ofWebhook[a.webhookID], ofWebhook[b.webhookID]),
			cmp.Compare(tried[a.webhookID].at, tried[b.webhookID].at),
			cmp.Compare(a.nextAt, b.nextAt),
			cmp.Compare(a.seq, b.seq),
		)
	}
	// Each round takes one of each tenant at most.
	for len(chosen) < limit {
		waiting = slices.DeleteFunc(waiting, func(m dueMessage) bool { return !may(m) })
		if len(waiting) == 0 {
			break
		}
		slices.SortFunc(waiting, before)
		round := map[string]bool{}
		waiting = slices.DeleteFunc(waiting, func(m dueMessage) bool {
			if round[m.tenantID] || len(chosen) == limit {
				return false
			}
			round[m.tenantID] = true
			take(m.webhookID, m.tenantID)
			chosen = append(chosen, m)
			return true
		})
	}
	return chosen
}

// DueDeliveries gives what is to be sent now beside the messages that are under way
// (busy), few of each webhook and tenant, at most limit, and when the next is due
// after that; zero: none is waiting.
func (d *DB) DueDeliveries(ctx context.Context, now time.Time, busy []cloud.Delivery, limit int) (due []cloud.Delivery, next time.Time, err error) {
	s := d.read(ctx)
	if due, err = dueNow(s, now, busy, limit); err != nil {
		return nil, next, fail("list deliveries", err)
	}
	var at sql.NullInt64
	err = s.row(`SELECT MIN(next_at) FROM webhook_delivery WHERE next_at > ?`, stamp(now)).Scan(&at)
	return due, moment(at), fail("list deliveries", err)
}

func dueNow(s source, now time.Time, busy []cloud.Delivery, limit int) ([]cloud.Delivery, error) {
	if limit <= 0 {
		return nil, nil
	}
	waiting, err := waitingMessages(s, now, busy)
	if err != nil || len(waiting) == 0 {
		return nil, err
	}
	tried, err := lastTries(s, now)
	if err != nil {
		return nil, err
	}
	var due []cloud.Delivery
	for _, m := range chooseDue(waiting, tried, busy, limit) {
		d, found, err := one(s, scanDelivery, deliveryQuery+` WHERE d.seq = ? AND d.next_at IS NOT NULL`, m.seq)
		if err != nil {
			return nil, err
		}
		if found { // else its webhook is gone since
			due = append(due, d)
		}
	}
	return due, nil
}

// waitingMessages gives the first messages of each webhook that are due and not
// under way.
func waitingMessages(s source, now time.Time, busy []cloud.Delivery) ([]dueMessage, error) {
	ids := []string{""} // no message has this one
	for _, m := range busy {
		ids = append(ids, m.ID)
	}
	these, args := marks(ids)
	return collect(s, func(rows *sql.Rows) (m dueMessage, err error) {
		err = rows.Scan(&m.seq, &m.nextAt, &m.webhookID, &m.tenantID)
		return m, err
	}, `
		SELECT q.seq, q.next_at, q.webhook_id, w.tenant_id
		FROM (
		  SELECT seq, next_at, webhook_id, ROW_NUMBER() OVER (PARTITION BY webhook_id ORDER BY next_at, seq) AS place
		  FROM webhook_delivery
		  WHERE next_at <= ?
		    AND id NOT IN (`+these+`)
		) q
		JOIN webhook w ON w.id = q.webhook_id
		WHERE q.place <= ?`, append(append([]any{stamp(now)}, args...), perWebhook)...)
}

// lastTries gives how the last attempt went of each webhook with something due, by
// its id; those under way are due still.
func lastTries(s source, now time.Time) (map[string]lastTry, error) {
	tried := map[string]lastTry{}
	_, err := collect(s, func(rows *sql.Rows) (l lastTry, err error) {
		var id string
		err = rows.Scan(&id, &l.at, &l.failed)
		tried[id] = l
		return l, err
	}, `
		SELECT webhook_id, last_at, last_error <> ''
		FROM (
		  SELECT webhook_id, last_at, last_error, ROW_NUMBER() OVER (PARTITION BY webhook_id ORDER BY last_at DESC, seq DESC) AS place
		  FROM webhook_delivery
		  WHERE last_at IS NOT NULL
		    AND webhook_id IN (SELECT webhook_id FROM webhook_delivery WHERE next_at <= ?)
		)
		WHERE place = 1`, stamp(now))
	return tried, err
}

package store

import (
	"time"

	"lodge/cloud"
)

// hourIntervals are the intervals that an hour was counted from when it was
// closed, as they were then: those whose opening the chain covers up to that link,
// open still when it covers their end later.
const hourIntervals = `
		SELECT
		  u.seq,
		  u.tenant_id,
		  u.resource_id,
		  u.resource,
		  u.slot,
		  u.meter,
		  u.amount,
		  u.state,
		  u.started_at,
		  CASE WHEN e.n <= ? THEN u.ended_at END,
		  CASE WHEN e.n <= ? THEN u.evidence ELSE '' END
		FROM usage_interval u
		LEFT JOIN usage_seal e ON e.kind = 'interval' AND e.ref = u.seq
		LEFT JOIN usage_seal o ON o.kind = 'opened' AND o.ref = u.seq
		WHERE u.tenant_id = ?
		  AND u.started_at < ?
		  AND (u.seq < (SELECT from_seq FROM usage_opening) OR o.n <= ?)
		  AND u.seq IN (
		    SELECT seq
		    FROM usage_interval
		    WHERE tenant_id = ?
		      AND ended_at IS NULL
		    UNION
		    SELECT seq
		    FROM usage_interval
		    WHERE tenant_id = ?
		      AND ended_at > ?
		    UNION
		    SELECT ref
		    FROM usage_seal
		    WHERE n > ?
		      AND kind = 'interval'
		  )`

// hourDrops are those of them that were dropped since.
const hourDrops = `
		SELECT
		  d.seq,
		  d.tenant_id,
		  d.resource_id,
		  d.resource,
		  d.slot,
		  d.meter,
		  d.amount,
		  d.state,
		  d.started_at,
		  NULL,
		  ''
		FROM usage_drop d
		JOIN usage_seal s ON s.kind = 'drop' AND s.ref = d.seq
		LEFT JOIN usage_seal o ON o.kind = 'opened' AND o.ref = d.seq
		WHERE s.n > ?
		  AND d.tenant_id = ?
		  AND d.started_at < ?
		  AND (d.seq < (SELECT from_seq FROM usage_opening) OR o.n <= ?)`

// hourLink is the link of the chain up to which all was known when a revision of an
// hour was made. Of a tenant that had nothing in it, Revision 0, it is the last one
// of any tenant up to that hour.
func hourLink(s source, h cloud.UsageHour) (n int64, err error) {
	if h.Revision > 0 {
		err = s.row(`SELECT COALESCE(MAX(n), 0) FROM usage_seal WHERE kind = 'hour' AND ref = ?`, h.Seq).Scan(&n)
		return n, err
	}
	err = s.row(`
		SELECT COALESCE(MAX(n), 0)
		FROM usage_seal
		WHERE kind = 'hour'
		  AND ref = (SELECT MAX(seq) FROM usage_hour WHERE hour <= ? AND revision = 1)`, stamp(h.Hour)).Scan(&n)
	return n, err
}

// hourKnown is what the revision h of an hour had to be made from: what the chain
// covered then. ok is false when nobody can tell, for the hour was closed before
// openings were covered.
func hourKnown(s source, h cloud.UsageHour) (of cloud.HourContent, ok bool, err error) {
	n, err := hourLink(s, h)
	if err != nil {
		return of, false, err
	}
	if ok, err = exists(s, `SELECT 1 FROM (SELECT n FROM usage_seal WHERE kind = 'opened' ORDER BY n LIMIT 1) WHERE n < ?`, n); err != nil || !ok {
		return of, false, err
	}
	end := stamp(h.Hour.Add(time.Hour))
	if of.Intervals, err = collect(s, scanInterval, hourIntervals, n, n, h.TenantID, end, n, h.TenantID, h.TenantID, stamp(h.Hour), n); err != nil {
		return of, false, err
	}
	drops, err := collect(s, scanInterval, hourDrops, n, h.TenantID, end, n)
	if err != nil {
		return of, false, err
	}
	of.Intervals = append(of.Intervals, drops...)
	late, err := collect(s, scanNumber, `SELECT ref FROM usage_seal WHERE n > ? AND kind = 'traffic'`, n)
	if err != nil {
		return of, false, err
	}
	isLate := make(map[int64]bool, len(late))
	for _, seq := range late {
		isLate[seq] = true
	}
	rows, err := trafficOfHour(s, h.TenantID, h.Hour)
	for _, u := range rows {
		if !isLate[u.Seq] {
			of.Traffic = append(of.Traffic, u)
		}
	}
	return of, err == nil, err
}

// HourKnown is what a revision of an hour had to be made from; ok is false when
// nobody can tell.
func (l ledger) HourKnown(h cloud.UsageHour) (of cloud.HourContent, ok bool, err error) {
	return hourKnown(l, h)
}

// explained reports whether what an hour is made from now differs from what it was
// closed with only by what the chain covers since. What else differs was changed
// beside lodge, and a correction would make that official.
func (t *tx) explained(last cloud.UsageHour, count cloud.CountHour) (bool, error) {
	of, ok, err := hourKnown(t, last)
	if err != nil || !ok {
		return err == nil, err
	}
	h := count(last.TenantID, last.Hour, of)
	return h.Lines == last.Lines && (h.Lines == 0 || h.Digest == last.Digest), nil
}

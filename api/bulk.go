package api

import (
	"math"
	"net/http"

	"lodge/api/wire"
	"lodge/cloud"
)

// bulk changes all instances of one tenant that a filter finds.
func (s *server) bulk(do cloud.BulkAction) handler {
	return func(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
		f, b, err := s.readBulk(r, c, do)
		if err != nil {
			return err
		}
		if r.Method == http.MethodPost {
			var body wire.PowerRequest
			if err := decodeOptional(w, r, &body); err != nil {
				return err
			}
			if do == cloud.BulkStart && body.Force {
				return invalid("force", "A start cannot be forced.")
			}
			b.Force = body.Force
		}
		result, err := s.Bulk.ChangeInstances(r.Context(), c, s.Now(), f, b)
		if err != nil {
			return err
		}
		status := http.StatusAccepted
		if b.DryRun {
			status = http.StatusOK
		}
		return reply(w, status, wireBulk(result))
	}
}

// readBulk reads which instances are meant. Everything has to be said: neither a
// selector that was forgotten nor a tenant that was left out means all.
func (s *server) readBulk(r *http.Request, c cloud.Caller, do cloud.BulkAction) (f cloud.Filter, b cloud.BulkChange, err error) {
	q := parseQuery(r, "tenant", "label", "all", "name_prefix", "state", "image", "flavor", "created_after", "created_before", "dry_run", "expect")
	b = cloud.BulkChange{Do: do, DryRun: q.flag("dry_run")}
	if q.Has("expect") {
		n := int(q.integer("expect", 0, 0, math.MaxInt32))
		b.Expect = &n
	}
	all := q.flag("all")
	f = s.readFilter(r, c, &q, instanceList)
	switch {
	case q.err != nil:
	case !q.Has("label") && !all:
		q.fail(invalid("label", "Say which instances are meant by a label selector, or all=true for every one that the other parameters leave."))
	case q.Has("label") && all:
		q.fail(invalid("all", "all=true goes without a label selector; leave one of them out."))
	case f.TenantID == "" && c.Operator:
		q.fail(invalid("tenant", "A change of many instances is of one tenant; name it."))
	}
	return f, b, q.err
}

func wireBulk(r cloud.BulkResult) wire.BulkResult {
	out := wire.BulkResult{
		DryRun: r.DryRun, Matched: r.Matched, Remaining: r.Remaining,
		Instances: make([]wire.BulkItem, 0, len(r.Changed)), Skipped: make([]wire.BulkSkipped, 0, len(r.Skipped)),
	}
	for _, i := range r.Changed {
		out.Instances = append(out.Instances, wire.BulkItem{ID: i.ID, Name: i.Name})
	}
	for _, i := range r.Skipped {
		out.Skipped = append(out.Skipped, wire.BulkSkipped{ID: i.ID, Name: i.Name, Code: string(i.Refused.Code), Detail: i.Refused.Message})
	}
	return out
}

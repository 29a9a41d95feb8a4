package api

import (
	"math"
	"net/http"
	"strconv"

	"lodge/cloud"
)

func (s *server) listEvents(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	q := parseQuery(r, "after", "limit", "instance", "tenant")
	f := cloud.EventFilter{
		After: q.integer("after", 0, 0, math.MaxInt64),
		Limit: int(q.integer("limit", defaultLimit, 1, maxLimit)),
	}
	f.SubjectID = q.id("instance")
	if q.err != nil {
		return q.err
	}
	var err error
	if f.TenantID, err = s.narrow(r, c, q.Get("tenant")); err != nil {
		return err
	}
	events, err := s.Events.Events(r.Context(), c, f)
	if err != nil {
		return err
	}
	next := ""
	if len(events) == f.Limit {
		next = strconv.FormatInt(events[len(events)-1].Seq, 10)
	}
	return replyList(w, events, next, wireEvent)
}

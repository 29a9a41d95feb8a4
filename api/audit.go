package api

import (
	"math"
	"net/http"
	"strconv"

	"lodge/api/wire"
	"lodge/cloud"
)

func (s *server) listAudit(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	q := parseQuery(r, "tenant", "user", "action", "subject", "refused", "before", "limit")
	f := cloud.AuditFilter{
		User: q.Get("user"), Action: q.Get("action"), SubjectID: lowerID(q.Get("subject")), Refused: q.flag("refused"),
		Before: q.integer("before", 0, 1, math.MaxInt64), Limit: int(q.integer("limit", defaultLimit, 1, maxLimit)),
	}
	if q.err != nil {
		return q.err
	}
	err := knownAction(f.Action)
	if err != nil {
		return err
	}
	if f.TenantID, err = s.narrow(r, c, q.Get("tenant")); err != nil {
		return err
	}
	items, err := s.Audit.Audit(r.Context(), c, f)
	if err != nil {
		return err
	}
	next := ""
	if len(items) == f.Limit {
		next = strconv.FormatInt(items[len(items)-1].Seq, 10)
	}
	return replyList(w, items, next, wireAudit)
}

func wireAudit(e cloud.AuditEntry) wire.AuditEntry {
	return wire.AuditEntry{
		Seq: e.Seq, At: wireTime(e.At), TenantID: e.TenantID, UserID: e.UserID, UserName: e.UserName, TokenID: e.TokenID,
		Via: e.Via, Address: e.Address, RequestID: e.RequestID, Action: e.Action,
		SubjectKind: string(e.Subject.Kind), SubjectID: e.Subject.ID, Name: e.Name, Result: e.Result,
	}
}

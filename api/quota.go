package api

import (
	"net/http"

	"lodge/api/wire"
	"lodge/cloud"
)

func (s *server) getQuota(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := pathID(r, cloud.KindTenant)
	if err != nil {
		return err
	}
	return s.replyQuota(w, r, c, id)
}

func (s *server) setQuota(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := pathID(r, cloud.KindTenant)
	if err != nil {
		return err
	}
	return s.changeQuota(w, r, c, id)
}

// The default quota is that of tenants that have no own limit of a resource.
func (s *server) getDefaultQuota(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	return s.replyQuota(w, r, c, "")
}

func (s *server) setDefaultQuota(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	if q := parseQuery(r, "tenant"); q.err == nil && q.Has("tenant") {
		const text = "There is no parameter \"tenant\" here: these limits are those of every tenant that has none of its own; PATCH /v1/tenants/{id}/quota sets those of one."
		return &cloud.Error{Code: cloud.CodeUnknownField, Message: text, Fields: []cloud.FieldError{{Field: "tenant", Message: text}}}
	}
	return s.changeQuota(w, r, c, "")
}

func (s *server) replyQuota(w http.ResponseWriter, r *http.Request, c cloud.Caller, tenantID string) error {
	if q := parseQuery(r, "tenant"); q.err != nil {
		return q.err
	}
	items, err := s.Quotas.Quotas(r.Context(), c, s.Now(), tenantID)
	if err != nil {
		return err
	}
	etag(w, cloud.QuotasTag(items))
	return replyList(w, items, "", wireQuota)
}

func (s *server) changeQuota(w http.ResponseWriter, r *http.Request, c cloud.Caller, tenantID string) error {
	if q := parseQuery(r, "tenant"); q.err != nil {
		return q.err
	}
	var body wire.SetQuotas
	if _, err := decodePatch(w, r, &body); err != nil {
		return err
	}
	change := make(map[cloud.Resource]*int64, len(body.Limits))
	for name, limit := range body.Limits {
		change[cloud.Resource(name)] = limit
	}
	if err := s.Quotas.SetQuotas(r.Context(), c, s.Now(), tenantID, change); err != nil {
		return err
	}
	return s.replyQuota(w, r, c, tenantID)
}

func wireQuota(q cloud.Quota) wire.Quota {
	out := wire.Quota{Resource: string(q.Resource), Default: q.Default, Used: q.Used}
	if q.Limit >= 0 {
		out.Limit = &q.Limit
	}
	return out
}

package api

import (
	"net/http"

	"lodge/cloud"
)

// Watch sees every request. It must be quick: it stands in the way of each.
type Watch interface {
	// Begin hears that a request came. The one that it gives back is answered in
	// its place.
	Begin(r *http.Request, requestID string) *http.Request
	// End hears what became of it; r is what Begin gave back.
	End(r *http.Request, a cloud.Answered)
}

// about notes for who watches which tenant the request is about.
func about(w http.ResponseWriter, tenantID string) {
	if w, ok := w.(*response); ok && tenantID != "" {
		w.tenant = tenantID
	}
}

// metrics answers Prometheus.
func (s *server) metrics(w http.ResponseWriter, r *http.Request, _ cloud.Caller) error {
	if q := parseQuery(r, "tenant"); q.err != nil {
		return q.err
	}
	if s.Metrics == nil {
		return cloud.Errorf(cloud.CodeNotFound, "There is nothing at %s.", shortPath(r))
	}
	s.Metrics.ServeHTTP(w, r)
	return nil
}

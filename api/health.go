package api

import (
	"net/http"

	"lodge/api/wire"
	"lodge/cloud"
)

// healthz says that the process answers, and nothing more.
func (s *server) healthz(w http.ResponseWriter, r *http.Request, _ cloud.Caller) error {
	if q := parseQuery(r); q.err != nil {
		return q.err
	}
	return reply(w, http.StatusOK, wire.Status{Status: "ok"})
}

// readyz says whether requests that change something would be taken.
func (s *server) readyz(w http.ResponseWriter, r *http.Request, _ cloud.Caller) error {
	if q := parseQuery(r); q.err != nil {
		return q.err
	}
	if err := s.Health.Ready(r.Context()); err != nil {
		message := "lodge does not take changes now; try again."
		if code := cloud.CodeOf(err); code != cloud.CodeInternal {
			message = cloud.MessageOf(err) // a full disk is not mended by trying again
		}
		return cloud.Wrap(cloud.CodeUnavailable, err, "%s", message)
	}
	return reply(w, http.StatusOK, wire.Status{Status: "ok"})
}

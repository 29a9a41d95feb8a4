package api

import (
	"net/http"

	"lodge/cloud"
)

func (s *server) listHosts(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	if q := parseQuery(r, "tenant"); q.err != nil {
		return q.err
	}
	items, err := s.Hosts.Hosts(r.Context(), c)
	if err != nil {
		return err
	}
	return replyList(w, items, "", wireHost)
}

package api

import "net/http"

func (s *server) listHosts(w http.ResponseWriter, r *http.Request) error {
	if q := parseQuery(r); q.err != nil {
		return q.err
	}
	items, err := s.Hosts.Hosts(r.Context(), s.Caller(r))
	if err != nil {
		return err
	}
	return replyList(w, items, "", wireHost)
}

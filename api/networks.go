package api

import (
	"net/http"

	"lodge/cloud"
)

func (s *server) listNetworks(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	f, p, err := s.listQuery(r, c)
	if err != nil {
		return err
	}
	items, next, err := s.Networks.Networks(r.Context(), c, f, p)
	if err != nil {
		return err
	}
	return replyList(w, items, next, wireNetwork)
}

func (s *server) getNetwork(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := pathID(r, cloud.KindNetwork)
	if err != nil {
		return err
	}
	if q := parseQuery(r, "tenant"); q.err != nil {
		return q.err
	}
	n, err := s.Networks.Network(r.Context(), c, id)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, wireNetwork(n))
}

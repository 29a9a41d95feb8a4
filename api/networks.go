package api

import (
	"net/http"
	"reflect"

	"lodge/api/wire"
	"lodge/cloud"
)

var networkList = listOf{params: []string{"label"}, item: reflect.TypeFor[wire.Network]()}

func (s *server) listNetworks(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	l, err := s.readList(r, c, networkList)
	if err != nil {
		return err
	}
	items, next, err := s.Networks.Networks(r.Context(), c, l.Filter, l.Page)
	if err != nil {
		return err
	}
	return replyListing(w, l, items, next, wireNetwork)
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
	etag(w, n.Tag())
	return reply(w, http.StatusOK, wireNetwork(n))
}

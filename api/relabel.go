package api

import (
	"context"
	"net/http"
	"time"

	"lodge/api/wire"
	"lodge/cloud"
)

func (s *server) updateTenant(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	return relabel(s, w, r, c, cloud.KindTenant, s.Tenants.UpdateTenant, wireTenant)
}

func (s *server) updateNetwork(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	return relabel(s, w, r, c, cloud.KindNetwork, s.Networks.UpdateNetwork, wireNetwork)
}

// relabel changes an object of which nothing but labels can be changed.
func relabel[T interface{ Tag() string }, W any](s *server, w http.ResponseWriter, r *http.Request, c cloud.Caller, kind cloud.Kind,
	change func(context.Context, cloud.Caller, time.Time, string, cloud.LabelChange) (T, error), render func(T) W) error {
	id, err := pathID(r, kind)
	if err != nil {
		return err
	}
	if q := parseQuery(r, "tenant"); q.err != nil {
		return q.err
	}
	var body wire.UpdateLabels
	nulls, err := decodePatch(w, r, &body, "labels")
	if err != nil {
		return err
	}
	if err := cloud.Invalid(checkLabelChange(body.Labels)); err != nil {
		return err
	}
	changed, err := change(r.Context(), c, s.Now(), id, cloud.LabelChange{Labels: body.Labels, NoLabels: len(nulls) > 0})
	if err != nil {
		return err
	}
	etag(w, changed.Tag())
	return reply(w, http.StatusOK, render(changed))
}

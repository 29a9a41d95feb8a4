package api

import (
	"net/http"
	"reflect"

	"lodge/api/wire"
	"lodge/cloud"
)

func (s *server) createTenant(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	if q := parseQuery(r, "tenant"); q.err != nil {
		return q.err
	}
	var body wire.CreateTenant
	if err := decode(w, r, &body); err != nil {
		return err
	}
	bad := cloud.ValidateTenantName("name", body.Name)
	bad = append(bad, cloud.ValidateLabels("labels", body.Labels)...)
	if err := cloud.Invalid(bad); err != nil {
		return err
	}
	t, err := s.Tenants.CreateTenant(r.Context(), c, s.Now(), cloud.NewTenant{
		ID: s.NewID(), NetworkID: s.NewID(), SubnetID: s.NewID(), Name: body.Name, Labels: body.Labels,
	})
	if err != nil {
		return err
	}
	location(w, "/v1/tenants/"+t.ID)
	return reply(w, http.StatusCreated, wireTenant(t))
}

var tenantList = listOf{params: []string{"label"}, item: reflect.TypeFor[wire.Tenant]()}

func (s *server) listTenants(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	l, err := s.readList(r, c, tenantList)
	if err != nil {
		return err
	}
	items, next, err := s.Tenants.Tenants(r.Context(), c, l.Filter, l.Page)
	if err != nil {
		return err
	}
	return replyListing(w, l, items, next, wireTenant)
}

func (s *server) getTenant(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := pathID(r, cloud.KindTenant)
	if err != nil {
		return err
	}
	if q := parseQuery(r, "tenant"); q.err != nil {
		return q.err
	}
	t, err := s.Tenants.Tenant(r.Context(), c, id)
	if err != nil {
		return err
	}
	etag(w, t.Tag())
	return reply(w, http.StatusOK, wireTenant(t))
}

func (s *server) deleteTenant(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := pathID(r, cloud.KindTenant)
	if err != nil {
		return err
	}
	if q := parseQuery(r, "tenant"); q.err != nil {
		return q.err
	}
	if err := s.Tenants.DeleteTenant(r.Context(), c, s.Now(), id); err != nil {
		return err
	}
	return noContent(w)
}

package api

import (
	"net/http"

	"lodge/api/wire"
	"lodge/cloud"
)

func (s *server) listMembers(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := pathID(r, cloud.KindTenant)
	if err != nil {
		return err
	}
	if q := parseQuery(r, "tenant"); q.err != nil {
		return q.err
	}
	items, err := s.Members.Members(r.Context(), c, id)
	if err != nil {
		return err
	}
	return replyList(w, items, "", wireMembership)
}

func (s *server) getMember(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := pathID(r, cloud.KindTenant)
	if err != nil {
		return err
	}
	user, err := pathUser(r)
	if err != nil {
		return err
	}
	m, err := s.Members.Member(r.Context(), c, id, user)
	if err != nil {
		return err
	}
	etag(w, m.Tag())
	return reply(w, http.StatusOK, wireMembership(m))
}

func (s *server) setMember(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := pathID(r, cloud.KindTenant)
	if err != nil {
		return err
	}
	user, err := pathUser(r)
	if err != nil {
		return err
	}
	var body wire.SetMember
	if err := decode(w, r, &body); err != nil {
		return err
	}
	m, err := s.Members.SetMember(r.Context(), c, s.Now(), id, user, cloud.Role(body.Role))
	if err != nil {
		return err
	}
	etag(w, m.Tag())
	return reply(w, http.StatusOK, wireMembership(m))
}

func (s *server) removeMember(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := pathID(r, cloud.KindTenant)
	if err != nil {
		return err
	}
	user, err := pathUser(r)
	if err != nil {
		return err
	}
	if err := s.Members.RemoveMember(r.Context(), c, s.Now(), id, user); err != nil {
		return err
	}
	return noContent(w)
}

package api

import (
	"net/http"

	"lodge/api/wire"
	"lodge/cloud"
)

func (s *server) login(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	if q := parseQuery(r); q.err != nil {
		return q.err
	}
	var body wire.Login
	if err := decode(w, r, &body); err != nil {
		return err
	}
	if body.User == "" || body.Password == "" {
		return cloud.Errorf(cloud.CodeInvalid, "A login needs a user and a password.")
	}
	secret, k, err := s.Accounts.Login(r.Context(), c, s.Now(), body.User, body.Password)
	if err != nil {
		return err
	}
	return s.replySession(w, r, secret, k)
}

func (s *server) replySession(w http.ResponseWriter, r *http.Request, secret string, k cloud.Token) error {
	self := cloud.Caller{UserID: k.UserID, Role: cloud.RoleViewer}
	u, err := s.Users.User(r.Context(), self, k.UserID)
	if err != nil {
		return err
	}
	return reply(w, http.StatusCreated, wireSession(cloud.Issued{Token: k, User: u, Secret: secret}))
}

func wireSession(k cloud.Issued) wire.Session {
	return wire.Session{Token: k.Secret, ID: k.ID, User: wireUser(k.User), ExpiresAt: wireTime(k.ExpiresAt)}
}

// logout ends the token that the request came with.
func (s *server) logout(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	if q := parseQuery(r, "tenant"); q.err != nil {
		return q.err
	}
	if c.TokenID == "" {
		return cloud.Errorf(cloud.CodeConflict, "There is no session to end: this way in needs no login.")
	}
	if err := s.Tokens.RevokeToken(r.Context(), c, s.Now(), c.TokenID); err != nil {
		return err
	}
	return noContent(w)
}

func (s *server) whoami(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	if q := parseQuery(r, "tenant"); q.err != nil {
		return q.err
	}
	out := wire.Whoami{
		UserID: c.UserID, UserName: c.UserName, TokenID: c.TokenID, TenantID: c.TenantID,
		Role: string(c.Role), Scope: wireScope(c.Scope), Operator: c.Operator, Via: c.Via, Memberships: []wire.Membership{},
	}
	if c.UserID != "" {
		u, err := s.Users.User(r.Context(), c, c.UserID)
		if err != nil {
			return err
		}
		out.Memberships = wireMemberships(u.Memberships)
	}
	return reply(w, http.StatusOK, out)
}

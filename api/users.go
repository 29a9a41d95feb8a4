package api

import (
	"net/http"
	"reflect"

	"github.com/gorilla/mux"

	"lodge/api/wire"
	"lodge/cloud"
)

func (s *server) createUser(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	if q := parseQuery(r); q.err != nil {
		return q.err // the tenant is in the body: it says where, and not as whom
	}
	var body wire.CreateUser
	if err := decode(w, r, &body); err != nil {
		return err
	}
	n := cloud.NewUser{ID: s.NewID(), Name: body.Name, Email: body.Email, Operator: body.Operator}
	bad := cloud.ValidateUserName("name", n.Name)
	bad = append(bad, cloud.ValidateEmail("email", n.Email)...)
	role := cloud.Role(body.Role)
	switch {
	case role == "":
		role = cloud.RoleMember
	case body.Tenant == "":
		bad = append(bad, cloud.FieldError{Field: "role", Message: "A role is one in a tenant; name the tenant, or leave the role out."})
	case !role.Valid() || role == cloud.RoleOperator:
		bad = append(bad, cloud.FieldError{Field: "role", Message: "A role in a tenant is viewer, member or admin."})
	}
	if err := cloud.Invalid(bad); err != nil {
		return err
	}
	if body.Tenant != "" {
		n.Memberships = []cloud.Membership{{TenantID: lowerID(body.Tenant), Role: role}}
	}
	u, err := s.Accounts.CreateUser(r.Context(), c, s.Now(), n, body.Password)
	if err != nil {
		return err
	}
	location(w, "/v1/users/"+u.ID)
	return reply(w, http.StatusCreated, wireUser(u))
}

var userList = listOf{item: reflect.TypeFor[wire.User]()}

func (s *server) listUsers(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	l, err := s.readList(r, c, userList)
	if err != nil {
		return err
	}
	items, next, err := s.Users.Users(r.Context(), c, l.Filter, l.Page)
	if err != nil {
		return err
	}
	return replyListing(w, l, items, next, wireUser)
}

// maxPathUser is longer than any id or name.
const maxPathUser = 256

// pathUser is the user in the path: an id or a name, and nothing in the query.
func pathUser(r *http.Request) (string, error) {
	q := parseQuery(r, "tenant")
	name := lowerID(mux.Vars(r)["user"])
	if q.err == nil && len(name) > maxPathUser {
		return "", notFound(cloud.KindUser, name)
	}
	return name, q.err
}

func (s *server) getUser(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	name, err := pathUser(r)
	if err != nil {
		return err
	}
	u, err := s.Users.User(r.Context(), c, name)
	if err != nil {
		return err
	}
	etag(w, u.Tag())
	return reply(w, http.StatusOK, wireUser(u))
}

func (s *server) deleteUser(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	name, err := pathUser(r)
	if err != nil {
		return err
	}
	if err := s.Users.DeleteUser(r.Context(), c, s.Now(), name); err != nil {
		return err
	}
	return noContent(w)
}

func (s *server) setPassword(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	name, err := pathUser(r)
	if err != nil {
		return err
	}
	var body wire.SetPassword
	if err := decode(w, r, &body); err != nil {
		return err
	}
	if err := s.Accounts.SetPassword(r.Context(), c, s.Now(), name, body.Password, body.Current); err != nil {
		return err
	}
	return noContent(w)
}

func wireUser(u cloud.User) wire.User {
	return wire.User{
		ID: u.ID, Name: u.Name, Email: u.Email, Operator: u.Operator, HasPassword: u.HasPassword,
		Issuer: u.Issuer, Subject: u.Subject,
		Memberships: wireMemberships(u.Memberships),
		CreatedAt:   wireTime(u.CreatedAt), UpdatedAt: wireTime(u.UpdatedAt), Revision: u.Revision,
	}
}

func wireMembership(m cloud.Membership) wire.Membership {
	return wire.Membership{
		TenantID: m.TenantID, TenantName: m.TenantName, UserID: m.UserID, UserName: m.UserName,
		Role: string(m.Role), CreatedAt: wireTime(m.CreatedAt),
	}
}

func wireMemberships(ms []cloud.Membership) []wire.Membership {
	out := make([]wire.Membership, 0, len(ms))
	for _, m := range ms {
		out = append(out, wireMembership(m))
	}
	return out
}

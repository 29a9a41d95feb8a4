package api

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/gorilla/mux"

	"lodge/cloud"
)

// admit says who asks, and refuses whoever may not ask for this. What the store
// refuses besides is a tenant's object that is not the caller's.
func (s *server) admit(w http.ResponseWriter, r *http.Request, rt route) (cloud.Caller, error) {
	if rt.need == open {
		c := cloud.Caller{Via: "login", Address: address(r), RequestID: requestID(w)}
		err := s.spend(w, c)
		if err == nil {
			c.Once, err = s.once(r, rt)
		}
		return c, err
	}
	c, err := s.Caller(r)
	c.Address, c.RequestID = address(r), requestID(w)
	// Whoever shows a good token spends of its own, however its address is used.
	if late := s.spend(w, c); late != nil && cloud.CodeOf(err) != cloud.CodeLockedOut {
		return c, late
	}
	if personal[rt.path] && c.UserID != "" && cloud.CodeOf(err) == cloud.CodeInvalid {
		err = nil // it needs no tenant
	}
	if bodyTenant(r, rt) && c.UserID != "" && cloud.CodeOf(err) == cloud.CodeInvalid {
		err, rt.need = nil, cloud.RoleViewer // inBody looks again
	}
	if err != nil {
		return c, err
	}
	if c, err = s.inTenant(r, rt, c); err != nil {
		return c, err
	}
	if err := allow(c, rt); err != nil {
		return c, err
	}
	if c.IfMatch, err = ifMatch(r, rt); err != nil {
		return c, err
	}
	if rt.method != http.MethodGet {
		c.Begin = &cloud.Begin{NewID: s.NewID}
	}
	if c.DryRun, err = dryRun(r, rt); err != nil {
		return c, err
	}
	if c.Once, err = s.once(r, rt); c.DryRun {
		c.Once = nil // nothing is done, so nothing is kept
	}
	return c, err
}

// personal are the routes about the caller itself.
var personal = map[string]bool{
	"/v1/whoami": true, "/v1/sessions/current": true, "/v1/users/{user}": true, "/v1/users/{user}/password": true,
}

// bodyTenant reports whether the tenant may be named in the body.
func bodyTenant(r *http.Request, rt route) bool {
	switch rt.path {
	case "/v1/instances", "/v1/images", "/v1/tokens":
		return rt.method == http.MethodPost && mediaType(r) == "application/json"
	}
	return false
}

// inBody is the caller in the tenant that the body names, for whoever is in several
// and has named none in the query: its role there must cover need.
func (s *server) inBody(r *http.Request, c cloud.Caller, need cloud.Role, tenant string) (cloud.Caller, error) {
	if c.Operator || c.TenantID != "" {
		return c, nil
	}
	named := r
	if tenant != "" {
		u := *r.URL
		q := u.Query()
		q.Set("tenant", lowerID(tenant))
		u.RawQuery = q.Encode()
		again := *r
		again.URL, named = &u, &again
	}
	there, err := s.Caller(named)
	if err != nil {
		return c, err
	}
	c.TenantID, c.Role = there.TenantID, there.Role
	return c, hasRole(c, need)
}

// ownList are the lists and creates that read the name of a tenant themselves.
var ownList = map[string]bool{
	"/v1/instances": true, "/v1/instances/start": true, "/v1/instances/stop": true, "/v1/images": true, "/v1/networks": true, "/v1/tenants": true,
	"/v1/users": true, "/v1/tokens": true, "/v1/operations": true, "/v1/events": true, "/v1/events/stream": true, "/v1/usage": true, "/v1/audit": true,
}

// inTenant sees to it that a tenant which an operator names is there, and that one
// beside an object is the object's: a wrong name must not end at that of another
// tenant. The operator is then the admin of that tenant, but where the tenant itself
// is the object, or it is nobody's. Who is no operator has part in the tenant, or
// was refused.
func (s *server) inTenant(r *http.Request, rt route, c cloud.Caller) (cloud.Caller, error) {
	if !c.Operator || r.URL.RawQuery == "" || ownList[rt.path] && (rt.path != "/v1/tenants" || rt.method == http.MethodGet) {
		return c, nil
	}
	find := s.narrow
	if ofLedger[rt.path] {
		find = s.account
	}
	id, err := find(r, c, r.URL.Query().Get("tenant"))
	if err != nil || id == "" {
		return c, err
	}
	switch named := mux.Vars(r)["id"]; {
	case strings.HasPrefix(rt.path, "/v1/tenants/{id}"):
		if lowerID(named) != id {
			return c, notFound(cloud.KindTenant, named)
		}
	case named != "" && rt.need != cloud.RoleOperator:
		c.Operator, c.Role, c.TenantID = false, cloud.RoleAdmin, id
	}
	return c, nil
}

// address is where the request came from; "" on a unix socket. What a proxy says
// of it in headers anybody can say.
func address(r *http.Request) string {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return a.Addr().Unmap().String()
}

func hasRole(c cloud.Caller, need cloud.Role) error {
	if c.Role.Covers(need) {
		return nil
	}
	if need == cloud.RoleOperator {
		return cloud.Errorf(cloud.CodeForbidden, "This needs the role operator, of the installation, and you have %s; ask an operator.", c.Role)
	}
	return cloud.Errorf(cloud.CodeForbidden, "This needs the role %s and you have %s; ask an admin of the tenant.", need, c.Role)
}

// ofUsage are the routes that a token for billing programs reaches.
var ofUsage = map[string]bool{"GET /v1/usage": true, "GET /v1/cost": true, "GET /v1/prices": true, "GET /v1/prices/{id}": true,
	"GET /v1/discounts": true, "GET /v1/discounts/{id}": true, "POST /v1/estimates": true,
	"GET /v1/invoices": true, "GET /v1/invoices/draft": true, "GET /v1/invoices/{id}": true, "GET /v1/export/focus": true}

// changesNothing are the routes that only compute something and are no GET.
var changesNothing = map[string]bool{"POST /v1/estimates": true}

// allow decides by role and scope alone.
func allow(c cloud.Caller, rt route) error {
	if err := hasRole(c, rt.need); err != nil {
		return err
	}
	switch c.Scope {
	case cloud.ScopeAll:
		return nil
	case cloud.ScopeRead:
		if rt.method == http.MethodGet || changesNothing[rt.method+" "+rt.path] {
			return nil
		}
	case cloud.ScopeUsage:
		if ofUsage[rt.method+" "+rt.path] {
			return nil
		}
	}
	return cloud.Errorf(cloud.CodeForbidden, "The scope %q of the token does not reach %s %s; use another token.", c.Scope, rt.method, rt.path)
}

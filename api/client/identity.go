package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"

	"lodge/api/wire"
)

// Login opens a session. Its token is for WithToken of another client.
func (c *Client) Login(ctx context.Context, in wire.Login) (wire.Session, error) {
	return call[wire.Session](ctx, c, "POST", "/v1/sessions", nil, in)
}

// SignOnProvider says where people log in who have no password; not_found where
// there is no such place.
func (c *Client) SignOnProvider(ctx context.Context) (wire.SignOnProvider, error) {
	return call[wire.SignOnProvider](ctx, c, "GET", "/v1/sessions/oidc", nil, nil)
}

// StartSignOn begins a login at the identity provider.
func (c *Client) StartSignOn(ctx context.Context, in wire.StartSignOn) (wire.SignOn, error) {
	return call[wire.SignOn](ctx, c, "POST", "/v1/sessions/oidc/start", nil, in)
}

// FinishSignOn ends such a login. While the person has not answered there is no
// session, and still is what to send next.
func (c *Client) FinishSignOn(ctx context.Context, in wire.FinishSignOn) (s wire.Session, still *wire.SignOn, err error) {
	var either struct {
		wire.Session
		Login           string `json:"login"`
		IntervalSeconds int    `json:"interval_seconds"`
	}
	if err := c.call(ctx, "POST", "/v1/sessions/oidc", nil, in, &either); err != nil {
		return s, nil, err
	}
	if either.Token == "" {
		return s, &wire.SignOn{Login: either.Login, IntervalSeconds: either.IntervalSeconds, ExpiresAt: either.ExpiresAt}, nil
	}
	return either.Session, nil, nil
}

// LinkUser says who a user, by id or name, is at an identity provider.
func (c *Client) LinkUser(ctx context.Context, user string, in wire.LinkUser) (wire.User, error) {
	return call[wire.User](ctx, c, "PUT", "/v1/users/"+url.PathEscape(user)+"/identity", nil, in)
}

// UnlinkUser lets a user, by id or name, be nobody there, and ends its sessions.
func (c *Client) UnlinkUser(ctx context.Context, user string) error {
	return c.call(ctx, "DELETE", "/v1/users/"+url.PathEscape(user)+"/identity", nil, nil, nil)
}

// Logout ends the token that the client shows.
func (c *Client) Logout(ctx context.Context) error {
	return c.call(ctx, "DELETE", "/v1/sessions/current", nil, nil, nil)
}

// Whoami says who the client is to lodged.
func (c *Client) Whoami(ctx context.Context) (wire.Whoami, error) {
	return call[wire.Whoami](ctx, c, "GET", "/v1/whoami", nil, nil)
}

// CreateUser makes a user.
func (c *Client) CreateUser(ctx context.Context, in wire.CreateUser) (wire.User, error) {
	return call[wire.User](ctx, c, "POST", "/v1/users", nil, in)
}

// User gives one user, by id or name.
func (c *Client) User(ctx context.Context, user string) (wire.User, error) {
	return call[wire.User](ctx, c, "GET", "/v1/users/"+url.PathEscape(user), nil, nil)
}

// Users gives a part of the list of users, which Name alone can narrow.
func (c *Client) Users(ctx context.Context, q Query) (wire.List[wire.User], error) {
	return call[wire.List[wire.User]](ctx, c, "GET", "/v1/users", q.values(), nil)
}

// AllUsers gives the whole list.
func (c *Client) AllUsers(ctx context.Context, q Query) ([]wire.User, error) {
	return all(ctx, q, c.Users)
}

// DeleteUser removes a user, by id or name, and ends its tokens.
func (c *Client) DeleteUser(ctx context.Context, user string) error {
	return c.call(ctx, "DELETE", "/v1/users/"+url.PathEscape(user), nil, nil, nil)
}

// SetPassword gives a user, by id or name, another password and ends its
// sessions.
func (c *Client) SetPassword(ctx context.Context, user string, in wire.SetPassword) error {
	return c.call(ctx, "PUT", "/v1/users/"+url.PathEscape(user)+"/password", nil, in, nil)
}

// Members gives everybody in a tenant.
func (c *Client) Members(ctx context.Context, tenantID string) ([]wire.Membership, error) {
	var out wire.List[wire.Membership]
	err := c.call(ctx, "GET", "/v1/tenants/"+url.PathEscape(tenantID)+"/members", nil, nil, &out)
	return out.Items, err
}

// Member gives one user, by id or name, in a tenant.
func (c *Client) Member(ctx context.Context, tenantID, user string) (wire.Membership, error) {
	return call[wire.Membership](ctx, c, "GET", member(tenantID, user), nil, nil)
}

// SetMember changes the role of a user, by id or name, in a tenant; an operator
// also puts it in.
func (c *Client) SetMember(ctx context.Context, tenantID, user string, in wire.SetMember) (wire.Membership, error) {
	return call[wire.Membership](ctx, c, "PUT", member(tenantID, user), nil, in)
}

// RemoveMember takes a user, by id or name, out of a tenant. Everybody may leave.
func (c *Client) RemoveMember(ctx context.Context, tenantID, user string) error {
	return c.call(ctx, "DELETE", member(tenantID, user), nil, nil, nil)
}

func member(tenantID, user string) string {
	return "/v1/tenants/" + url.PathEscape(tenantID) + "/members/" + url.PathEscape(user)
}

// CreateToken makes a token; its secret is in this answer only.
func (c *Client) CreateToken(ctx context.Context, in wire.CreateToken) (wire.Token, error) {
	return call[wire.Token](ctx, c, "POST", "/v1/tokens", c.forTenant(in.Tenant), in)
}

// CreateTokenOnce is CreateToken that can be asked again: with the same key, of at
// least 32 random characters, and the same in, it gives the token that it made.
func (c *Client) CreateTokenOnce(ctx context.Context, key string, in wire.CreateToken) (out wire.Token, err error) {
	b, err := json.Marshal(in)
	if err != nil {
		return out, fmt.Errorf("encode request: %w", err)
	}
	req, err := c.request(ctx, "POST", "/v1/tokens", c.forTenant(in.Tenant), bytes.NewReader(b))
	if err != nil {
		return out, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	return out, c.do(req, &out)
}

// Tokens gives a part of the list of tokens.
func (c *Client) Tokens(ctx context.Context, q Query) (wire.List[wire.Token], error) {
	return call[wire.List[wire.Token]](ctx, c, "GET", "/v1/tokens", q.values(), nil)
}

// AllTokens gives the whole list.
func (c *Client) AllTokens(ctx context.Context, q Query) ([]wire.Token, error) {
	return all(ctx, q, c.Tokens)
}

// Token gives one token, without its secret.
func (c *Client) Token(ctx context.Context, id string) (wire.Token, error) {
	return call[wire.Token](ctx, c, "GET", "/v1/tokens/"+url.PathEscape(id), nil, nil)
}

// RevokeToken ends a token.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.call(ctx, "DELETE", "/v1/tokens/"+url.PathEscape(id), nil, nil, nil)
}

// Quotas gives what a tenant may have of every resource, and has.
func (c *Client) Quotas(ctx context.Context, tenantID string) ([]wire.Quota, error) {
	out, err := call[wire.List[wire.Quota]](ctx, c, "GET", "/v1/tenants/"+url.PathEscape(tenantID)+"/quota", nil, nil)
	return out.Items, err
}

// SetQuotas changes limits of a tenant, and gives all as they are then. nil
// takes a limit of its own away; what is not named stays.
func (c *Client) SetQuotas(ctx context.Context, tenantID string, in wire.SetQuotas) ([]wire.Quota, error) {
	out, err := call[wire.List[wire.Quota]](ctx, c, "PATCH", "/v1/tenants/"+url.PathEscape(tenantID)+"/quota", nil, in)
	return out.Items, err
}

// DefaultQuotas gives the limits of tenants that have none of their own.
func (c *Client) DefaultQuotas(ctx context.Context) ([]wire.Quota, error) {
	out, err := call[wire.List[wire.Quota]](ctx, c, "GET", "/v1/quota", nil, nil)
	return out.Items, err
}

// SetDefaultQuotas changes the limits of tenants that have none of their own,
// and gives all as they are then.
func (c *Client) SetDefaultQuotas(ctx context.Context, in wire.SetQuotas) ([]wire.Quota, error) {
	out, err := call[wire.List[wire.Quota]](ctx, c, "PATCH", "/v1/quota", nil, in)
	return out.Items, err
}

// AuditQuery narrows the audit log and says where to go on. Zero values do
// neither.
type AuditQuery struct {
	Tenant  string // id or name
	User    string // id or name
	Action  string
	Subject string // id
	Refused bool   // only what was refused
	Before  int64  // entries with a smaller Seq
	Limit   int
}

// Audit gives a part of the audit log, the newest first. Next is the Before of
// the part behind it.
func (c *Client) Audit(ctx context.Context, q AuditQuery) (wire.List[wire.AuditEntry], error) {
	v := url.Values{}
	set(v, "tenant", q.Tenant)
	set(v, "user", q.User)
	set(v, "action", q.Action)
	set(v, "subject", q.Subject)
	if q.Refused {
		v.Set("refused", "true")
	}
	if q.Before > 0 {
		v.Set("before", strconv.FormatInt(q.Before, 10))
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return call[wire.List[wire.AuditEntry]](ctx, c, "GET", "/v1/audit", v, nil)
}

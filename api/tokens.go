package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"lodge/api/wire"
	"lodge/cloud"
)

// The life of a token.
const (
	defaultTokenLife = 90 * 24 * time.Hour
	maxTokenLife     = 10 * 365 * 24 * time.Hour
)

func (s *server) createToken(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	q := parseQuery(r, "tenant")
	if q.err != nil {
		return q.err
	}
	var body wire.CreateToken
	if err := decode(w, r, &body); err != nil {
		return err
	}
	c, err := s.inBody(r, c, cloud.RoleViewer, body.Tenant)
	if err != nil {
		return err
	}
	now := s.Now()
	n, bad := newToken(body, c, now)
	if err := cloud.Invalid(bad); err != nil {
		return err
	}
	n.ID = s.NewID()
	if n.Role != cloud.RoleOperator {
		if n.TenantID, err = s.tenantFor(w, r, c, q.Get("tenant"), body.Tenant); err != nil {
			return err
		}
	}
	secret, k, err := s.Accounts.CreateToken(r.Context(), c, now, n)
	if err != nil {
		return err
	}
	location(w, "/v1/tokens/"+k.ID)
	return reply(w, http.StatusCreated, wireIssued(cloud.Issued{Token: k, Secret: secret}))
}

// newToken reads a request for a token. A user's token is the user's; an
// operator's for a tenant is the tenant's, and outlives the operator.
func newToken(body wire.CreateToken, c cloud.Caller, now time.Time) (n cloud.NewToken, bad []cloud.FieldError) {
	n = cloud.NewToken{Name: body.Name, Kind: cloud.TokenAPI, UserID: c.UserID, Role: cloud.Role(body.Role), Scope: cloud.Scope(body.Scope)}
	bad = cloud.ValidateTokenName("name", n.Name)
	if n.Role == "" {
		n.Role = c.Role
	}
	if n.Role == cloud.RoleOperator && body.Role == "" && body.Tenant != "" {
		n.Role = cloud.RoleAdmin
	}
	if !n.Role.Valid() {
		bad = append(bad, cloud.FieldError{Field: "role", Message: "A role is viewer, member or admin; for the installation, operator."})
	}
	if c.Operator && n.Role != cloud.RoleOperator {
		n.UserID = ""
	}
	if n.Scope == "all" {
		n.Scope = cloud.ScopeAll
	}
	switch n.Scope {
	case cloud.ScopeAll, cloud.ScopeRead, cloud.ScopeUsage:
	default:
		bad = append(bad, cloud.FieldError{Field: "scope", Message: "A scope is all, read or usage."})
	}
	life, ok := lifeOf(body.ExpiresIn)
	if !ok {
		bad = append(bad, cloud.FieldError{Field: "expires_in", Message: "Give hours or days, such as 12h or 90d, at least 1h and at most 3650d."})
	}
	n.ExpiresAt = now.Add(life)
	return n, bad
}

// lifeOf reads "12h" or "90d".
func lifeOf(text string) (time.Duration, bool) {
	if text == "" {
		return defaultTokenLife, true
	}
	unit := time.Hour
	count, hours := strings.CutSuffix(text, "h")
	if !hours {
		var days bool
		if count, days = strings.CutSuffix(text, "d"); !days {
			return 0, false
		}
		unit = 24 * time.Hour
	}
	n, err := strconv.ParseUint(count, 10, 32)
	if err != nil || n == 0 || n > uint64(maxTokenLife/unit) {
		return 0, false
	}
	return time.Duration(n) * unit, true
}

func (s *server) listTokens(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	f, p, err := s.listQuery(r, c)
	if err != nil {
		return err
	}
	items, next, err := s.Tokens.Tokens(r.Context(), c, s.Now(), f, p)
	if err != nil {
		return err
	}
	return replyList(w, items, next, wireToken)
}

// getToken shows a token without its secret, which nobody keeps.
func (s *server) getToken(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := pathID(r, cloud.KindToken)
	if err != nil {
		return err
	}
	if q := parseQuery(r, "tenant"); q.err != nil {
		return q.err
	}
	k, err := s.Tokens.Token(r.Context(), c, s.Now(), id)
	if err != nil {
		return err
	}
	etag(w, k.Tag())
	return reply(w, http.StatusOK, wireToken(k))
}

func (s *server) revokeToken(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := pathID(r, cloud.KindToken)
	if err != nil {
		return err
	}
	if q := parseQuery(r, "tenant"); q.err != nil {
		return q.err
	}
	if err := s.Tokens.RevokeToken(r.Context(), c, s.Now(), id); err != nil {
		return err
	}
	return noContent(w)
}

func wireToken(k cloud.Token) wire.Token {
	return wire.Token{
		ID: k.ID, Name: k.Name, Kind: string(k.Kind), TenantID: k.TenantID, UserID: k.UserID, UserName: k.UserName,
		Role: string(k.Role), Scope: wireScope(k.Scope),
		CreatedAt: wireTime(k.CreatedAt), ExpiresAt: wireTime(k.ExpiresAt), LastUsedAt: wireTime(k.LastUsedAt),
	}
}

func wireIssued(k cloud.Issued) wire.Token {
	out := wireToken(k.Token)
	out.Secret = k.Secret
	return out
}

func wireScope(s cloud.Scope) string {
	if s == cloud.ScopeAll {
		return "all"
	}
	return string(s)
}

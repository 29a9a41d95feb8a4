package auth

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"lodge/cloud"
)

// Identities knows who stands behind the hash of a secret. Returns
// CodeUnauthorized for nobody.
type Identities interface {
	Identity(ctx context.Context, now time.Time, hash string) (cloud.Identity, error)
}

// Door says who a request comes from by its token.
type Door struct {
	Identities Identities
	Limiter    *Limiter // of bad tokens by address; nil: none
	Now        func() time.Time
}

// Caller is who sends the request, for the tenant that its query names. Returns
// CodeUnauthorized without a good token, CodeLockedOut for an address that has
// sent too many bad ones, and what Identity.For returns.
func (d Door) Caller(r *http.Request) (cloud.Caller, error) {
	secret, err := bearer(r)
	if err != nil {
		return cloud.Caller{}, err
	}
	now := d.Now()
	id, err := d.identity(r.Context(), now, secret)
	if cloud.CodeOf(err) == cloud.CodeUnauthorized && d.Limiter != nil {
		// Counted after the fact: a good token behind the same address goes on.
		addr, _ := netip.ParseAddrPort(r.RemoteAddr)
		if wait, ok := d.Limiter.Allow(now, "", addr.Addr().Unmap()); !ok {
			err = lockedOut(wait)
		}
	}
	if err != nil {
		return cloud.Caller{}, err
	}
	tenant := ""
	if r.URL.RawQuery != "" {
		tenant = r.URL.Query().Get("tenant")
	}
	return id.For(tenant) // with CodeInvalid the caller is good for what is of no tenant
}

func (d Door) identity(ctx context.Context, now time.Time, secret string) (cloud.Identity, error) {
	if !WellFormed(secret) {
		return cloud.Identity{}, cloud.Errorf(cloud.CodeUnauthorized, "The token is not whole; it begins with %q and has %d characters.", secretPrefix, secretLength)
	}
	return d.Identities.Identity(ctx, now, HashSecret(secret))
}

// bearer is the secret of the request: RFC 6750 section 2.1. A token in the query
// would end up in logs and is not looked for.
func bearer(r *http.Request) (string, error) {
	values := r.Header["Authorization"]
	if len(values) == 0 {
		return "", cloud.Errorf(cloud.CodeUnauthorized, "The request has no token; send it as \"Authorization: Bearer TOKEN\", or run lodge login.")
	}
	if len(values) > 1 {
		return "", cloud.Errorf(cloud.CodeUnauthorized, "The request has more than one Authorization header.")
	}
	scheme, secret, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return "", cloud.Errorf(cloud.CodeUnauthorized, "The Authorization header is not \"Bearer TOKEN\".")
	}
	return strings.TrimSpace(secret), nil
}

package client

import (
	"net/url"
	"slices"
)

// noTenant are the routes that ask nobody who they are, those that have the tenant
// in their body only, and those that are about all of them. All others take the
// parameter tenant, as openapi.yaml says.
var noTenant = []string{"POST /v1/users", "PATCH /v1/quota", "POST /v1/prices", "POST /v1/discounts", "POST /v1/invoices", "GET /v1/export/sink", "POST /v1/sessions", "GET /v1/sessions/oidc", "POST /v1/sessions/oidc", "POST /v1/sessions/oidc/start",
	"GET /v1/version", "GET /v1/openapi.yaml", "GET /openapi.yaml", "GET /docs", "GET /healthz", "GET /readyz"}

func takesTenant(method, path string) bool { return !slices.Contains(noTenant, method+" "+path) }

// forTenant says the tenant of a body in the query too: that is where lodged
// looks for whom a member of several tenants asks, and both must be the same.
func (c *Client) forTenant(tenant string) url.Values {
	if tenant == "" || c.tenant == "" {
		return nil
	}
	return url.Values{"tenant": {tenant}}
}

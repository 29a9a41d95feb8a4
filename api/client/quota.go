package client

import (
	"context"
	"net/url"

	"lodge/api/wire"
)

// Quota lists what a tenant may have of each resource, and has.
func (c *Client) Quota(ctx context.Context, tenantID string) ([]wire.Quota, error) {
	return c.quota(ctx, "GET", quotaOf(tenantID), nil)
}

// SetQuota changes limits of a tenant and lists all of them.
func (c *Client) SetQuota(ctx context.Context, tenantID string, in wire.SetQuotas) ([]wire.Quota, error) {
	return c.quota(ctx, "PATCH", quotaOf(tenantID), in)
}

// DefaultQuota lists what tenants without limits of their own may have.
func (c *Client) DefaultQuota(ctx context.Context) ([]wire.Quota, error) {
	return c.quota(ctx, "GET", "/v1/quota", nil)
}

// SetDefaultQuota changes those limits and lists all of them.
func (c *Client) SetDefaultQuota(ctx context.Context, in wire.SetQuotas) ([]wire.Quota, error) {
	return c.quota(ctx, "PATCH", "/v1/quota", in)
}

func (c *Client) quota(ctx context.Context, method, path string, in any) ([]wire.Quota, error) {
	out, err := call[wire.List[wire.Quota]](ctx, c, method, path, nil, in)
	return out.Items, err
}

func quotaOf(tenantID string) string { return "/v1/tenants/" + url.PathEscape(tenantID) + "/quota" }

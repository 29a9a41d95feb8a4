package client

import (
	"context"
	"net/url"

	"lodge/api/wire"
)

// The Try methods ask what a request would do. It gets the failure that it would
// get, or what would come of it; nothing is written.

// TryCreateInstance is CreateInstance as a dry run.
func (c *Client) TryCreateInstance(ctx context.Context, in wire.CreateInstance) (wire.DryRun, error) {
	return c.try(ctx, "POST", "/v1/instances", c.forTenant(in.Tenant), in)
}

// TryUpdateInstance is UpdateInstance as a dry run.
func (c *Client) TryUpdateInstance(ctx context.Context, id string, in wire.UpdateInstance) (wire.DryRun, error) {
	return c.try(ctx, "PATCH", "/v1/instances/"+url.PathEscape(id), nil, in)
}

// TryDeleteInstance is DeleteInstance as a dry run.
func (c *Client) TryDeleteInstance(ctx context.Context, id string) (wire.DryRun, error) {
	return c.try(ctx, "DELETE", "/v1/instances/"+url.PathEscape(id), nil, nil)
}

// TryImportImage is ImportImage as a dry run; the URL is not asked.
func (c *Client) TryImportImage(ctx context.Context, in wire.ImportImage) (wire.DryRun, error) {
	return c.try(ctx, "POST", "/v1/images", c.forTenant(in.Tenant), in)
}

// TryUpdateWebhook is UpdateWebhook as a dry run; the URL is not asked.
func (c *Client) TryUpdateWebhook(ctx context.Context, id string, in wire.UpdateWebhook) (wire.DryRun, error) {
	return c.try(ctx, "PATCH", "/v1/webhooks/"+url.PathEscape(id), nil, in)
}

// TryCreateSchedule is CreateSchedule as a dry run.
func (c *Client) TryCreateSchedule(ctx context.Context, in wire.CreateSchedule) (wire.DryRun, error) {
	return c.try(ctx, "POST", "/v1/schedules", c.forTenant(in.Tenant), in)
}

// TryUpdateSchedule is UpdateSchedule as a dry run.
func (c *Client) TryUpdateSchedule(ctx context.Context, id string, in wire.UpdateSchedule) (wire.DryRun, error) {
	return c.try(ctx, "PATCH", "/v1/schedules/"+url.PathEscape(id), nil, in)
}

// TryCreateBudget is CreateBudget as a dry run.
func (c *Client) TryCreateBudget(ctx context.Context, in wire.CreateBudget) (wire.DryRun, error) {
	return c.try(ctx, "POST", "/v1/budgets", c.forTenant(in.Tenant), in)
}

// TryUpdateBudget is UpdateBudget as a dry run.
func (c *Client) TryUpdateBudget(ctx context.Context, id string, in wire.UpdateBudget, without ...string) (wire.DryRun, error) {
	body, err := taking(in, without)
	if err != nil {
		return wire.DryRun{}, err
	}
	return c.try(ctx, "PATCH", "/v1/budgets/"+url.PathEscape(id), nil, body)
}

// TryDeleteBudget is DeleteBudget as a dry run.
func (c *Client) TryDeleteBudget(ctx context.Context, id string) (wire.DryRun, error) {
	return c.try(ctx, "DELETE", "/v1/budgets/"+url.PathEscape(id), nil, nil)
}

// try sends a request as a dry run.
func (c *Client) try(ctx context.Context, method, path string, q url.Values, in any) (wire.DryRun, error) {
	dry := url.Values{"dry_run": {"true"}}
	for name, values := range q {
		dry[name] = values
	}
	return call[wire.DryRun](ctx, c, method, path, dry, in)
}

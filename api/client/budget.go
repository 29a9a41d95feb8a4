package client

import (
	"context"
	"encoding/json"
	"net/url"

	"lodge/api/wire"
)

// Budgets gives the budgets of a tenant, "" of the caller's, or all for an operator.
func (c *Client) Budgets(ctx context.Context, tenant string) ([]wire.Budget, error) {
	return listOfTenant[wire.Budget](ctx, c, "/v1/budgets", tenant)
}

func listOfTenant[T any](ctx context.Context, c *Client, path, tenant string) ([]T, error) {
	v := url.Values{}
	set(v, "tenant", tenant)
	out, err := call[wire.List[T]](ctx, c, "GET", path, v, nil)
	return out.Items, err
}

// Budget gives one budget with where it stands.
func (c *Client) Budget(ctx context.Context, id string) (wire.Budget, error) {
	return call[wire.Budget](ctx, c, "GET", "/v1/budgets/"+url.PathEscape(id), nil, nil)
}

// CreateBudget makes a budget.
func (c *Client) CreateBudget(ctx context.Context, in wire.CreateBudget) (wire.Budget, error) {
	return call[wire.Budget](ctx, c, "POST", "/v1/budgets", c.forTenant(in.Tenant), in)
}

// UpdateBudget changes what is not nil, and takes away what without names: "label"
// or "webhook".
func (c *Client) UpdateBudget(ctx context.Context, id string, in wire.UpdateBudget, without ...string) (wire.Budget, error) {
	body, err := taking(in, without)
	if err != nil {
		return wire.Budget{}, err
	}
	return call[wire.Budget](ctx, c, "PATCH", "/v1/budgets/"+url.PathEscape(id), nil, body)
}

// taking is a change with null for what it takes away.
func taking(in any, names []string) (any, error) {
	if len(names) == 0 {
		return in, nil
	}
	b, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	fields := map[string]any{}
	if err := json.Unmarshal(b, &fields); err != nil {
		return nil, err
	}
	for _, name := range names {
		fields[name] = nil
	}
	return fields, nil
}

// DeleteBudget ends a budget and takes back what it did. What it has stopped may
// be too much to be started at once: then the answer is the budget, which is there
// until that is done; else it has no id.
func (c *Client) DeleteBudget(ctx context.Context, id string) (left wire.Budget, err error) {
	return call[wire.Budget](ctx, c, "DELETE", "/v1/budgets/"+url.PathEscape(id), nil, nil)
}

// Webhooks gives the webhooks of a tenant, "" of the caller's, or all for an
// operator.
func (c *Client) Webhooks(ctx context.Context, tenant string) ([]wire.Webhook, error) {
	return listOfTenant[wire.Webhook](ctx, c, "/v1/webhooks", tenant)
}

// Webhook gives one webhook with its last deliveries.
func (c *Client) Webhook(ctx context.Context, id string) (wire.Webhook, error) {
	return call[wire.Webhook](ctx, c, "GET", "/v1/webhooks/"+url.PathEscape(id), nil, nil)
}

// CreateWebhook makes a webhook; only this answer has its secret.
func (c *Client) CreateWebhook(ctx context.Context, in wire.CreateWebhook) (wire.Webhook, error) {
	return call[wire.Webhook](ctx, c, "POST", "/v1/webhooks", c.forTenant(in.Tenant), in)
}

// UpdateWebhook changes what is not nil.
func (c *Client) UpdateWebhook(ctx context.Context, id string, in wire.UpdateWebhook) (wire.Webhook, error) {
	return call[wire.Webhook](ctx, c, "PATCH", "/v1/webhooks/"+url.PathEscape(id), nil, in)
}

// RotateWebhook gives a webhook a new secret; only this answer has it.
func (c *Client) RotateWebhook(ctx context.Context, id string, in wire.NewSecret) (wire.Webhook, error) {
	return call[wire.Webhook](ctx, c, "POST", "/v1/webhooks/"+url.PathEscape(id)+"/secret", nil, in)
}

// DeleteWebhook ends a webhook that no budget names.
func (c *Client) DeleteWebhook(ctx context.Context, id string) error {
	return c.call(ctx, "DELETE", "/v1/webhooks/"+url.PathEscape(id), nil, nil, nil)
}

// Schedules gives the schedules of a tenant, "" of the caller's, or all for an
// operator.
func (c *Client) Schedules(ctx context.Context, tenant string) ([]wire.Schedule, error) {
	return listOfTenant[wire.Schedule](ctx, c, "/v1/schedules", tenant)
}

// Schedule gives one schedule with what it does next and what it saved.
func (c *Client) Schedule(ctx context.Context, id string) (wire.Schedule, error) {
	return call[wire.Schedule](ctx, c, "GET", "/v1/schedules/"+url.PathEscape(id), nil, nil)
}

// CreateSchedule makes a schedule.
func (c *Client) CreateSchedule(ctx context.Context, in wire.CreateSchedule) (wire.Schedule, error) {
	return call[wire.Schedule](ctx, c, "POST", "/v1/schedules", c.forTenant(in.Tenant), in)
}

// UpdateSchedule changes what is not nil.
func (c *Client) UpdateSchedule(ctx context.Context, id string, in wire.UpdateSchedule) (wire.Schedule, error) {
	return call[wire.Schedule](ctx, c, "PATCH", "/v1/schedules/"+url.PathEscape(id), nil, in)
}

// DeleteSchedule ends a schedule and starts what it has stopped, as DeleteBudget.
func (c *Client) DeleteSchedule(ctx context.Context, id string) (left wire.Schedule, err error) {
	return call[wire.Schedule](ctx, c, "DELETE", "/v1/schedules/"+url.PathEscape(id), nil, nil)
}

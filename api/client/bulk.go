package client

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"

	"lodge/api/wire"
)

// Bulk says which instances of one tenant are changed at once. Of Query what
// narrows is used, but for Name and Host.
type Bulk struct {
	Query
	All    bool // in place of Query.Label: every one that the rest leaves
	DryRun bool
	Expect int  // how many have to be found; 0: any number
	Force  bool // of a stop: the guests are not asked
}

func (b Bulk) values() url.Values {
	b.Sort, b.Fields, b.Cursor, b.Limit = "", "", "", 0
	v := b.Query.values()
	if b.All {
		v.Set("all", "true")
	}
	if b.DryRun {
		v.Set("dry_run", "true")
	}
	if b.Expect > 0 {
		v.Set("expect", strconv.Itoa(b.Expect))
	}
	return v
}

// DeleteInstances asks for the end of many instances. What remains beyond what
// one request changes is for another one.
func (c *Client) DeleteInstances(ctx context.Context, b Bulk) (wire.BulkResult, error) {
	return call[wire.BulkResult](ctx, c, "DELETE", "/v1/instances", b.values(), nil)
}

// StartInstances asks for many stopped instances to run.
func (c *Client) StartInstances(ctx context.Context, b Bulk) (wire.BulkResult, error) {
	return call[wire.BulkResult](ctx, c, "POST", "/v1/instances/start", b.values(), nil)
}

// StopInstances asks for many instances to be stopped.
func (c *Client) StopInstances(ctx context.Context, b Bulk) (wire.BulkResult, error) {
	var in any
	if b.Force {
		in = wire.PowerRequest{Force: true}
	}
	return call[wire.BulkResult](ctx, c, "POST", "/v1/instances/stop", b.values(), in)
}

// UpdateTenant changes the labels of a tenant.
func (c *Client) UpdateTenant(ctx context.Context, id string, in wire.UpdateLabels) (wire.Tenant, error) {
	return call[wire.Tenant](ctx, c, "PATCH", "/v1/tenants/"+url.PathEscape(id), nil, in)
}

// UpdateNetwork changes the labels of a network.
func (c *Client) UpdateNetwork(ctx context.Context, id string, in wire.UpdateLabels) (wire.Network, error) {
	return call[wire.Network](ctx, c, "PATCH", "/v1/networks/"+url.PathEscape(id), nil, in)
}

// AllParts gives the whole list of a noun ("instances", "images", "networks",
// "tenants", "users") as lodged wrote it: with q.Fields only those fields.
func (c *Client) AllParts(ctx context.Context, noun string, q Query) ([]json.RawMessage, error) {
	return all(ctx, q, func(ctx context.Context, q Query) (wire.List[json.RawMessage], error) {
		return call[wire.List[json.RawMessage]](ctx, c, "GET", "/v1/"+noun, q.values(), nil)
	})
}

package client

import (
	"context"
	"net/url"
	"strconv"

	"lodge/api/wire"
)

// PriceQuery narrows prices and discounts. At is a time of RFC 3339, a day or a
// month: only what is valid then.
type PriceQuery struct {
	Tenant string
	Meter  string
	At     string
}

func (q PriceQuery) values() url.Values {
	v := url.Values{}
	set(v, "tenant", q.Tenant)
	set(v, "meter", q.Meter)
	set(v, "at", q.At)
	return v
}

// allOfBook reads every part of a list of the book.
func allOfBook[T any](ctx context.Context, c *Client, path string, q PriceQuery) ([]T, error) {
	return all(ctx, Query{}, func(ctx context.Context, part Query) (wire.List[T], error) {
		v := q.values()
		set(v, "cursor", part.Cursor)
		v.Set("limit", strconv.Itoa(part.Limit))
		return call[wire.List[T]](ctx, c, "GET", path, v, nil)
	})
}

// Prices gives the prices that count for the caller: the general ones and those
// of its tenant.
func (c *Client) Prices(ctx context.Context, q PriceQuery) ([]wire.Price, error) {
	return allOfBook[wire.Price](ctx, c, "/v1/prices", q)
}

// Price gives one price.
func (c *Client) Price(ctx context.Context, id string) (wire.Price, error) {
	return call[wire.Price](ctx, c, "GET", "/v1/prices/"+url.PathEscape(id), nil, nil)
}

// CreatePrice puts a price into the book.
func (c *Client) CreatePrice(ctx context.Context, in wire.CreatePrice) (wire.Price, error) {
	return call[wire.Price](ctx, c, "POST", "/v1/prices", nil, in)
}

// EndPrice lets a price end at a whole hour that is not past.
func (c *Client) EndPrice(ctx context.Context, id string, in wire.EndPrice) (wire.Price, error) {
	return call[wire.Price](ctx, c, "POST", "/v1/prices/"+url.PathEscape(id)+"/end", nil, in)
}

// Discounts gives the discounts of the caller's tenant, or of all of them for an
// operator.
func (c *Client) Discounts(ctx context.Context, q PriceQuery) ([]wire.Discount, error) {
	return allOfBook[wire.Discount](ctx, c, "/v1/discounts", q)
}

// Discount gives one discount.
func (c *Client) Discount(ctx context.Context, id string) (wire.Discount, error) {
	return call[wire.Discount](ctx, c, "GET", "/v1/discounts/"+url.PathEscape(id), nil, nil)
}

// CreateDiscount gives a tenant a discount.
func (c *Client) CreateDiscount(ctx context.Context, in wire.CreateDiscount) (wire.Discount, error) {
	return call[wire.Discount](ctx, c, "POST", "/v1/discounts", nil, in)
}

// EndDiscount lets a discount end at a whole hour that is not past.
func (c *Client) EndDiscount(ctx context.Context, id string, in wire.EndPrice) (wire.Discount, error) {
	return call[wire.Discount](ctx, c, "POST", "/v1/discounts/"+url.PathEscape(id)+"/end", nil, in)
}

// CreateEstimate asks what an instance would cost; nothing is made.
func (c *Client) CreateEstimate(ctx context.Context, in wire.CreateEstimate) (wire.SizeEstimate, error) {
	return call[wire.SizeEstimate](ctx, c, "POST", "/v1/estimates", c.forTenant(in.Tenant), in)
}

// CostQuery narrows a report of costs. From and To are whole hours, days or
// months; To is not included. Label is a selector of labels, as they were then.
type CostQuery struct {
	Tenant   string
	Instance string
	Label    string
	From, To string
	By       string // "instance", "tenant", "day", "hour", "meter", "label:KEY"
}

func (q CostQuery) values() url.Values {
	v := url.Values{}
	set(v, "tenant", q.Tenant)
	set(v, "instance", q.Instance)
	set(v, "label", q.Label)
	set(v, "from", q.From)
	set(v, "to", q.To)
	set(v, "by", q.By)
	return v
}

// Cost gives what was used in a period costs.
func (c *Client) Cost(ctx context.Context, q CostQuery) (wire.Cost, error) {
	return call[wire.Cost](ctx, c, "GET", "/v1/cost", q.values(), nil)
}

// InstanceWithCost is Instance with what it cost in this month so far.
func (c *Client) InstanceWithCost(ctx context.Context, id string) (wire.Instance, error) {
	return call[wire.Instance](ctx, c, "GET", "/v1/instances/"+url.PathEscape(id), url.Values{"cost": {"true"}}, nil)
}

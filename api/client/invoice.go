package client

import (
	"context"
	"io"
	"net/url"

	"lodge/api/wire"
)

// InvoiceQuery narrows invoices. Month is as "2026-11".
type InvoiceQuery struct {
	Tenant string
	Month  string
}

func (q InvoiceQuery) values() url.Values {
	v := url.Values{}
	set(v, "tenant", q.Tenant)
	set(v, "month", q.Month)
	return v
}

// CreateInvoice freezes a month of a tenant, for operators.
func (c *Client) CreateInvoice(ctx context.Context, in wire.CreateInvoice) (wire.Invoice, error) {
	return call[wire.Invoice](ctx, c, "POST", "/v1/invoices", nil, in)
}

// Invoices gives the invoices that the caller may see, the newest first, without
// their lines.
func (c *Client) Invoices(ctx context.Context, q InvoiceQuery) ([]wire.Invoice, error) {
	out, err := call[wire.List[wire.Invoice]](ctx, c, "GET", "/v1/invoices", q.values(), nil)
	return out.Items, err
}

// Invoice gives an invoice with its lines.
func (c *Client) Invoice(ctx context.Context, id string) (wire.Invoice, error) {
	return call[wire.Invoice](ctx, c, "GET", "/v1/invoices/"+url.PathEscape(id), nil, nil)
}

// DraftInvoice says what the invoice of a month would be, of the present one when
// none is named.
func (c *Client) DraftInvoice(ctx context.Context, q InvoiceQuery) (wire.Invoice, error) {
	return call[wire.Invoice](ctx, c, "GET", "/v1/invoices/draft", q.values(), nil)
}

// InvoiceAs gives an invoice as a file: format is "csv" or "html".
func (c *Client) InvoiceAs(ctx context.Context, id, format string) ([]byte, error) {
	return call[[]byte](ctx, c, "GET", "/v1/invoices/"+url.PathEscape(id), url.Values{"format": {format}}, nil)
}

// DraftInvoiceAs is InvoiceAs of a draft.
func (c *Client) DraftInvoiceAs(ctx context.Context, q InvoiceQuery, format string) ([]byte, error) {
	v := q.values()
	v.Set("format", format)
	return call[[]byte](ctx, c, "GET", "/v1/invoices/draft", v, nil)
}

// CostAs gives a report of costs as CSV.
func (c *Client) CostAs(ctx context.Context, q CostQuery) ([]byte, error) {
	v := q.values()
	v.Set("format", "csv")
	return call[[]byte](ctx, c, "GET", "/v1/cost", v, nil)
}

// FocusQuery says which hours to export. From and To are whole hours, days or
// months; Month is both.
type FocusQuery struct {
	Tenant          string
	Month, From, To string
	Version         string // of FOCUS: "1.2", which is the default, or "1.3"
}

// ExportFocus writes closed hours as the CSV of FOCUS to w. An error means that
// what was written is not all of it.
func (c *Client) ExportFocus(ctx context.Context, q FocusQuery, w io.Writer) error {
	v := url.Values{}
	set(v, "tenant", q.Tenant)
	set(v, "month", q.Month)
	set(v, "from", q.From)
	set(v, "to", q.To)
	set(v, "version", q.Version)
	return c.call(ctx, "GET", "/v1/export/focus", v, nil, w)
}

// UsageSink says how far the receiver of usage events has got, for operators.
func (c *Client) UsageSink(ctx context.Context) (wire.UsageSink, error) {
	return call[wire.UsageSink](ctx, c, "GET", "/v1/export/sink", nil, nil)
}

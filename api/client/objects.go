package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"lodge/api/wire"
)

// Version says which lodged answers.
func (c *Client) Version(ctx context.Context) (wire.Version, error) {
	return call[wire.Version](ctx, c, "GET", "/v1/version", nil, nil)
}

// Ready returns nil when lodged takes requests that change something.
func (c *Client) Ready(ctx context.Context) error {
	return c.call(ctx, "GET", "/readyz", nil, nil, nil)
}

// Healthy returns nil when the process answers.
func (c *Client) Healthy(ctx context.Context) error {
	return c.call(ctx, "GET", "/healthz", nil, nil, nil)
}

// OpenAPI gives the description of the API that lodged was built with, in YAML.
func (c *Client) OpenAPI(ctx context.Context) ([]byte, error) {
	return call[[]byte](ctx, c, "GET", "/v1/openapi.yaml", nil, nil)
}

// Docs gives the reference for people, in HTML.
func (c *Client) Docs(ctx context.Context) ([]byte, error) {
	return call[[]byte](ctx, c, "GET", "/docs", nil, nil)
}

// Metrics gives the metrics in the text format of Prometheus.
func (c *Client) Metrics(ctx context.Context) ([]byte, error) {
	return call[[]byte](ctx, c, "GET", "/metrics", nil, nil)
}

// CreateTenant makes a tenant.
func (c *Client) CreateTenant(ctx context.Context, in wire.CreateTenant) (wire.Tenant, error) {
	return call[wire.Tenant](ctx, c, "POST", "/v1/tenants", nil, in)
}

// Tenant gives one tenant.
func (c *Client) Tenant(ctx context.Context, id string) (wire.Tenant, error) {
	return call[wire.Tenant](ctx, c, "GET", "/v1/tenants/"+url.PathEscape(id), nil, nil)
}

// Tenants gives a part of the list of tenants.
func (c *Client) Tenants(ctx context.Context, q Query) (wire.List[wire.Tenant], error) {
	return call[wire.List[wire.Tenant]](ctx, c, "GET", "/v1/tenants", q.values(), nil)
}

// AllTenants gives the whole list.
func (c *Client) AllTenants(ctx context.Context, q Query) ([]wire.Tenant, error) {
	return all(ctx, q, c.Tenants)
}

// DeleteTenant removes a tenant that owns nothing.
func (c *Client) DeleteTenant(ctx context.Context, id string) error {
	return c.call(ctx, "DELETE", "/v1/tenants/"+url.PathEscape(id), nil, nil, nil)
}

// ImportImage asks for an image to be fetched from a URL.
func (c *Client) ImportImage(ctx context.Context, in wire.ImportImage) (wire.Image, error) {
	return call[wire.Image](ctx, c, "POST", "/v1/images", c.forTenant(in.Tenant), in)
}

// UploadImage sends the bytes of an image and returns it once it is usable.
// size is the number of bytes, -1 when not known. progress, when not nil, is
// called with the number of bytes that were sent, at most ten times a second
// and once at the end. On an error lodged keeps nothing; a Read of r that blocks
// holds nothing up, but may still be under way when this returns.
func (c *Client) UploadImage(ctx context.Context, in wire.UploadImage, r io.Reader, size int64, progress func(done int64)) (wire.Image, error) {
	q := url.Values{}
	set(q, "name", in.Name)
	set(q, "tenant", in.Tenant)
	set(q, "sha256", in.SHA256)
	set(q, "firmware", in.Firmware)
	set(q, "user", in.LoginUser)
	if in.Public {
		q.Set("public", "true")
	}
	if in.Default {
		q.Set("default", "true")
	}
	if in.Protected {
		q.Set("protected", "true")
	}
	var out wire.Image
	body, feed := io.Pipe()
	defer body.Close()
	req, err := c.request(ctx, "POST", "/v1/images", q, &upload{PipeReader: body, tell: progress})
	if err != nil {
		return out, err
	}
	// net/http waits for a Read of the body even when ctx has ended; a pipe can
	// be closed under it, a terminal cannot.
	stop := context.AfterFunc(ctx, func() { _ = body.CloseWithError(ctx.Err()) })
	defer stop()
	go func() {
		_, err := io.CopyBuffer(feed, struct{ io.Reader }{r}, make([]byte, 256<<10))
		_ = feed.CloseWithError(err)
	}()
	req.ContentLength = size
	if size == 0 {
		req.Body = http.NoBody
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	// lodged checks the query first: a refusal then costs no upload.
	req.Header.Set("Expect", "100-continue")
	if err = c.do(req, &out); IsUnreachable(err) && ctx.Err() != nil {
		err = ctx.Err() // and not that the pipe was closed
	}
	return out, err
}

// upload is a body that tells how much of it was sent.
type upload struct {
	*io.PipeReader
	done int64
	tell func(int64)
	told time.Time
}

func (u *upload) Read(p []byte) (int, error) {
	n, err := u.PipeReader.Read(p)
	u.done += int64(n)
	if u.tell != nil && (err == io.EOF || time.Since(u.told) >= 100*time.Millisecond) {
		u.told = time.Now()
		u.tell(u.done)
	}
	return n, err
}

// Image gives one image.
func (c *Client) Image(ctx context.Context, id string) (wire.Image, error) {
	return call[wire.Image](ctx, c, "GET", "/v1/images/"+url.PathEscape(id), nil, nil)
}

// Images gives a part of the list of images.
func (c *Client) Images(ctx context.Context, q Query) (wire.List[wire.Image], error) {
	return call[wire.List[wire.Image]](ctx, c, "GET", "/v1/images", q.values(), nil)
}

// AllImages gives the whole list.
func (c *Client) AllImages(ctx context.Context, q Query) ([]wire.Image, error) {
	return all(ctx, q, c.Images)
}

// UpdateImage changes what is not nil.
func (c *Client) UpdateImage(ctx context.Context, id string, in wire.UpdateImage) (wire.Image, error) {
	return call[wire.Image](ctx, c, "PATCH", "/v1/images/"+url.PathEscape(id), nil, in)
}

// DeleteImage removes an image that no instance uses.
func (c *Client) DeleteImage(ctx context.Context, id string) error {
	return c.call(ctx, "DELETE", "/v1/images/"+url.PathEscape(id), nil, nil, nil)
}

// CreateFlavor makes a flavor.
func (c *Client) CreateFlavor(ctx context.Context, in wire.CreateFlavor) (wire.Flavor, error) {
	return call[wire.Flavor](ctx, c, "POST", "/v1/flavors", nil, in)
}

// Flavor gives one flavor.
func (c *Client) Flavor(ctx context.Context, id string) (wire.Flavor, error) {
	return call[wire.Flavor](ctx, c, "GET", "/v1/flavors/"+url.PathEscape(id), nil, nil)
}

// Flavors gives every flavor.
func (c *Client) Flavors(ctx context.Context) ([]wire.Flavor, error) {
	var out wire.List[wire.Flavor]
	err := c.call(ctx, "GET", "/v1/flavors", nil, nil, &out)
	return out.Items, err
}

// DeleteFlavor removes a flavor; instances made from it stay as they are.
func (c *Client) DeleteFlavor(ctx context.Context, id string) error {
	return c.call(ctx, "DELETE", "/v1/flavors/"+url.PathEscape(id), nil, nil, nil)
}

// Network gives one network.
func (c *Client) Network(ctx context.Context, id string) (wire.Network, error) {
	return call[wire.Network](ctx, c, "GET", "/v1/networks/"+url.PathEscape(id), nil, nil)
}

// Networks gives a part of the list of networks.
func (c *Client) Networks(ctx context.Context, q Query) (wire.List[wire.Network], error) {
	return call[wire.List[wire.Network]](ctx, c, "GET", "/v1/networks", q.values(), nil)
}

// AllNetworks gives the whole list.
func (c *Client) AllNetworks(ctx context.Context, q Query) ([]wire.Network, error) {
	return all(ctx, q, c.Networks)
}

// Hosts gives every host.
func (c *Client) Hosts(ctx context.Context) ([]wire.Host, error) {
	var out wire.List[wire.Host]
	err := c.call(ctx, "GET", "/v1/hosts", nil, nil, &out)
	return out.Items, err
}

// EventQuery narrows the events and says where to go on.
type EventQuery struct {
	Tenant   string
	Instance string // id
	After    int64  // events with a greater Seq
	Limit    int
}

// Events gives events, oldest first. Next is set when more follow at once; to
// go on later, ask again after the last Seq.
func (c *Client) Events(ctx context.Context, q EventQuery) (wire.List[wire.Event], error) {
	v := url.Values{}
	set(v, "tenant", q.Tenant)
	set(v, "instance", q.Instance)
	if q.After > 0 {
		v.Set("after", strconv.FormatInt(q.After, 10))
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return call[wire.List[wire.Event]](ctx, c, "GET", "/v1/events", v, nil)
}

// UsageQuery narrows the usage. From and To are times of RFC 3339, days or
// months ("2026-11"), each meaning its first instant; To is not included.
type UsageQuery struct {
	Tenant   string
	Instance string
	From, To string
}

// UsageReport gives how much of each meter was used in a period, by q.By.
func (c *Client) UsageReport(ctx context.Context, q CostQuery) (wire.UsageReport, error) {
	if q.By == "" {
		q.By = "instance"
	}
	return call[wire.UsageReport](ctx, c, "GET", "/v1/usage", q.values(), nil)
}

// UsageAs gives the same as CSV.
func (c *Client) UsageAs(ctx context.Context, q CostQuery) ([]byte, error) {
	v := q.values()
	v.Set("format", "csv")
	return call[[]byte](ctx, c, "GET", "/v1/usage", v, nil)
}

// VerifyUsage has the whole ledger computed again. head is a link of the chain that
// was kept elsewhere, as NUMBER:SHA256; "" for none.
func (c *Client) VerifyUsage(ctx context.Context, head string) (wire.UsageVerification, error) {
	q := url.Values{}
	if head != "" {
		q.Set("head", head)
	}
	return call[wire.UsageVerification](ctx, c, "GET", "/v1/usage/verify", q, nil)
}

// Usage gives what was used in a period.
func (c *Client) Usage(ctx context.Context, q UsageQuery) (wire.Usage, error) {
	v := url.Values{}
	set(v, "tenant", q.Tenant)
	set(v, "instance", q.Instance)
	set(v, "from", q.From)
	set(v, "to", q.To)
	return call[wire.Usage](ctx, c, "GET", "/v1/usage", v, nil)
}

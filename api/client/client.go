// Package client is a Go client of lodge's /v1, over a unix socket or HTTPS. It
// knows the wire and nothing of the server; it never retries a request that
// changes something, follows no redirect, and sends a token over no wire in the
// clear.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"lodge/api/wire"
)

// Client calls one lodged. It is safe for use by many goroutines.
type Client struct {
	base   string
	http   *http.Client
	agent  string
	token  string
	ca     []byte
	tenant string
}

// Option changes how a Client works.
type Option func(*Client)

// WithHTTP uses h in place of a client made for the target.
func WithHTTP(h *http.Client) Option { return func(c *Client) { c.http = h } }

// WithUserAgent says who calls.
func WithUserAgent(agent string) Option { return func(c *Client) { c.agent = agent } }

// WithToken shows a token with every request.
func WithToken(token string) Option { return func(c *Client) { c.token = token } }

// WithCA believes the authority in pem and no others; without it those of the
// system are believed.
func WithCA(pem []byte) Option { return func(c *Client) { c.ca = pem } }

// WithTenant names a tenant, by id or name, in every request that takes one and
// names none itself. Members of several tenants need it.
func WithTenant(tenant string) Option { return func(c *Client) { c.tenant = tenant } }

// New makes a client of the lodged at target: "/run/lodge/lodge.sock" or
// "unix:///run/lodge/lodge.sock" for a unix socket, "https://host:port" else, or
// "http://127.0.0.1:port" on a loopback address. It does not connect.
func New(target string, opts ...Option) (*Client, error) {
	c := &Client{agent: "lodge-client"}
	for _, o := range opts {
		o(c)
	}
	transport := &http.Transport{
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		DisableCompression:    true,
	}
	if err := c.aim(target, transport); err != nil {
		return nil, err
	}
	if c.http == nil {
		c.http = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // lodged sends none; the token is for it alone
		}}
	}
	return c, nil
}

// aim says where the requests go, and by which way.
func (c *Client) aim(target string, transport *http.Transport) error {
	socket, isUnix := strings.CutPrefix(target, "unix://")
	if !isUnix {
		socket, isUnix = strings.CutPrefix(target, "unix:")
	}
	if isUnix || strings.HasPrefix(target, "/") || strings.HasPrefix(target, ".") {
		if socket == "" {
			return errors.New("the target names no socket")
		}
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		}
		c.base = "http://lodge"
		return nil
	}
	u, err := url.Parse(target)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
		return errors.New("the target is neither the path of a socket nor an http URL")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("the target is more than scheme, host, port and path")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return fmt.Errorf("plain http is for loopback addresses, and %s is none; use https", u.Hostname())
	}
	if len(c.ca) > 0 {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(c.ca) {
			return errors.New("there is no certificate in the authority's PEM")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	transport.ForceAttemptHTTP2 = true // own TLS settings turn it off
	transport.Proxy = http.ProxyFromEnvironment
	c.base = strings.TrimRight(target, "/")
	return nil
}

// loopback reports whether what is sent to host leaves the machine.
func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Error is an answer of lodged that says what went wrong.
type Error struct {
	Status    int
	Code      string // for programs: see wire.Failure
	Detail    string // a sentence
	Fields    []wire.FieldError
	RequestID string
}

// Error is the sentence, with those of the fields that it does not tell.
func (e *Error) Error() string {
	out := e.Detail
	if out == "" {
		out = fmt.Sprintf("lodged answered with status %d.", e.Status)
	}
	for _, f := range e.Fields {
		if len(e.Fields) > 1 || !strings.Contains(out, f.Message) {
			out += fmt.Sprintf(" %s: %s", f.Field, f.Message)
		}
	}
	return out
}

// CodeOf gives the code of an answer inside err, "" when there is none.
func CodeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// IsNotFound reports whether lodged said that there is no such object.
func IsNotFound(err error) bool { return CodeOf(err) == "not_found" }

// IsUnauthorized reports whether lodged does not know who asks.
func IsUnauthorized(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusUnauthorized
}

// IsUnreachable reports whether no answer came at all.
func IsUnreachable(err error) bool {
	var e *Error
	return err != nil && !errors.As(err, &e) &&
		!errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// call sends in as JSON when it is not nil and reads the answer into out when
// that is not nil.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := c.request(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return c.do(req, out)
}

// call is Client.call for an answer of type T.
func call[T any](ctx context.Context, c *Client, method, path string, query url.Values, in any) (T, error) {
	var out T
	err := c.call(ctx, method, path, query, in, &out)
	return out, err
}

func (c *Client) request(ctx context.Context, method, path string, query url.Values, body io.Reader) (*http.Request, error) {
	if c.tenant != "" && query.Get("tenant") == "" && takesTenant(method, path) {
		query = maps.Clone(query)
		if query == nil {
			query = url.Values{}
		}
		query.Set("tenant", c.tenant)
	}
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json, application/problem+json")
	req.Header.Set("User-Agent", c.agent)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return req, nil
}

func (c *Client) do(req *http.Request, out any) error {
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer drain(resp.Body)
	noteBegun(req, resp)
	if resp.StatusCode >= 300 {
		return failure(resp)
	}
	if resp.StatusCode == http.StatusNoContent {
		return nil
	}
	switch out := out.(type) {
	case nil:
		return nil
	case *[]byte:
		*out, err = io.ReadAll(resp.Body)
	case io.Writer:
		_, err = io.Copy(out, resp.Body)
	default:
		err = json.NewDecoder(resp.Body).Decode(out)
	}
	if err != nil {
		return fmt.Errorf("read the answer of lodged: %w", err)
	}
	return nil
}

// drain reads the little that may be left, so that the connection can be used
// again.
func drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 4<<10)
	_ = body.Close()
}

func failure(resp *http.Response) error {
	e := &Error{Status: resp.StatusCode, RequestID: resp.Header.Get("X-Request-Id")}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	var f wire.Failure
	if media == "application/problem+json" && json.Unmarshal(b, &f) == nil {
		e.Code, e.Detail, e.Fields, e.RequestID = f.Code, f.Detail, f.Errors, f.RequestID
	}
	return e
}

// Query narrows a list and picks a part of it. Zero values do neither.
type Query struct {
	Tenant     string // id or name
	Name       string
	NamePrefix string
	State      string
	Label      string // a selector as in Kubernetes: "env=prod,tier!=db"
	Image      string // of instances: id or name
	Flavor     string // of instances
	Host       string // of instances: its id, for operators
	// CreatedAfter and CreatedBefore are RFC 3339, days or months.
	CreatedAfter, CreatedBefore string
	Sort                        string // "created_at", "name", "-created_at" or "-name"; "" the first
	Fields                      string // "id,name": the others of each item stay zero
	Limit                       int
	Cursor                      string
}

func (q Query) values() url.Values {
	v := url.Values{}
	set(v, "tenant", q.Tenant)
	set(v, "name", q.Name)
	set(v, "state", q.State)
	set(v, "name_prefix", q.NamePrefix)
	set(v, "label", q.Label)
	set(v, "image", q.Image)
	set(v, "flavor", q.Flavor)
	set(v, "host", q.Host)
	set(v, "created_after", q.CreatedAfter)
	set(v, "created_before", q.CreatedBefore)
	set(v, "sort", q.Sort)
	set(v, "fields", q.Fields)
	set(v, "cursor", q.Cursor)
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return v
}

func set(v url.Values, key, value string) {
	if value != "" {
		v.Set(key, value)
	}
}

// wholePart is the longest part of a list that lodged gives.
const wholePart = 500

// all reads every part of a list.
func all[T any](ctx context.Context, q Query, part func(context.Context, Query) (wire.List[T], error)) ([]T, error) {
	items := []T{}
	if q.Limit == 0 {
		q.Limit = wholePart
	}
	for {
		list, err := part(ctx, q)
		if err != nil {
			return nil, err
		}
		items = append(items, list.Items...)
		if list.Next == "" || list.Next == q.Cursor {
			return items, nil
		}
		q.Cursor = list.Next
	}
}

package client

import (
	"context"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"time"

	"lodge/api/wire"
)

// begunKey is where a context holds what Begun fills in.
type begunKey struct{}

// Begun is a context for one call: when it returns, id is that of the operation
// which does what was asked for, or "" when there was nothing to do.
func Begun(ctx context.Context, id *string) context.Context {
	return context.WithValue(ctx, begunKey{}, id)
}

// noteBegun tells who made the request which operation its answer names.
func noteBegun(req *http.Request, resp *http.Response) {
	id, asked := req.Context().Value(begunKey{}).(*string)
	if !asked {
		return
	}
	*id = ""
	if at := resp.Header.Get("Operation-Location"); at != "" {
		*id = path.Base(at)
	}
}

// OperationQuery narrows a list of operations and picks a part of it. Zero
// values do neither.
type OperationQuery struct {
	Tenant   string // id or name
	State    string
	Kind     string
	Resource string // id of an instance or image
	Limit    int
	Cursor   string
}

// Operations gives a part of the list of operations, the oldest first.
func (c *Client) Operations(ctx context.Context, q OperationQuery) (wire.List[wire.Operation], error) {
	v := Query{Tenant: q.Tenant, State: q.State, Limit: q.Limit, Cursor: q.Cursor}.values()
	set(v, "kind", q.Kind)
	set(v, "resource", q.Resource)
	return call[wire.List[wire.Operation]](ctx, c, "GET", "/v1/operations", v, nil)
}

// AllOperations gives the whole list.
func (c *Client) AllOperations(ctx context.Context, q OperationQuery) ([]wire.Operation, error) {
	return all(ctx, Query{Limit: q.Limit, Cursor: q.Cursor}, func(ctx context.Context, part Query) (wire.List[wire.Operation], error) {
		q.Limit, q.Cursor = part.Limit, part.Cursor
		return c.Operations(ctx, q)
	})
}

// Operation gives one operation. With a wait above zero, at most a minute, the
// answer comes when it has ended, or as it is when the wait is over.
func (c *Client) Operation(ctx context.Context, id string, wait time.Duration) (wire.Operation, error) {
	v := url.Values{}
	if wait > 0 {
		v.Set("wait", strconv.FormatInt(wait.Milliseconds(), 10)+"ms")
	}
	return call[wire.Operation](ctx, c, "GET", "/v1/operations/"+url.PathEscape(id), v, nil)
}

// CancelOperation ends an operation and has what it made deleted. Not every one
// can be cancelled: the answer then is an Error with the code "conflict".
func (c *Client) CancelOperation(ctx context.Context, id string) (wire.Operation, error) {
	return call[wire.Operation](ctx, c, "POST", "/v1/operations/"+url.PathEscape(id)+"/cancel", nil, nil)
}

// operationWait is how long one request of WaitOperation waits: longer than most
// operations take, and short enough for the progress of an import to be told.
const operationWait = 5 * time.Second

// WaitOperation returns the operation once it has ended, well or not. onLook,
// when not nil, is called with each look at it. It ends with an error when ctx
// ends, when there is no such operation, or when lodged is out of reach for half
// a minute.
func (c *Client) WaitOperation(ctx context.Context, id string, onLook func(wire.Operation)) (wire.Operation, error) {
	var last wire.Operation
	silence, wait := time.Duration(0), time.Duration(0) // the first look is told at once
	for {
		o, err := c.Operation(ctx, id, wait)
		pause := waitLeast // also for a lodged that is being stopped and answers at once
		switch {
		case err == nil:
			silence, last, wait = 0, o, operationWait
			if onLook != nil {
				onLook(o)
			}
			if o.Ended() {
				return o, nil
			}
		case ctx.Err() != nil:
			return last, ctx.Err()
		case CodeOf(err) == "rate_limited":
			pause = waitMost // too many wait: look now and then
			wait = 0
		case !IsUnreachable(err) && CodeOf(err) != "unavailable", silence > waitPatience:
			return last, err
		default:
			pause = waitMost
			silence += pause
		}
		select {
		case <-ctx.Done():
			return last, ctx.Err()
		case <-time.After(pause):
		}
	}
}

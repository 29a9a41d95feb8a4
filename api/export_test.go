package api

import (
	"cmp"
	"context"
	"net/http"
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gorilla/mux"

	"lodge/cloud"
)

// Routes lists the routes as the router has them.
func Routes() (out []string) {
	s := &server{}
	err := s.router().Walk(func(r *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err := r.GetPathTemplate()
		if err != nil {
			return err
		}
		methods, err := r.GetMethods()
		for _, m := range methods {
			out = append(out, m+" "+path)
		}
		return err
	})
	if err != nil {
		panic(err)
	}
	slices.Sort(out)
	return out
}

// KnownFields are the JSON names of v's fields.
func KnownFields(v any) []string { return knownFields(reflect.TypeOf(v)) }

// DecodeBytes is what every JSON body goes through.
func DecodeBytes(body []byte, out any) error { return decodeBytes(body, out) }

// Bounded is an API with little memory for rendered instances.
type Bounded struct {
	http.Handler
	fragments *fragments
}

// NewBounded is New with a bound on the rendered instances.
func NewBounded(o Options, most int) *Bounded {
	s := newServer(o)
	s.instances.most = most
	return &Bounded{s.edge(s.router()), s.instances}
}

// Held is how many bytes of rendered instances are kept, and thought to be.
func (b *Bounded) Held() (held, counted int) {
	for _, e := range b.fragments.byID {
		held += len(e.json)
	}
	return held, b.fragments.bytes
}

// NewFailures is an API that counts dropped entries of the audit log so soon.
func NewFailures(o Options, after time.Duration) http.Handler {
	s := newServer(o)
	s.failures.after = after
	return s.middleware(s.router())
}

// A Rule is who may call a route.
type Rule struct {
	Method, Path string
	Need         cloud.Role
}

// Actions are the words of the audit log by route.
func Actions() map[string]string { return actions }

// Rules lists every route with the role it needs, in the order of the paths.
func Rules() (out []Rule) {
	for _, rt := range (&server{}).routes() {
		out = append(out, Rule{rt.method, rt.path, rt.need})
	}
	slices.SortFunc(out, func(a, b Rule) int { return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method)) })
	return out
}

// NewSeats is an API with other bounds on streams of events.
func NewSeats(o Options, all, tenant, caller int) http.Handler {
	s := newServer(o)
	s.streams.all, s.streams.tenant, s.streams.caller = all, tenant, caller
	return s.middleware(s.router())
}

// NewExports is an API that writes so many exports at once.
func NewExports(o Options, all int) http.Handler {
	s := newServer(o)
	s.exports.all = all
	return s.edge(s.router())
}

// Trim cuts the JSON of a struct down to some fields.
func Trim(b []byte, fields []string) []byte { return trim(nil, b, fields) }

// Compressed is what compresses answers.
func Compressed(h http.Handler) http.Handler { return compressed(h) }

// Unbound says why a route takes no If-Match; "" when it takes one.
func Unbound(route string) string { return unbound[route] }

// NotOnce says whether a route takes no Idempotency-Key.
func NotOnce(path string) bool {
	_, not := notOnce[path]
	return not
}

// Pools says what is held of the pools of bodies.
type Pools struct {
	b    *bodies
	busy *atomic.Int64
}

// Shares is how many callers and tenants hold something of a pool or wait for it.
func (p Pools) Shares() (n int) {
	for _, one := range []*pool{p.b.known, p.b.open} {
		one.mu.Lock()
		n += len(one.of) + len(one.seats) + len(one.queue) + int(one.common.held+one.common.leaving+one.extra)
		one.mu.Unlock()
	}
	return n
}

// Held is how many bytes bodies have.
func (p Pools) Held() (n int64) {
	for _, one := range []*pool{p.b.known, p.b.open} {
		one.mu.Lock()
		n += one.common.held + one.extra
		one.mu.Unlock()
	}
	return n
}

// Busy is how many requests are not answered yet.
func (p Pools) Busy() int64 { return p.busy.Load() }

// NewPools is an API that waits so long for the place of a body, and lets a body
// stand still for so long while others wait.
func NewPools(o Options, wait, still time.Duration) (http.Handler, Pools) {
	s := newServer(o)
	s.bodies.wait = wait
	s.bodies.known.still, s.bodies.open.still = still, still
	p, h := Pools{s.bodies, new(atomic.Int64)}, s.edge(s.router())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.busy.Add(1)
		defer p.busy.Add(-1)
		h.ServeHTTP(w, r)
	}), p
}

// Lingerers count who is waited for.
type Lingerers struct{ l *lingerers }

// NewLingerers counts nobody yet.
func NewLingerers() Lingerers { return Lingerers{&lingerers{of: map[string]int{}}} }

// Enter counts a request from there.
func (l Lingerers) Enter(from string) (leave func(), ok bool) {
	return l.l.enter(&http.Request{RemoteAddr: from})
}

// Counted is how many addresses and connections are counted.
func (l Lingerers) Counted() int { return len(l.l.of) + l.l.all }

// ReplyInvoicePage is the page of an invoice.
var ReplyInvoicePage = replyInvoicePage

// Desk is one desk of an API.
type Desk struct{ d *desk }

// NewDesk is a desk with these bounds.
func NewDesk(places, share, waits, queue int, patience time.Duration, closing <-chan struct{}) Desk {
	return Desk{newDesk(size{places, share, waits, queue}, patience, closing)}
}

// Enter waits for a place of a caller.
func (d Desk) Enter(ctx context.Context, caller string) (leave func(), ok bool) {
	q, ok := d.d.enter(ctx, who{"user", caller})
	return func() { d.d.leave(q) }, ok
}

// Held is how many are there, how many wait, and how many callers are known.
func (d Desk) Held() (taken, waiting, callers int) {
	d.d.mu.Lock()
	defer d.d.mu.Unlock()
	return d.d.taken, d.d.waiting, len(d.d.of) + len(d.d.turns)
}

// NewDesked is an API all of whose desks are one.
func NewDesked(o Options, d Desk) http.Handler {
	s := newServer(o)
	s.desks = desks{d.d, d.d, d.d}
	return s.edge(s.router())
}

// Undesked are the routes that need no place.
func Undesked(r Rule) bool {
	return newDesks(nil).at(route{method: r.Method, path: r.Path, need: r.Need}) == nil
}

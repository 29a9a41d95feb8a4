package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"time"

	"lodge/cloud"
)

const (
	// maxBody is the longest JSON body of a request.
	maxBody = 1 << 20
	// maxOpenBody is the longest of whoever has not said who it is.
	maxOpenBody = 16 << 10
	// freeBody is how much of each body is not counted: the connection takes more.
	// Most bodies are shorter, all logins are.
	freeBody = 512
	// bodyStep is the first place of a body that is longer. It doubles whenever it
	// is full, so that nobody has more than twice what it has sent.
	bodyStep = 4 << 10
	// bodyWait is how long a body waits for more place.
	bodyWait = 2 * time.Second
	// bodyStill is how long a body may stand still while another one waits: it must
	// have sent a step since then.
	bodyStill = time.Second
)

// bodies bound the bytes of all JSON bodies that are being read and decoded;
// decoding takes some times as much. The memory is that of the guests. Uploads
// stream, and are not counted. Whoever has not said who it is has a pool apart.
type bodies struct {
	known, open *pool
	wait        time.Duration
}

func newBodies() *bodies {
	return &bodies{
		known: newPool(bounds{all: 16 << 20, tenant: 8 << 20, each: 4 << 20, spare: 8 << 20, first: 64 << 10}),
		open:  newPool(bounds{all: 2 << 20, each: 1 << 20, spare: 2 << 20, first: maxOpenBody}),
		wait:  bodyWait,
	}
}

// counted is the body of a request, with the place that it has. What reads it as
// a stream takes none.
type counted struct {
	io.ReadCloser
	bodies *bodies
	pool   *pool
	keys   []seatKey
	most   int64  // bytes
	cut    func() // ends a read that is under way
	seat   *seat  // nil: it has no place
	// begin is called when a body that is read whole has arrived; nil: nothing is.
	begin func(context.Context) error
}

// count says whose the body of a request is.
func (b *bodies) count(w http.ResponseWriter, r *http.Request, rt route, c cloud.Caller) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	body := &counted{ReadCloser: r.Body, bodies: b, pool: b.known, keys: seatKeys(c), most: maxBody}
	if rt.need == open {
		body.pool, body.keys, body.most = b.open, addressKeys(c), maxOpenBody
	}
	if len(body.keys) == 0 {
		body.keys = []seatKey{{key: "socket"}}
	}
	body.cut = func() { _ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) }
	r.Body = body
}

// addressKeys is the share of an address.
func addressKeys(c cloud.Caller) []seatKey {
	if c.Address == "" {
		return nil
	}
	return []seatKey{{key: addressKey(c.Address)}}
}

// addressKey names an address; an IPv6 /64 is one.
func addressKey(address string) string {
	a, err := netip.ParseAddr(address)
	if p, bad := a.Prefix(64); err == nil && bad == nil && a.Is6() {
		return "address " + p.String()
	}
	return "address " + address
}

// errNoRoom is the cause of every answer to a body that found no place.
var errNoRoom = errors.New("no room for a body")

func (b *counted) noRoom(message string) error {
	return &cloud.Error{Code: cloud.CodeUnavailable, RetryAfter: b.bodies.wait, Cause: errNoRoom, Message: message}
}

// grow waits until the body may have n bytes in all.
//
// Returns CodeUnavailable when it may not for too long; the place it had is given
// back then.
func (b *counted) grow(ctx context.Context, n int64) error {
	if b.seat == nil {
		b.seat = b.pool.enter(b.keys, b.cut)
	}
	ctx, cancel := context.WithTimeout(ctx, b.bodies.wait)
	defer cancel()
	if b.pool.grow(ctx, b.seat, n) {
		return nil
	}
	b.done()
	return b.noRoom("So many bodies are being read that there is no room for this one; send it again after the seconds in Retry-After.")
}

// done gives the place back.
func (b *counted) done() {
	if b.seat != nil {
		b.pool.leave(b.seat)
		b.seat = nil
	}
}

// arrived ends the reading. A body that has made room for another one is none.
func (b *counted) arrived() error {
	if b.seat != nil && !b.pool.arrived(b.seat) {
		b.done()
		return b.noRoom("The body stood still while others waited for its place; send it again after the seconds in Retry-After.")
	}
	return nil
}

// whole reads the body, of which length bytes are promised; -1 when nobody knows.
// It reads one byte beyond the most it may have, to tell that there are more.
func (b *counted) whole(ctx context.Context, length int64) ([]byte, error) {
	all := b.most + 1
	if length >= 0 {
		all = min(all, length)
	}
	buf, n := make([]byte, min(all, freeBody)), int64(0)
	for n < all {
		if n == int64(len(buf)) {
			size := min(all, max(bodyStep, 2*n))
			if err := b.grow(ctx, size); err != nil {
				return nil, err
			}
			buf = append(make([]byte, 0, size), buf...)[:size]
		}
		m, err := b.Read(buf[n:])
		n += int64(m)
		if b.seat != nil {
			b.seat.moved(m)
		}
		if err != nil && n < all {
			if err := b.arrived(); err != nil {
				return nil, err
			}
			return buf[:n], short(err, length)
		}
	}
	return buf[:n], b.arrived()
}

// short is nil where a body whose length nobody promised has ended.
func short(err error, length int64) error {
	if length < 0 && (err == io.EOF || err == io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// bodyDone gives back the place of a body that is decoded.
func bodyDone(r *http.Request) {
	if b, ok := r.Body.(*counted); ok {
		b.done()
	}
}

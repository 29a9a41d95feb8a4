package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"lodge/cloud"
)

const (
	// maxBody is the longest JSON body of a request.
	maxBody = 1 << 20
	// maxOpenBody is the longest of whoever has not said who it is.
	maxOpenBody = 16 << 10
	// smallBody is how much of a body is read before the rest needs a place among
	// the large ones. Nearly all bodies are smaller.
	smallBody = 64 << 10
	// bodyWait is how long a body waits for a place.
	bodyWait = 2 * time.Second
	// A body that waits is kept by the kernel over HTTP/1, but by lodge over HTTP/2:
	// so no more wait than these, for a share and for a pool; others are refused at once.
	shareWaits, poolWaits = 128, 512
)

// bodies bound the bytes of all JSON bodies that are being read and decoded;
// decoding takes some times as much. The memory is that of the guests. Uploads
// stream, and are not counted.
//
// A body takes the place for its first bytes, and only when those have come the
// place for all of it, from another pool: whoever holds a place in the second
// waits for none, so that bodies never wait for each other in a ring, and large
// ones hold up no small one. A place is held by a client that stops in mid-body
// until its time is over; so nobody has more of a pool than a share, and waits for
// its own share before it stands in the way of others. Whoever has not said who
// it is has a pool apart.
type bodies struct {
	small, large, open *pool
	wait               time.Duration
}

func newBodies() *bodies {
	return &bodies{
		small: newPool(8<<20, 4<<20, 2<<20),
		large: newPool(16<<20, 8<<20, 4<<20),
		open:  newPool(4<<20, 0, 1<<20),
		wait:  bodyWait,
	}
}

// pool is a number of bytes that callers share.
type pool struct {
	all          *line
	tenant, each int64 // the most of a tenant and of a caller

	mu sync.Mutex
	of map[string]*share
}

// share is what one caller or tenant has of a pool.
type share struct {
	line
	users int // that hold some of it or wait for it
}

func newPool(all, tenant, each int64) *pool {
	return &pool{all: &line{Weighted: semaphore.NewWeighted(all), most: poolWaits}, tenant: tenant, each: each, of: map[string]*share{}}
}

// line is where bodies stand for bytes, not too many at once.
type line struct {
	*semaphore.Weighted
	waiting atomic.Int32
	most    int32
}

var errCrowded = errors.New("too many wait already")

func (l *line) take(ctx context.Context, n int64) error {
	if l.TryAcquire(n) {
		return nil
	}
	defer l.waiting.Add(-1)
	if l.waiting.Add(1) > l.most {
		return errCrowded
	}
	return l.Acquire(ctx, n)
}

// take waits for n bytes until ctx ends: first for those of the keys' shares. n is
// at most a share.
func (p *pool) take(ctx context.Context, keys []seatKey, n int64) (give func(), err error) {
	var undo []func()
	give = func() {
		for _, f := range undo {
			f()
		}
	}
	for _, k := range keys {
		s, leave := p.share(k)
		undo = append(undo, leave)
		if err := s.take(ctx, n); err != nil {
			give()
			return nil, err
		}
		undo = append(undo, func() { s.Release(n) })
	}
	if err := p.all.take(ctx, n); err != nil {
		give()
		return nil, err
	}
	undo = append(undo, func() { p.all.Release(n) })
	return give, nil
}

// share is that of a key, kept until everybody has left it.
func (p *pool) share(k seatKey) (s *share, leave func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s = p.of[k.key]; s == nil {
		most := p.each
		if k.tenant {
			most = p.tenant
		}
		s = &share{line: line{Weighted: semaphore.NewWeighted(most), most: shareWaits}}
		p.of[k.key] = s
	}
	s.users++
	return s, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if s.users--; s.users == 0 {
			delete(p.of, k.key)
		}
	}
}

// counted is the body of a request, with the place that it has. What reads it as
// a stream takes none.
type counted struct {
	io.ReadCloser
	bodies *bodies
	first  *pool
	keys   []seatKey
	most   int64  // bytes
	give   func() // nil: it has no place
}

// count says whose the body of a request is.
func (b *bodies) count(r *http.Request, rt route, c cloud.Caller) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	body := &counted{ReadCloser: r.Body, bodies: b, first: b.small, keys: seatKeys(c), most: maxBody}
	if rt.need == open {
		body.first, body.keys, body.most = b.open, addressKeys(c), maxOpenBody
	}
	r.Body = body
}

// addressKeys is the share of an address; an IPv6 /64 is one. The socket has none.
func addressKeys(c cloud.Caller) []seatKey {
	a, err := netip.ParseAddr(c.Address)
	if err != nil {
		return nil
	}
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return []seatKey{{key: "address " + p.String()}}
		}
	}
	return []seatKey{{key: "address " + a.String()}}
}

// place takes n bytes of a pool in place of what the body has.
//
// Returns CodeUnavailable when there is none for too long.
func (b *counted) place(ctx context.Context, p *pool, n int64) error {
	ctx, cancel := context.WithTimeout(ctx, b.bodies.wait)
	defer cancel()
	give, err := p.take(ctx, b.keys, n)
	if err != nil {
		return &cloud.Error{
			Code: cloud.CodeUnavailable, RetryAfter: b.bodies.wait, Cause: err,
			Message: "So many bodies are being read that there is no room for this one; send it again after the seconds in Retry-After.",
		}
	}
	b.done()
	b.give = give
	return nil
}

// done gives the place back.
func (b *counted) done() {
	if b.give != nil {
		b.give()
		b.give = nil
	}
}

// whole reads the body, of which length bytes are promised; -1 when nobody knows.
// It reads one byte beyond the most it may have, to tell that there are more.
func (b *counted) whole(ctx context.Context, length int64) ([]byte, error) {
	all := b.most + 1
	if length >= 0 {
		all = min(all, length)
	}
	first := min(all, smallBody)
	if err := b.place(ctx, b.first, first); err != nil {
		return nil, err
	}
	buf := make([]byte, first)
	n, err := io.ReadFull(b, buf)
	if n < len(buf) || first == all {
		return buf[:n], short(err, length)
	}
	if err := b.place(ctx, b.bodies.large, all); err != nil {
		return nil, err
	}
	buf = append(make([]byte, 0, all), buf...)
	n, err = io.ReadFull(b, buf[first:all])
	return buf[:first+int64(n)], short(err, length)
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

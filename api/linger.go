package api

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// How long lodge reads on for a client that sends a body which nobody wants. Many
// send all of it before they look at the answer: were the connection closed on
// them, the reset would overtake it, and all that they saw would be a broken pipe.
const (
	// lingerTime is the most in all.
	lingerTime = 10 * time.Second
	// lingerBrief is the most for who is to come again later: such answers are for
	// those who send too much, and lodge shall not have the work of it.
	lingerBrief = 500 * time.Millisecond
	// lingerStall is how long nothing may come: whoever has seen the answer sends no
	// more. Over HTTP/2 the end of the answer waits for that.
	lingerStall      = 2 * time.Second
	lingerStallHTTP2 = 500 * time.Millisecond
	// lingerGrace is how long an answer over HTTP/1 waits for the rest of a body: when
	// that comes the connection can be used again, else it ends.
	lingerGrace = 50 * time.Millisecond
	// lingerBytes is the most that is thrown away.
	lingerBytes = 256 << 20
)

// The most that are waited for at once: in all, of an address and of a connection.
// Each keeps a stack and the buffers of its answer. Beyond that the answer is sent,
// and whether the client reads it is its own affair.
const maxLingerers, addressLingerers, connLingerers = 256, 64, 8

// rest is a body that knows whether all of it was read.
type rest struct {
	io.ReadCloser
	left int64 // bytes that are promised; negative when nobody knows
	over bool  // nothing more comes
}

func (b *rest) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left > 0 {
		b.left -= int64(n)
	}
	b.over = b.over || err != nil || b.left == 0
	return n, err
}

// lingering gives the answer to clients whose body was not read to its end: it is
// sent, and then the rest is thrown away, within bounds. It stands before all that
// counts, logs and compresses, so that nothing of that waits.
func (s *server) lingering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		body := &rest{ReadCloser: r.Body, left: r.ContentLength}
		with := *r
		with.Body = body
		next.ServeHTTP(w, &with)
		if !body.over {
			s.linger(w, r)
		}
	})
}

// answering is called before an answer begins. Over HTTP/1 net/http reads up to
// 256 KiB of a body that was not read to its end before it sends the answer, for as
// long as that takes: here is how long. Of chunks it shall read none: once a read of
// them has timed out they cannot be read again, and the rest would be met by a reset.
func (w *response) answering() {
	if w.rest == nil || w.rest.over || w.http2 {
		return
	}
	c := http.NewResponseController(w.ResponseWriter)
	if w.rest.left < 0 && c.EnableFullDuplex() == nil {
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(lingerGrace))
}

var lingerBuffers = sync.Pool{New: func() any { return new([4 << 10]byte) }}

func (s *server) linger(w http.ResponseWriter, r *http.Request) {
	c, most, stall := http.NewResponseController(w), lingerTime, lingerStall
	later := len(w.Header()["Retry-After"]) > 0
	switch {
	case r.ProtoMajor == 2 && later:
		return
	case r.ProtoMajor == 2:
		stall = lingerStallHTTP2
	case later:
		most = lingerBrief
	}
	if c.Flush() != nil {
		return
	}
	whole := false
	defer func() {
		if !whole { // what net/http would read of the rest by itself, it reads no longer
			_ = c.SetReadDeadline(time.Unix(1, 0))
		}
	}()
	leave, ok := s.lingerers.enter(r)
	if !ok {
		return
	}
	defer leave()
	buf := lingerBuffers.Get().(*[4 << 10]byte)
	defer lingerBuffers.Put(buf)
	end := time.Now().Add(most)
	for left := lingerBytes; left > 0; {
		select {
		case <-s.Stopping:
			return
		default:
		}
		deadline := time.Now().Add(stall)
		if deadline.After(end) {
			deadline = end
		}
		if c.SetReadDeadline(deadline) != nil {
			return
		}
		n, err := r.Body.Read(buf[:])
		if err != nil { // the end, or a client that has left or stands still
			whole = err == io.EOF || err == http.ErrBodyReadAfterClose // net/http has read it
			return
		}
		left -= n
	}
}

// lingerers count who is waited for.
type lingerers struct {
	mu  sync.Mutex
	all int
	of  map[string]int // by address and by connection
}

// enter counts a request until leave is called; false when there are too many.
func (l *lingerers) enter(r *http.Request) (leave func(), ok bool) {
	keys := map[string]int{}
	if a := address(r); a != "" { // the socket is the operator's
		keys["connection "+r.RemoteAddr] = connLingerers
		keys[addressKey(a)] = addressLingerers
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= maxLingerers {
		return nil, false
	}
	for k, most := range keys {
		if l.of[k] >= most {
			return nil, false
		}
	}
	l.all++
	for k := range keys {
		l.of[k]++
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all--
		for k := range keys {
			if l.of[k]--; l.of[k] == 0 {
				delete(l.of, k)
			}
		}
	}, true
}

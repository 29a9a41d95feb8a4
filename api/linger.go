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
	// lingerStall is how long nothing may come: whoever has seen the answer sends no
	// more. Over HTTP/2 the end of the answer waits for that.
	lingerStall      = 2 * time.Second
	lingerStallHTTP2 = 500 * time.Millisecond
	// lingerBytes is the most that is thrown away.
	lingerBytes = 256 << 20
)

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

var lingerBuffers = sync.Pool{New: func() any { return new([16 << 10]byte) }}

func (s *server) linger(w http.ResponseWriter, r *http.Request) {
	c, end, stall := http.NewResponseController(w), time.Now().Add(lingerTime), lingerStall
	if r.ProtoMajor == 2 {
		stall = lingerStallHTTP2
	}
	// Over HTTP/1 the answer waits for a body that is short: it is read before.
	if c.SetReadDeadline(end) != nil || c.Flush() != nil {
		return
	}
	buf := lingerBuffers.Get().(*[16 << 10]byte)
	defer lingerBuffers.Put(buf)
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
			return
		}
		left -= n
	}
}

package api

import (
	"io"
	"net/http"
	"time"
)

// How long lodge waits for a client in the middle of a request. Whoever is slower
// holds a place that others need.
const (
	// bodyTimeout is how long a JSON body may take to arrive, and the rest of any
	// body that nobody reads.
	bodyTimeout = 30 * time.Second
	// uploadStall is how long an upload may stand still. It may take hours in all.
	uploadStall = time.Minute
	// answerStall is how long a client of HTTP/2 may take for answerPiece bytes of
	// an answer. For HTTP/1 the connection sees to that.
	answerStall = 30 * time.Second
	answerPiece = 64 << 10
)

// expectBody bounds the time of a body before anybody reads it: a refusal in its
// middle waits for the rest, and a client that sends a byte now and then would be
// waited for without end.
func expectBody(w http.ResponseWriter, r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout)) // a test's recorder has none
}

// bodyArrived takes the bound back: what comes next on the connection is not
// waited for, but noticed.
func bodyArrived(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
}

// steady is a body of any length that must not stand still.
type steady struct {
	io.Reader
	w       http.ResponseWriter
	stopped func() bool // by lodge itself, which has set a deadline of its own
}

func (s *steady) Read(p []byte) (int, error) {
	c := http.NewResponseController(s.w)
	_ = c.SetReadDeadline(time.Now().Add(uploadStall))
	if s.stopped() {
		_ = c.SetReadDeadline(time.Unix(1, 0))
	}
	n, err := s.Reader.Read(p)
	if err == io.EOF {
		bodyArrived(s.w)
	}
	return n, err
}

// patience bounds one write to a stream of HTTP/2, whose client may keep its window
// shut while the connection lives. The bound is taken back after it: a stream of
// events is silent for as long as nothing happens.
func (w *response) patience() (done func()) {
	if !w.http2 {
		return func() {}
	}
	c := http.NewResponseController(w.ResponseWriter)
	if c.SetWriteDeadline(time.Now().Add(answerStall)) != nil {
		return func() {}
	}
	return func() { _ = c.SetWriteDeadline(time.Time{}) }
}

// writePatiently writes an answer piece by piece, so that its length gives nobody
// the right to stand still for longer.
func (w *response) writePatiently(b []byte) (n int, err error) {
	for {
		done := w.patience()
		m, err := w.ResponseWriter.Write(b[n:min(n+answerPiece, len(b))])
		done()
		if n += m; err != nil || n == len(b) {
			return n, err
		}
	}
}

// FlushError is Flush of http.ResponseController.
func (w *response) FlushError() error {
	defer w.patience()()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// last bounds what is written after the handler has returned.
func (w *response) last() {
	if w.http2 {
		_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(answerStall))
	}
}

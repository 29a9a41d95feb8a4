package api

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"time"

	"lodge/cloud"
)

const (
	// deskPatience is how long a request waits for its turn. As many as may wait are
	// served in that time where a writer does 25 changes in a second, and many clients
	// give up after 30 s.
	deskPatience = 20 * time.Second
	// deskRetry is told to whom a desk refuses.
	deskRetry = 5 * time.Second
	// deskWaits and deskQueue are how many wait at a desk, of all and of one caller;
	// that is more than the rate allows at once.
	deskWaits, deskQueue = 512, 256
)

// desks bound the requests that are in work. More of them than the machine can do
// at once are not done sooner: they all become slow, and lodge's own work and its
// word that it is well stand in line behind them. A request waits at its desk before
// anything is looked at; what is refused there has done nothing.
type desks struct {
	reads *desk
	// reports read and add up much, for seconds some of them. They are fewer than the
	// connections that the store reads over, and nobody has all of their places.
	reports *desk
	// changes are few, for the store has one writer: whoever waits there waits in no
	// order, and what lodge itself has to write waits among them.
	changes *desk
}

func newDesks(closing <-chan struct{}) desks {
	cpus := runtime.GOMAXPROCS(0)
	one := func(places, share int) *desk {
		return newDesk(size{places, share, deskWaits, deskQueue}, deskPatience, closing)
	}
	read, report, change := max(8, 4*cpus), min(max(2, cpus-1), 3), 4
	return desks{reads: one(read, read), reports: one(report, report-1), changes: one(change, change)}
}

// reports are the routes that add up a ledger.
var reports = map[string]bool{
	"/v1/usage": true, "/v1/cost": true, "/v1/invoices/draft": true, "/v1/export/focus": true, "/v1/budgets/{id}": true,
}

// undesked are the routes that have bounds of their own, for their work lasts: a
// stream of events has a seat, the ledger is verified by one at a time, and so is
// a scrape bounded. What is open to everybody is a word that lodge knows by heart,
// or a login, whose hashes are few at once.
var undesked = map[string]bool{"/v1/events/stream": true, "/v1/usage/verify": true, "/metrics": true}

// at is the desk of a route; nil: none.
func (d desks) at(rt route) *desk {
	switch {
	case rt.need == open || undesked[rt.path]:
		return nil
	case rt.method != http.MethodGet && !changesNothing[rt.method+" "+rt.path]:
		return d.changes
	case reports[rt.path] && rt.method == http.MethodGet:
		return d.reports
	}
	return d.reads
}

// errBusy is the cause of every answer to a request for which there was no place.
var errBusy = errors.New("too much is in work")

// stand has the request wait for a place at its desk: at once, or, where a body is
// to come, when that has arrived. A client that is slow to send or to take holds no
// place: it is given back when the answer begins.
func (s *server) stand(w http.ResponseWriter, r *http.Request, rt route, c cloud.Caller) error {
	d, of := s.desks.at(rt), whoIs(c)
	rw, ok := w.(*response)
	if d == nil || of.id == "" || !ok { // whoever comes over the socket runs the machine
		return nil
	}
	begin := func(ctx context.Context) error {
		q, ok := d.enter(ctx, of)
		if !ok {
			return &cloud.Error{Code: cloud.CodeUnavailable, RetryAfter: deskRetry, Cause: errBusy,
				Message: "lodge has more to do than it can, and has not begun with this; send it again after the seconds in Retry-After."}
		}
		rw.desk, rw.queue = d, q
		return nil
	}
	if b, ok := r.Body.(*counted); ok && r.ContentLength != 0 && readsBody(rt) {
		b.begin = begin
		return nil
	}
	return begin(r.Context())
}

// readsBody reports whether the route's handler reads a body that comes. The bytes
// of an image are taken as they come, and have no place.
func readsBody(rt route) bool {
	return rt.method == http.MethodPost || rt.method == http.MethodPut || rt.method == http.MethodPatch
}

// rise gives the place of the request back, if it has one.
func rise(w http.ResponseWriter) {
	if rw, ok := w.(*response); ok {
		rw.rise()
	}
}

func (w *response) rise() {
	if w.queue != nil {
		w.desk.leave(w.queue)
		w.queue = nil
	}
}

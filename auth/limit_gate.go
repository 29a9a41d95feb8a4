package auth

import (
	"context"
	"sync"
	"time"

	"lodge/cloud"
)

// gateRetry is told to whom a full gate refuses.
const gateRetry = 3 * time.Second

// Gate lets few computations run at once and few more wait: a password's hash
// takes memory that the guests shall have.
type Gate struct {
	inside chan struct{}
	all    chan struct{} // inside and waiting
}

// NewGate makes a Gate for atOnce computations, at least one, and waiting more
// callers that wait.
func NewGate(atOnce, waiting int) *Gate {
	atOnce, waiting = max(atOnce, 1), max(waiting, 0)
	return &Gate{inside: make(chan struct{}, atOnce), all: make(chan struct{}, atOnce+waiting)}
}

// Enter waits for a place. The caller calls leave when it is done; more calls do
// nothing.
//
// Returns CodeRateLimited when too many wait already, and CodeUnavailable when ctx
// ends first.
func (g *Gate) Enter(ctx context.Context) (leave func(), err error) {
	select {
	case g.all <- struct{}{}:
	default:
		return nil, &cloud.Error{
			Code: cloud.CodeRateLimited, RetryAfter: gateRetry,
			Message: "Too many logins are waiting; try again in a few seconds.",
		}
	}
	err = ctx.Err() // with both ready, select would toss a coin
	if err == nil {
		select {
		case g.inside <- struct{}{}:
			return sync.OnceFunc(func() { <-g.inside; <-g.all }), nil
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	<-g.all
	return nil, cloud.Wrap(cloud.CodeUnavailable, err, "The login had to wait too long; try again.")
}

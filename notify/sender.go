package notify

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"lodge/cloud"
)

// Outbox keeps what is still to be told.
type Outbox interface {
	DueDeliveries(ctx context.Context, now time.Time, limit int) (due []cloud.Delivery, next time.Time, err error)
	RecordDelivery(ctx context.Context, now time.Time, id string, status int, failed string, next time.Time) error
	NextEvents(tenantID string) <-chan struct{}
}

// Poster sends a body to a URL and gives the status of the answer.
type Poster interface {
	Post(ctx context.Context, url string, header map[string]string, body string) (status int, err error)
}

// Sender sends what is due, again and again until it was taken or it gives up.
type Sender struct {
	Outbox Outbox
	Poster Poster
	Now    func() time.Time
	Wall   func() time.Time // what is signed: receivers compare it with their own clocks
	Log    *slog.Logger
	// Observe hears of every attempt; nil: nobody does.
	Observe cloud.Observe
}

const (
	// GiveUp is how long a message is tried.
	GiveUp = 3 * 24 * time.Hour
	// firstWait and mostWait are the least and the greatest wait between attempts.
	firstWait = 5 * time.Second
	mostWait  = time.Hour
	// atOnce is how many messages are under way together: one that hangs holds up
	// few others.
	atOnce  = 8
	restFor = 30 * time.Second
)

// Wait is how long to wait after so many attempts: twice as long each time, up to
// an hour, and up to a fifth more or less, by chance in [0, 1).
func Wait(attempts int, chance float64) time.Duration {
	wait := mostWait
	if attempts < 20 {
		wait = min(mostWait, firstWait<<max(0, attempts-1))
	}
	return time.Duration(float64(wait) * (0.8 + 0.4*chance))
}

// Run sends until ctx ends.
func (s *Sender) Run(ctx context.Context) {
	for ctx.Err() == nil {
		bell := s.Outbox.NextEvents("")
		next, err := s.Send(ctx)
		if err != nil && ctx.Err() == nil {
			s.Log.Error("send to webhooks", "err", err)
			bell = nil
		}
		wait := restFor
		if err == nil && !next.IsZero() {
			wait = max(0, min(wait, next.Sub(s.Now())))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-bell:
		}
		timer.Stop()
	}
}

// Send tries what is due once, and says when the next is; zero when nothing waits.
func (s *Sender) Send(ctx context.Context) (time.Time, error) {
	due, next, err := s.Outbox.DueDeliveries(ctx, s.Now(), atOnce)
	if err != nil {
		return next, err
	}
	var all sync.WaitGroup
	failed := make([]error, len(due))
	for i, m := range due {
		all.Go(func() { failed[i] = s.try(ctx, m) })
	}
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		return next, err // what cannot be written down would be sent again at once
	}
	if len(due) > 0 {
		return s.Now(), nil // there may be more
	}
	return next, nil
}

// try tries one message once and writes down how it went.
func (s *Sender) try(ctx context.Context, m cloud.Delivery) error {
	secrets := [][]byte{m.Secret}
	if s.Now().Before(m.OldUntil) {
		secrets = append(secrets, m.OldSecret)
	}
	_, end := s.Observe.Begin(ctx, cloud.WorkDelivery, "delivery", "")
	status, err := s.Poster.Post(ctx, m.URL, Headers(secrets, m.ID, s.Wall(), m.Body), m.Body)
	if err == nil && (status < 200 || status > 299) {
		err = cloud.Errorf(cloud.CodeURLFailed, "The webhook answered %d and not 2xx.", status)
	}
	end(err)
	if ctx.Err() != nil {
		return nil // lodged ends; it counts for nothing
	}
	failed := ""
	if err != nil {
		failed = cloud.MessageOf(err)
	}
	now := s.Now()
	var next time.Time
	if failed != "" && now.Sub(m.CreatedAt) < GiveUp {
		next = now.Add(Wait(m.Attempts+1, rand.Float64()))
	}
	return s.Outbox.RecordDelivery(ctx, now, m.ID, status, failed, next)
}

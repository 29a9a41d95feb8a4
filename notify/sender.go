package notify

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"lodge/cloud"
)

// Outbox keeps what is still to be told.
type Outbox interface {
	DueDeliveries(ctx context.Context, now time.Time, busy []cloud.Delivery, limit int) (due []cloud.Delivery, next time.Time, err error)
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

	mu      sync.Mutex
	busy    map[string]cloud.Delivery // the messages that are under way, by id
	failed  []error                   // what could not be written down since it was asked last
	running sync.WaitGroup
	ended   chan struct{} // rings when one is not under way any more
}

const (
	// GiveUp is how long a message is tried.
	GiveUp = 3 * 24 * time.Hour
	// firstWait and mostWait are the least and the greatest wait between attempts.
	firstWait = 5 * time.Second
	mostWait  = time.Hour
	// atOnce is how many messages are under way together. The outbox gives few of each
	// webhook and each tenant, so one that hangs holds up its own.
	atOnce  = 64
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
	defer s.running.Wait()
	for ctx.Err() == nil {
		bell := s.Outbox.NextEvents("")
		var next time.Time
		err := s.takeFailed()
		if err == nil {
			_, next, err = s.start(ctx)
		}
		ended := s.ended
		if err != nil && ctx.Err() == nil {
			s.Log.Error("send to webhooks", "err", err)
			bell, ended = nil, nil // what cannot be written down would be sent again at once
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
		case <-ended:
		}
		timer.Stop()
	}
}

// Send tries what is due once, and says when the next is; zero when nothing waits.
func (s *Sender) Send(ctx context.Context) (time.Time, error) {
	started, next, err := s.start(ctx)
	if err != nil {
		return next, err
	}
	s.running.Wait()
	if err := s.takeFailed(); err != nil {
		return next, err
	}
	if started > 0 {
		return s.Now(), nil // there may be more
	}
	return next, nil
}

// start begins to try what is due and not under way. Nobody waits for all: each that
// ends makes room for the next.
func (s *Sender) start(ctx context.Context) (started int, next time.Time, err error) {
	busy := s.underWay()
	due, next, err := s.Outbox.DueDeliveries(ctx, s.Now(), busy, atOnce-len(busy))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range due {
		if _, is := s.busy[m.ID]; is {
			continue
		}
		s.busy[m.ID] = m
		started++
		s.running.Go(func() {
			s.end(m.ID, s.try(ctx, m))
		})
	}
	return started, next, err
}

// underWay gives the messages that are under way. What ends after that rings.
func (s *Sender) underWay() []cloud.Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy == nil {
		s.busy, s.ended = map[string]cloud.Delivery{}, make(chan struct{}, 1)
	}
	return slices.Collect(maps.Values(s.busy))
}

func (s *Sender) end(id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, id)
	if err != nil {
		s.failed = append(s.failed, err)
	}
	select {
	case s.ended <- struct{}{}:
	default:
	}
}

func (s *Sender) takeFailed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := errors.Join(s.failed...)
	s.failed = nil
	return err
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

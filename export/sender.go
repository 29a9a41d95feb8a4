package export

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"lodge/cloud"
)

// Hours is what the sender needs of the store: the next hour for the receiver at
// an address, and a place to write down what it has taken.
type Hours interface {
	NextSinkHour(ctx context.Context, url string) (h cloud.SinkHour, found bool, err error)
	SinkTook(ctx context.Context, now time.Time, url string, seq int64, taken, sent int, all bool) error
	SinkLag(ctx context.Context, url string) (cloud.SinkLag, error)
}

// Options are what a Sender is told. All but Token are required.
type Options struct {
	URL    string
	Source string                 // of the events: this installation
	Token  func() (string, error) // shown to the receiver as a bearer token; nil: none
	Batch  int                    // events in one request; 1: each by itself, in structured mode
	Hours  Hours
	// Events makes the events of an hour; none when it does not come out as it was
	// closed.
	Events func(cloud.UsageHour, cloud.HourContent) []cloud.UsageEvent
	Now    func() time.Time
	Log    *slog.Logger
	// Observe hears of every request; nil: nobody does.
	Observe cloud.Observe
	// Pace are the pauses, for tests; zero: those of this package.
	Pace Pace
}

// Pace says how long the sender waits.
type Pace struct {
	Idle    time.Duration // between looks for more
	Least   time.Duration // after the first failure
	Most    time.Duration // after many
	Timeout time.Duration // for an answer
}

func (p Pace) withDefaults() Pace {
	if p.Idle == 0 {
		p.Idle = 10 * time.Second
	}
	if p.Least == 0 {
		p.Least = time.Second
	}
	if p.Most == 0 {
		p.Most = 5 * time.Minute
	}
	if p.Timeout == 0 {
		p.Timeout = 30 * time.Second
	}
	return p
}

// Sender sends closed hours to one receiver.
type Sender struct {
	o     Options
	post  *post
	batch int // at most so many now: less than Options.Batch when they were too many

	mu      sync.Mutex
	problem *cloud.Problem
}

// New makes a sender. Returns an error for a URL that nothing can be sent to.
func New(o Options) (*Sender, error) {
	o.Pace = o.Pace.withDefaults()
	p, err := newPost(o)
	if err != nil {
		return nil, err
	}
	return &Sender{o: o, post: p, batch: max(1, o.Batch)}, nil
}

// Run sends until ctx ends.
func (s *Sender) Run(ctx context.Context) {
	for ctx.Err() == nil {
		more, err := s.hour(ctx)
		pause := s.o.Pace.Idle
		switch {
		case err != nil && ctx.Err() == nil:
			pause = s.failed(err)
		case more:
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// hour sends what is left of the next hour; more is false when there is none.
func (s *Sender) hour(ctx context.Context) (more bool, err error) {
	h, found, err := s.o.Hours.NextSinkHour(ctx, s.o.URL)
	if err != nil || !found {
		return false, err
	}
	events := s.o.Events(h.UsageHour, h.HourContent)
	if len(events) == 0 { // its rows were changed beside lodge: what is not sent must not count as sent
		return false, &differs{h.UsageHour}
	}
	if s.stuck() {
		s.succeeded()
	}
	for done := h.Taken; ; {
		n := min(s.batch, len(events)-done)
		if n > 0 {
			_, end := s.o.Observe.Begin(ctx, cloud.WorkExport, "export", "")
			err := s.post.send(ctx, events[done:done+n])
			end(coded(err))
			if err != nil {
				return false, s.smaller(err)
			}
			s.succeeded()
		}
		n = max(0, n)
		done += n
		all := done >= len(events)
		if err := s.o.Hours.SinkTook(ctx, s.o.Now(), s.o.URL, h.Seq, done, n, all); err != nil || all {
			return err == nil, err
		}
	}
}

// coded gives a failure the code that it is counted by.
func coded(err error) error {
	if err == nil {
		return nil
	}
	return cloud.Wrap(cloud.CodeURLFailed, err, "%s", sentence(err))
}

// differs is the failure of an hour that does not come out as it was closed. It is
// the newest revision and waits for no correction.
type differs struct{ hour cloud.UsageHour }

func (d *differs) Error() string {
	return fmt.Sprintf("the hour %s of tenant %s does not come out as it was closed", d.hour.Hour.UTC().Format(time.RFC3339), d.hour.TenantID)
}

// stuck reports whether the last try ended at an hour that differs.
func (s *Sender) stuck() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.problem != nil && s.problem.Code == cloud.CodeConflict
}

// smaller halves the batch when the receiver finds it too large.
func (s *Sender) smaller(err error) error {
	var refused *refusal
	if errors.As(err, &refused) && refused.status == 413 && s.batch > 1 {
		s.batch /= 2
	}
	return err
}

func (s *Sender) succeeded() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.problem != nil {
		s.o.Log.Info("the receiver of usage takes events again", "url", s.post.shown)
	}
	s.problem = nil
}

// failed notes why, and says how long to wait.
func (s *Sender) failed(err error) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	p := &cloud.Problem{Code: cloud.CodeURLFailed, Message: sentence(err), Since: now, Attempts: 1}
	if wrong := (*differs)(nil); errors.As(err, &wrong) {
		p.Code = cloud.CodeConflict
	}
	if s.problem != nil {
		p.Since, p.Attempts = s.problem.Since, s.problem.Attempts+1
	}
	pause := s.o.Pace.Least << min(p.Attempts-1, 20)
	if pause > s.o.Pace.Most || pause <= 0 {
		pause = s.o.Pace.Most
	}
	var refused *refusal
	if errors.As(err, &refused) {
		pause = min(max(pause, refused.after), max(s.o.Pace.Most, time.Hour))
	}
	p.RetryAt = now.Add(pause)
	if s.problem == nil || s.problem.Message != p.Message {
		s.o.Log.Warn("usage is not sent", "url", s.post.shown, "err", err, "retry_in", pause)
	}
	s.problem = p
	return pause
}

// State is how the receiver is doing.
func (s *Sender) State(ctx context.Context) (cloud.SinkState, error) {
	lag, err := s.o.Hours.SinkLag(ctx, s.o.URL)
	s.mu.Lock()
	defer s.mu.Unlock()
	return cloud.SinkState{URL: s.post.shown, Problem: s.problem, SinkLag: lag}, err
}

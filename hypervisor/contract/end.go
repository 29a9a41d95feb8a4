package contract

import (
	"time"

	"lodge/cloud"
)

// end asks how the run that was on at since ended.
func (s *scene) end(id string, since time.Time) cloud.GuestEnd {
	s.Helper()
	e, err := s.Host.GuestEnd(s.ctx, id, since, time.Now())
	s.must(err)
	return e
}

// wantEnd wants a run that was on at since to have ended within a second of at,
// or nothing from a host that keeps no such thing.
func (s *scene) wantEnd(id string, since, at time.Time) {
	s.Helper()
	e := s.end(id, since)
	switch {
	case !s.Keeps && e != (cloud.GuestEnd{}):
		s.Errorf("a host that writes no ends down says %+v", e)
	case s.Keeps && (!e.Over || e.At.IsZero() || e.At.Sub(at).Abs() > time.Second):
		s.Errorf("a run that ended at %s is said to have ended so: %+v", at.UTC(), e)
	}
}

func endWritten(s *scene) {
	spec := s.running()
	seen := time.Now()
	if e := s.end(spec.ID, seen); e != (cloud.GuestEnd{}) {
		s.Errorf("a run that goes on has the end %+v", e)
	}
	s.Hand.Destroy(s.T, spec.ID)
	at := time.Now()
	s.wantEnd(spec.ID, seen, at)
	if e := s.end(spec.ID, at.Add(time.Second)); e != (cloud.GuestEnd{}) {
		s.Errorf("the end is told to somebody who saw the guest later: %+v", e)
	}
	if e := s.end(NewID(), seen); e != (cloud.GuestEnd{}) {
		s.Errorf("a guest that never was has the end %+v", e)
	}
}

func endOfEarlierRun(s *scene) {
	spec := s.running()
	seen := time.Now()
	s.Hand.Destroy(s.T, spec.ID)
	at := time.Now()
	s.power(spec.ID, cloud.ActStart)
	s.seen(spec.ID, cloud.GuestRunning)
	s.wantEnd(spec.ID, seen, at)
	s.await(5*time.Second, "the next second", func() bool { return time.Since(at) > 1200*time.Millisecond })
	s.Hand.Destroy(s.T, spec.ID)
	s.wantEnd(spec.ID, seen, at) // the first end is what ended the run that was seen
	s.wantEnd(spec.ID, at.Add(time.Second), time.Now())
}

package reconcile

import (
	"testing"
	"testing/synctest"
	"time"

	"lodge/cloud"
)

var a, b = cloud.Ref{Kind: cloud.KindInstance, ID: "a"}, cloud.Ref{Kind: cloud.KindInstance, ID: "b"}

func taken(q *queue) string {
	r, ok := q.take()
	if !ok {
		return ""
	}
	return r.ID
}

func TestAnObjectIsQueuedOnceAndNeverWorkedOnTwiceAtOnce(t *testing.T) {
	q := newQueue()
	q.mark(a)
	q.mark(a)
	q.mark(b)
	if got := taken(q) + taken(q) + taken(q); got != "ab" {
		t.Errorf("took %q", got)
	}
	q.mark(a) // while it is worked on
	if got := taken(q); got != "" {
		t.Errorf("%q was handed out twice", got)
	}
	q.done(a)
	q.done(b)
	if got := taken(q) + taken(q); got != "a" {
		t.Errorf("took %q after the mark that came meanwhile", got)
	}
}

func TestAFreshLookAnswersTheMarksBeforeIt(t *testing.T) {
	q := newQueue()
	q.mark(a)
	q.take()
	q.mark(a)
	q.fresh(a)
	q.done(a)
	if got := taken(q); got != "" {
		t.Errorf("%q comes again", got)
	}
	q.mark(a)
	q.take()
	q.fresh(a)
	q.mark(a) // after the look began
	q.done(a)
	if got := taken(q); got != "a" {
		t.Errorf("the mark after the look was lost")
	}
}

func TestALaterMarkComesWhenItsTimeHasComeAndOnlyOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		q.markAfter(a, time.Minute)
		q.markAfter(a, time.Second)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := taken(q); got != "a" {
			t.Errorf("took %q", got)
		}
		q.done(a)
		q.markAfter(b, time.Second)
		q.mark(b) // at once, in place of the later one
		taken(q)
		q.done(b)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := taken(q); got != "" {
			t.Errorf("%q comes again", got)
		}
		q.markAfter(a, time.Second)
		q.stop()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := taken(q); got != "" {
			t.Errorf("%q comes after the stop", got)
		}
	})
}

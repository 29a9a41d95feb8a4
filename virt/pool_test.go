package virt_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"libvirt.org/go/libvirt"

	"lodge/cloud"
	"lodge/virt"
	"lodge/virt/tally"
)

// which tells the connection that a call was lent.
func which(c *libvirt.Connect) (*libvirt.Connect, error) { return c, nil }

func lent(t *testing.T, l *virt.Link) *libvirt.Connect {
	t.Helper()
	c, err := virt.Call(context.Background(), l, "which", which)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// together makes n calls that are under way at the same time, and gives their
// connections.
func together(t *testing.T, l *virt.Link, n int) map[*libvirt.Connect]bool {
	t.Helper()
	var mu sync.Mutex
	var all, ended sync.WaitGroup
	seen := map[*libvirt.Connect]bool{}
	all.Add(n)
	for range n {
		ended.Go(func() {
			err := virt.Do(context.Background(), l, "meet", func(c *libvirt.Connect) error {
				mu.Lock()
				seen[c] = true
				mu.Unlock()
				all.Done()
				all.Wait()
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	ended.Wait()
	return seen
}

func TestEachCallHasAConnectionOfItsOwnAndTheNextOneUsesItAgain(t *testing.T) {
	l := open(t, virt.Options{})
	first := lent(t, l)
	for range 5 {
		if lent(t, l) != first {
			t.Error("a connection waits and another one was made")
		}
	}
	if seen := together(t, l, 8); len(seen) != 8 || !seen[first] {
		t.Errorf("8 calls at a time had %d connections, the waiting one among them: %v", len(seen), seen[first])
	}
}

func TestConnectionsThatWaitTooLongAreClosedButTwo(t *testing.T) {
	l := open(t, virt.Options{IdleFor: 20 * time.Millisecond})
	together(t, l, 8)
	until(t, "six of eight are closed", func() bool { return l.Idle() == 2 })
	time.Sleep(60 * time.Millisecond)
	if n := l.Idle(); n != 2 {
		t.Errorf("%d wait", n)
	}
	together(t, l, 3)
	until(t, "the third is closed", func() bool { return l.Idle() == 2 })
}

func TestAConnectionIsNotLentBeforeTheCallThatWasLeftBehindReturned(t *testing.T) {
	l := open(t, virt.Options{CallTimeout: 30 * time.Millisecond})
	end, stuck := make(chan struct{}), make(chan *libvirt.Connect, 1)
	err := virt.Do(context.Background(), l, "hang", func(c *libvirt.Connect) error { stuck <- c; <-end; return nil })
	wantCode(t, err, cloud.CodeTimeout)
	c := <-stuck
	for range 3 {
		if lent(t, l) == c {
			t.Fatal("lent to two calls")
		}
	}
	close(end)
	until(t, "it waits for a call again", func() bool { return l.Idle() == 2 })
}

func TestNothingIsBegunForACallerWhoHasLeft(t *testing.T) {
	l := open(t, virt.Options{CallTimeout: 30 * time.Millisecond, InFlight: 1})
	end := make(chan struct{})
	wantCode(t, virt.Do(context.Background(), l, "hang", func(*libvirt.Connect) error { <-end; return nil }), cloud.CodeTimeout)
	began := make(chan struct{}, 1)
	wantCode(t, virt.Do(context.Background(), l, "too late", func(*libvirt.Connect) error { began <- struct{}{}; return nil }), cloud.CodeTimeout)
	close(end)
	until(t, "there is a place again", func() bool {
		_, err := virt.Call(context.Background(), l, "version", version)
		return err == nil
	})
	if len(began) > 0 {
		t.Error("it was begun after the caller had been told that it was too late")
	}
}

func TestClosingIsNoLoss(t *testing.T) {
	told := make(chan error, 8)
	l := virt.Open(virt.Options{URI: "test:///default", OnChange: func(up bool, why error) {
		if !up {
			told <- why
		}
	}})
	followed := make(chan error, 1)
	greeted := make(chan struct{})
	go func() {
		followed <- l.Follow(context.Background(), func(*libvirt.Connect) error { close(greeted); return nil }, func(why error) { told <- why })
	}()
	<-greeted
	together(t, l, 4)
	_ = l.Close()
	if err := <-followed; err == nil {
		t.Error("a follower goes on")
	}
	if len(told) > 0 {
		t.Errorf("told of a loss: %v", <-told)
	}
	if n := l.Idle(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

func TestAFollowerHearsThatThereIsNoLibvirtToBeginWith(t *testing.T) {
	l := open(t, virt.Options{URI: "qemu+unix:///system?socket=/nonexistent"})
	ctx, cancel := context.WithCancel(context.Background())
	lost := make(chan error, 8)
	go func() {
		_ = l.Follow(ctx, func(*libvirt.Connect) error { return nil }, func(why error) { lost <- why; cancel() })
	}()
	if err := <-lost; err == nil {
		t.Error("no reason")
	}
}

func TestAConnectionThatWaitsCostsACallNothing(t *testing.T) {
	needWorld(t)
	door := tally.Open(t)
	l := open(t, virt.Options{URI: door.URI})
	lent(t, l)
	door.Calls()
	for range 10 {
		lent(t, l)
	}
	if n := door.Calls(); n != 0 {
		t.Errorf("ten calls that ask nothing made %d calls", n)
	}
	if _, err := virt.Call(context.Background(), l, "version", version); err != nil || door.Calls() != 1 {
		t.Errorf("one call is not one call: %v", err)
	}
}

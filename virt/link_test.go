package virt_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"libvirt.org/go/libvirt"

	"lodge/cloud"
	"lodge/virt"
)

func open(t *testing.T, o virt.Options) *virt.Link {
	t.Helper()
	if o.URI == "" {
		o.URI = "test:///default"
	}
	l := virt.Open(o)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func wantCode(t *testing.T, err error, code cloud.Code) {
	t.Helper()
	if cloud.CodeOf(err) != code {
		t.Fatalf("got %v (%s), want %s", err, cloud.CodeOf(err), code)
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 15 s: %s", what)
		}
	}
}

func needWorld(t *testing.T) {
	t.Helper()
	if os.Getenv("LODGE_WORLD") != "1" {
		t.Skip("needs scripts/world")
	}
}

func version(c *libvirt.Connect) (uint32, error) { return c.GetLibVersion() }

// Calls are observed by what they are for, and a connection counts while it is
// open, lent or not.
func TestCallsAreObserved(t *testing.T) {
	var heard []string
	l := open(t, virt.Options{Observe: func(ctx context.Context, w cloud.Work, name, detail string) (context.Context, func(error)) {
		return ctx, func(err error) { heard = append(heard, fmt.Sprint(w, ",", name, ",", detail, ",", err)) }
	}})
	err := virt.Do(context.Background(), l, "ask 42", func(*libvirt.Connect) error {
		if s := l.Stats(); s != (cloud.LinkStats{Up: true, Connections: 2, Calls: 1, Dialed: 2}) {
			t.Errorf("in a call: %+v", s)
		}
		return io.EOF
	})
	if want := "call,ask,ask 42,EOF"; err != io.EOF || len(heard) != 1 || heard[0] != want {
		t.Errorf("heard %q, want %q", heard, want)
	}
	if s := l.Stats(); s != (cloud.LinkStats{Up: true, Connections: 2, Dialed: 2}) {
		t.Errorf("after a call: %+v", s)
	}
}

func TestACallGivesWhatItsFunctionGives(t *testing.T) {
	l := open(t, virt.Options{})
	ctx := context.Background()
	if v, err := virt.Call(ctx, l, "version", version); v == 0 || err != nil {
		t.Errorf("%d, %v", v, err)
	}
	err := virt.Do(ctx, l, "look up", func(c *libvirt.Connect) error {
		_, err := c.LookupDomainByName("nobody")
		return err
	})
	if !virt.NotFound(err) || !virt.Is(err, libvirt.ERR_NO_DOMAIN) || virt.Says(err, "something else") {
		t.Errorf("not found: %v", err)
	}
	if up, why := l.Up(); !up || why != nil {
		t.Errorf("an error of libvirt's took the link down: %v", why)
	}
}

func TestALinkOpensWithoutLibvirtAndSaysSoAtOnce(t *testing.T) {
	var downs atomic.Int32
	l := open(t, virt.Options{URI: "qemu+unix:///system?socket=/nonexistent", RedialMin: time.Millisecond, RedialMax: time.Millisecond,
		OnChange: func(up bool, _ error) {
			if !up {
				downs.Add(1)
			}
		}})
	begin := time.Now()
	_, err := virt.Call(context.Background(), l, "version", version)
	wantCode(t, err, cloud.CodeHypervisor)
	if d := time.Since(begin); d > time.Second {
		t.Errorf("after %s", d)
	}
	time.Sleep(20 * time.Millisecond)
	if n := downs.Load(); n != 1 {
		t.Errorf("told %d times", n)
	}
}

func TestACallThatHangsIsLeftBehindAndOthersGoOn(t *testing.T) {
	l := open(t, virt.Options{CallTimeout: 50 * time.Millisecond, InFlight: 2})
	end := make(chan struct{})
	hang := func(*libvirt.Connect) error { <-end; return nil }
	ctx := context.Background()
	wantCode(t, virt.Do(ctx, l, "hang", hang), cloud.CodeTimeout)
	if _, err := virt.Call(ctx, l, "version", version); err != nil {
		t.Error(err)
	}
	// Calls that never return do not pile up for ever.
	wantCode(t, virt.Do(ctx, l, "hang", hang), cloud.CodeTimeout)
	_, err := virt.Call(ctx, l, "version", version)
	wantCode(t, err, cloud.CodeTimeout)
	close(end)
	until(t, "calls go through again", func() bool {
		_, err := virt.Call(ctx, l, "version", version)
		return err == nil
	})
}

func TestTheCallersContextEndsACall(t *testing.T) {
	l := open(t, virt.Options{})
	end := make(chan struct{})
	defer close(end)
	hang := func(*libvirt.Connect) error { <-end; return nil }
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	wantCode(t, virt.Do(ctx, l, "hang", hang), cloud.CodeTimeout)
	ctx, cancel = context.WithCancel(context.Background())
	cancel()
	if err := virt.Do(ctx, l, "hang", hang); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestALinkUsedFromManySidesClosesInOrder(t *testing.T) {
	l := open(t, virt.Options{})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 20 {
				_, err := virt.Call(context.Background(), l, "version", version)
				if err != nil && cloud.CodeOf(err) != cloud.CodeHypervisor {
					t.Error(err)
				}
			}
		})
	}
	_ = l.Close()
	wg.Wait()
	_, err := virt.Call(context.Background(), l, "version", version)
	wantCode(t, err, cloud.CodeHypervisor)
}

func TestALostLibvirtIsNoticedAndComesBackByItself(t *testing.T) {
	control := os.Getenv("LODGE_WORLD_LIBVIRTD")
	needWorld(t)
	do := func(what string) {
		t.Helper()
		if out, err := exec.Command(control, what).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", what, err, out)
		}
	}
	l := open(t, virt.Options{URI: "qemu:///system"})
	ctx, cancel := context.WithCancel(context.Background())
	var ups, losts atomic.Int32
	followed := make(chan error)
	go func() {
		followed <- l.Follow(ctx, func(*libvirt.Connect) error { ups.Add(1); return nil }, func(error) { losts.Add(1) })
	}()
	for i, how := range []string{"stop", "kill"} {
		until(t, "the first call", func() bool {
			_, err := virt.Call(ctx, l, "version", version)
			return err == nil
		})
		until(t, "it is followed", func() bool { return ups.Load() == int32(i+1) })
		do(how)
		until(t, "the loss is noticed without a call", func() bool { up, _ := l.Up(); return !up })
		until(t, "the follower hears of it", func() bool { return losts.Load() == int32(i+1) })
		_, err := virt.Call(ctx, l, "version", version)
		wantCode(t, err, cloud.CodeHypervisor)
		do("start")
	}
	until(t, "it is back", func() bool { up, _ := l.Up(); return up })
	cancel()
	if err := <-followed; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

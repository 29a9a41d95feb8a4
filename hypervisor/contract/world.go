package contract

import (
	"context"
	"sync"
	"time"

	"lodge/cloud"
)

func undefined(s *scene) {
	spec := s.running()
	s.Hand.Undefine(s.T, spec.ID)
	g := s.seen(spec.ID, cloud.GuestRunning)
	if g.Foreign || g.Digest != "" || g.Live != spec.Digest() {
		s.Errorf("undefined while it runs: %+v", g)
	}
	s.must(s.Host.DefineGuest(s.ctx, spec))
	if g := s.seen(spec.ID, cloud.GuestRunning); g.Digest != spec.Digest() {
		s.Errorf("defined again: %+v", g)
	}
	s.Hand.Undefine(s.T, spec.ID)
	s.must(s.Host.RemoveGuest(s.ctx, spec.ID))
	s.nothingOf(spec.ID)
}

func edited(s *scene) {
	spec := s.running()
	s.Hand.Edit(s.T, spec.ID)
	if g := s.seen(spec.ID, cloud.GuestRunning); g.Foreign || g.Digest != "" || g.Live != spec.Digest() || g.VCPUs != spec.VCPUs {
		s.Errorf("edited by hand: %+v", g)
	}
	s.must(s.Host.DefineGuest(s.ctx, spec))
	if g := s.seen(spec.ID, cloud.GuestRunning); g.Digest != spec.Digest() {
		s.Errorf("defined again: %+v", g)
	}
	s.power(spec.ID, cloud.ActDestroy)
	s.power(spec.ID, cloud.ActStart)
	if g := s.seen(spec.ID, cloud.GuestRunning); g.VCPUs != spec.VCPUs {
		s.Errorf("started with %d vCPUs, want %d", g.VCPUs, spec.VCPUs)
	}
}

func startFails(s *scene) {
	spec := s.spec()
	spec.Disks[0].Path += ".missing"
	s.must(s.Host.DefineGuest(s.ctx, spec))
	s.want(s.Host.PowerGuest(s.ctx, spec.ID, cloud.ActStart), cloud.CodeGuestFailed)
	if g := s.seen(spec.ID, cloud.GuestOff); g.OffReason != cloud.OffFailed {
		s.Errorf("after a failed start: %+v", g)
	}
}

func unknown(s *scene) {
	id := NewID()
	s.must(s.Host.RemoveGuest(s.ctx, id))
	s.power(id, cloud.ActDestroy)
	s.power(id, cloud.ActShutdown)
	for _, a := range []cloud.PowerAction{cloud.ActStart, cloud.ActReboot, cloud.ActReset, cloud.ActResume} {
		s.want(s.Host.PowerGuest(s.ctx, id, a), cloud.CodeNotFound)
	}
	if text, err := s.Host.ConsoleLog(s.ctx, id, 100); err != nil || len(text) != 0 {
		s.Errorf("console log: %q, %v", text, err)
	}
}

func foreignDomain(s *scene) {
	spec := s.spec()
	s.AddForeign(s.T, spec.ID, "somebodys-"+spec.ID)
	g, there := s.see(spec.ID)
	if !there || !g.Foreign {
		s.Errorf("seen %+v, %v; want it foreign", g, there)
	}
	s.want(s.Host.DefineGuest(s.ctx, spec), cloud.CodeGuestForeign)
	for _, a := range []cloud.PowerAction{cloud.ActStart, cloud.ActShutdown, cloud.ActDestroy, cloud.ActReboot, cloud.ActReset, cloud.ActResume} {
		s.want(s.Host.PowerGuest(s.ctx, spec.ID, a), cloud.CodeGuestForeign)
	}
	s.want(s.Host.RemoveGuest(s.ctx, spec.ID), cloud.CodeGuestForeign)
	s.untouched(spec.ID)
}

func foreignName(s *scene) {
	spec := s.spec()
	other := NewID()
	s.AddForeign(s.T, other, cloud.GuestName(spec.ID))
	g, there := s.see(spec.ID)
	if !there || !g.Foreign || g.ID != spec.ID {
		s.Errorf("seen %+v, %v; want it foreign", g, there)
	}
	s.want(s.Host.DefineGuest(s.ctx, spec), cloud.CodeGuestForeign)
	s.must(s.Host.RemoveGuest(s.ctx, spec.ID)) // ours is not there
	s.untouched(other)
}

func (s *scene) untouched(uuid string) {
	s.Helper()
	if !s.HasForeign(s.T, uuid) {
		s.Error("the foreign domain is gone")
	}
	all, err := s.Host.LookGuests(s.ctx, nil)
	s.must(err)
	if g, there := all[uuid]; there {
		s.Errorf("a look at lodge's guests shows the foreign one: %+v", g)
	}
}

// diary collects what WatchGuests tells.
type diary struct {
	mu    sync.Mutex
	moved map[string]int
	links []bool
}

func (s *scene) watch() *diary {
	d := &diary{moved: map[string]int{}}
	ctx, cancel := context.WithCancel(s.ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Host.WatchGuests(ctx, func(id string) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.moved[id]++
		}, func(up bool) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.links = append(d.links, up)
		})
	}()
	s.Cleanup(func() { cancel(); <-ended })
	return d
}

func (d *diary) count(id string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.moved[id]
}

func (d *diary) link() []bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]bool(nil), d.links...)
}

func events(s *scene) {
	d := s.watch()
	spec := s.spec()
	other := NewID()
	s.AddForeign(s.T, other, "somebodys-"+other)
	s.await(5*time.Second, "event of define", func() bool {
		s.must(s.Host.DefineGuest(s.ctx, spec)) // again, for the watch may start late
		return d.count(spec.ID) > 0
	})
	for _, a := range []cloud.PowerAction{cloud.ActStart, cloud.ActDestroy} {
		time.Sleep(200 * time.Millisecond) // what was on its way has arrived
		before := d.count(spec.ID)
		s.power(spec.ID, a)
		s.await(5*time.Second, "event of "+string(a), func() bool { return d.count(spec.ID) > before })
	}
	s.power(spec.ID, cloud.ActStart)
	before := d.count(spec.ID)
	s.Hand.Destroy(s.T, spec.ID)
	s.await(5*time.Second, "event of a destroy by hand", func() bool { return d.count(spec.ID) > before })
	if d.count(other) != 0 {
		s.Error("a foreign domain was told of")
	}
}

func describe(s *scene) {
	h, err := s.Host.Describe(s.ctx)
	s.must(err)
	if h.Name == "" || h.VCPUs < 1 || h.MemoryMiB < 64 || h.Hypervisor == "" || (h.Accel != "kvm" && h.Accel != "tcg") {
		s.Errorf("described as %+v", h)
	}
	s.Logf("%s: %d vCPUs, %d MiB, %s, %s", h.Name, h.VCPUs, h.MemoryMiB, h.Accel, h.Hypervisor)
}

func lostLink(s *scene) {
	d := s.watch()
	spec := s.running()
	s.Break(s.T)
	s.await(5*time.Second, "word of the lost link", func() bool { l := d.link(); return len(l) == 1 && !l[0] })
	for what, err := range map[string]error{
		"look":   errOf(s.Host.LookGuests(s.ctx, nil)),
		"define": s.Host.DefineGuest(s.ctx, spec),
		"power":  s.Host.PowerGuest(s.ctx, spec.ID, cloud.ActStart),
		"remove": s.Host.RemoveGuest(s.ctx, spec.ID),
	} {
		s.Log(what)
		s.want(err, cloud.CodeHypervisor)
	}
	_, err := s.Host.ConsoleLog(s.ctx, spec.ID, 100)
	s.must(err)
	s.Mend(s.T)
	s.await(15*time.Second, "word of the link", func() bool { l := d.link(); return len(l) == 2 && l[1] })
	if g := s.seen(spec.ID, cloud.GuestRunning); g.Live != spec.Digest() || g.Digest != spec.Digest() {
		s.Errorf("after the link came back: %+v", g)
	}
	before := d.count(spec.ID)
	s.power(spec.ID, cloud.ActDestroy)
	s.await(5*time.Second, "event over the new link", func() bool { return d.count(spec.ID) > before })
}

func errOf[T any](_ T, err error) error { return err }

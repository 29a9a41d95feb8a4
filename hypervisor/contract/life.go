package contract

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"lodge/cloud"
)

func defineTwice(s *scene) {
	for _, fw := range s.Firmwares {
		spec := s.spec()
		spec.Firmware = fw
		s.must(s.Host.DefineGuest(s.ctx, spec))
		s.must(s.Host.DefineGuest(s.ctx, spec))
		g := s.seen(spec.ID, cloud.GuestOff)
		want := cloud.Guest{ID: spec.ID, Name: cloud.GuestName(spec.ID), State: cloud.GuestOff, Digest: spec.Digest()}
		if g != want {
			s.Errorf("%s: seen %+v, want %+v", fw, g, want)
		}
	}
}

func lookAsked(s *scene) {
	a, b := s.spec(), s.spec()
	s.must(s.Host.DefineGuest(s.ctx, a))
	s.must(s.Host.DefineGuest(s.ctx, b))
	got, err := s.Host.LookGuests(s.ctx, []string{a.ID, NewID()})
	s.must(err)
	if len(got) != 1 || got[a.ID].ID != a.ID {
		s.Errorf("asked for one of them: %v", got)
	}
	got, err = s.Host.LookGuests(s.ctx, []string{})
	s.must(err)
	if len(got) != 0 {
		s.Errorf("asked for none: %v", got)
	}
	got, err = s.Host.LookGuests(s.ctx, nil)
	s.must(err)
	if got[a.ID].Digest != a.Digest() || got[b.ID].Digest != b.Digest() {
		s.Errorf("asked for all: %v", got)
	}
	for id, g := range got {
		if g.ID != id || g.Foreign || !strings.HasPrefix(g.Name, cloud.GuestName("")) {
			s.Errorf("a look at all shows %q: %+v", id, g)
		}
	}
}

func startTwice(s *scene) {
	for _, fw := range s.Firmwares {
		spec := s.spec()
		spec.Firmware = fw
		s.must(s.Host.DefineGuest(s.ctx, spec))
		s.power(spec.ID, cloud.ActStart)
		s.power(spec.ID, cloud.ActStart)
		s.power(spec.ID, cloud.ActResume)
		g := s.seen(spec.ID, cloud.GuestRunning)
		if g.VCPUs != spec.VCPUs || g.MemoryMiB != spec.MemoryMiB || g.Live != spec.Digest() || g.Digest != spec.Digest() {
			s.Errorf("%s: seen %+v", fw, g)
		}
		s.power(spec.ID, cloud.ActDestroy)
		s.power(spec.ID, cloud.ActStart) // NVRAM and console log of the run before are there
		s.seen(spec.ID, cloud.GuestRunning)
	}
}

func redefineRunning(s *scene) {
	spec := s.running()
	was := spec.Digest()
	spec.VCPUs, spec.MemoryMiB = 2, 160
	s.must(s.Host.DefineGuest(s.ctx, spec))
	g := s.seen(spec.ID, cloud.GuestRunning)
	if g.Digest != spec.Digest() || g.Live != was || g.VCPUs != 1 || g.MemoryMiB != 128 {
		s.Errorf("after a redefinition: %+v", g)
	}
	s.power(spec.ID, cloud.ActDestroy)
	s.power(spec.ID, cloud.ActStart)
	g = s.seen(spec.ID, cloud.GuestRunning)
	if g.Live != spec.Digest() || g.VCPUs != 2 || g.MemoryMiB != 160 {
		s.Errorf("after the next start: %+v", g)
	}
}

func destroy(s *scene) {
	spec := s.running()
	s.power(spec.ID, cloud.ActDestroy)
	s.power(spec.ID, cloud.ActDestroy)
	s.power(spec.ID, cloud.ActShutdown)
	g := s.seen(spec.ID, cloud.GuestOff)
	if g.OffReason != cloud.OffDestroyed || g.Live != "" || g.VCPUs != 0 || g.MemoryMiB != 0 {
		s.Errorf("after destroy: %+v", g)
	}
	for _, a := range []cloud.PowerAction{cloud.ActReboot, cloud.ActReset, cloud.ActResume} {
		s.want(s.Host.PowerGuest(s.ctx, spec.ID, a), cloud.CodeConflict)
	}
}

func pauseAndResume(s *scene) {
	spec := s.running()
	s.Hand.Pause(s.T, spec.ID)
	if g := s.seen(spec.ID, cloud.GuestPaused); g.IOError || g.Live != spec.Digest() {
		s.Errorf("paused: %+v", g)
	}
	s.power(spec.ID, cloud.ActStart) // active: nothing to start
	s.seen(spec.ID, cloud.GuestPaused)
	s.power(spec.ID, cloud.ActResume)
	s.seen(spec.ID, cloud.GuestRunning)
}

func reset(s *scene) {
	spec := s.running()
	if s.Ready != "" {
		s.ready(spec.ID, 1)
	}
	s.power(spec.ID, cloud.ActReset)
	s.seen(spec.ID, cloud.GuestRunning)
	if s.Ready != "" {
		s.ready(spec.ID, 2)
	}
}

func reboot(s *scene) {
	spec := s.booted()
	s.pressUntil(spec.ID, cloud.ActReboot, func() bool { return s.boots(spec.ID) >= 2 })
	if g := s.seen(spec.ID, cloud.GuestRunning); g.Live != spec.Digest() {
		s.Errorf("after a reboot: %+v", g)
	}
}

func shutdown(s *scene) {
	spec := s.booted()
	s.pressUntil(spec.ID, cloud.ActShutdown, func() bool {
		g, there := s.see(spec.ID)
		return there && g.State == cloud.GuestOff
	})
	if g := s.seen(spec.ID, cloud.GuestOff); g.OffReason != cloud.OffShutdown {
		s.Errorf("after the guest's own shutdown: %+v", g)
	}
}

// pressUntil asks the guest every 5 s: one that has only just booted may miss
// the first time.
func (s *scene) pressUntil(id string, a cloud.PowerAction, done func() bool) {
	s.Helper()
	var asked time.Time
	s.await(time.Minute, string(a), func() bool {
		if done() {
			return true
		}
		if time.Since(asked) > 5*time.Second {
			s.power(id, a)
			asked = time.Now()
		}
		return false
	})
}

func (s *scene) boots(id string) int {
	s.Helper()
	text, err := s.Host.ConsoleLog(s.ctx, id, 1<<20)
	s.must(err)
	return bytes.Count(text, []byte(s.Ready))
}

func console(s *scene) {
	spec := s.booted()
	s.power(spec.ID, cloud.ActDestroy)
	s.power(spec.ID, cloud.ActStart)
	s.ready(spec.ID, 2)
	s.power(spec.ID, cloud.ActDestroy)
	all, err := s.Host.ConsoleLog(s.ctx, spec.ID, 1<<20)
	s.must(err)
	end, err := s.Host.ConsoleLog(s.ctx, spec.ID, 10)
	s.must(err)
	if len(end) != 10 || !bytes.HasSuffix(all, end) {
		s.Errorf("the last 10 bytes of the console are %q", end)
	}
}

func remove(s *scene) {
	for _, fw := range s.Firmwares {
		spec := s.spec()
		spec.Firmware = fw
		s.must(s.Host.DefineGuest(s.ctx, spec))
		s.power(spec.ID, cloud.ActStart)
		s.power(spec.ID, cloud.ActDestroy)
		s.must(s.Host.RemoveGuest(s.ctx, spec.ID))
		s.must(s.Host.RemoveGuest(s.ctx, spec.ID))
		s.nothingOf(spec.ID)
	}
}

func removeRunning(s *scene) {
	for _, fw := range s.Firmwares {
		spec := s.spec()
		spec.Firmware = fw
		s.must(s.Host.DefineGuest(s.ctx, spec))
		s.power(spec.ID, cloud.ActStart)
		if left := s.Leftovers(s.T, spec.ID); len(left) == 0 {
			s.Errorf("%s: the test cannot see what a guest leaves", fw)
		}
		s.must(s.Host.RemoveGuest(s.ctx, spec.ID))
		s.nothingOf(spec.ID)
	}
}

// An operator's undefine keeps the NVRAM, off as well as while the guest runs.
func removeUndefined(s *scene) {
	for _, fw := range s.Firmwares {
		for _, running := range []bool{false, true} {
			spec := s.spec()
			spec.Firmware = fw
			s.must(s.Host.DefineGuest(s.ctx, spec))
			s.power(spec.ID, cloud.ActStart)
			if !running {
				s.power(spec.ID, cloud.ActDestroy)
			}
			s.Hand.Undefine(s.T, spec.ID)
			if left := s.Leftovers(s.T, spec.ID); fw == cloud.FirmwareUEFI && s.Keeps && len(left) == 0 {
				s.Errorf("%s: the test cannot see what an undefine leaves", fw)
			}
			s.must(s.Host.RemoveGuest(s.ctx, spec.ID))
			s.nothingOf(spec.ID)
			s.must(s.Host.RemoveGuest(s.ctx, spec.ID))
			s.nothingOf(spec.ID)
		}
	}
}

func (s *scene) nothingOf(id string) {
	s.Helper()
	if g, there := s.see(id); there {
		s.Errorf("the guest is still there: %+v", g)
	}
	if text, err := s.Host.ConsoleLog(s.ctx, id, 100); err != nil || len(text) != 0 {
		s.Errorf("its console log is %q, %v", text, err)
	}
	if left := s.Leftovers(s.T, id); len(left) != 0 {
		slices.Sort(left)
		s.Errorf("it left %v", left)
	}
}

// Package contract says, as tests, what the guests of a host do whoever keeps
// them: libvirt's test driver, QEMU, or the pretend host. What holds for one has
// to hold for all.
package contract

import (
	"context"
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"lodge/cloud"
)

// Host is what is held to the contract.
type Host interface {
	LookGuests(ctx context.Context, ids []string) (map[string]cloud.Guest, error)
	DefineGuest(ctx context.Context, spec cloud.GuestSpec) error
	PowerGuest(ctx context.Context, id string, a cloud.PowerAction) error
	RemoveGuest(ctx context.Context, id string) error
	WatchGuests(ctx context.Context, moved func(id string), link func(up bool)) error
	GuestEnd(ctx context.Context, id string, since, now time.Time) (cloud.GuestEnd, error)
	ReadNICs(ctx context.Context) (map[string]cloud.NICCounter, error)
	ConsoleLog(ctx context.Context, id string, max int) ([]byte, error)
	Describe(ctx context.Context) (cloud.Host, error)
}

// Site is a host with what a test has to do to it behind its back.
type Site struct {
	Host Host
	// Disk makes a disk that a guest can start from.
	Disk func(t *testing.T) cloud.GuestDisk
	// Ready is what a guest writes to its console when it has booted and hears
	// the power button; "" when there is nothing to boot.
	Ready string
	// Firmwares are those that a guest can be started with.
	Firmwares []cloud.Firmware
	// Leftovers names what is there of a guest outside of Host's sight.
	Leftovers func(t *testing.T, id string) []string
	// AddForeign makes a domain without lodge's mark until the test ends;
	// HasForeign finds it.
	AddForeign func(t *testing.T, uuid, name string)
	HasForeign func(t *testing.T, uuid string) bool
	// Hand acts as an operator at the host does.
	Hand Hand
	// Keeps: the host writes down when runs ended.
	Keeps bool
	// Network makes a network that a guest can start with, until the test ends; nil:
	// the site has no counters.
	Network func(t *testing.T) (id string)
	// Break takes the link to the host away and Mend gives it back.
	Break, Mend func(t *testing.T)
	// Cannot has the reason for each test that the site cannot do.
	Cannot map[string]string
}

// Hand are an operator's acts; nil: the site has none.
type Hand struct {
	Pause, Undefine, Destroy func(t *testing.T, id string)
	// Edit gives the definition one more vCPU.
	Edit func(t *testing.T, id string)
}

// Guests runs the contract. open makes a site for one test and cleans it up.
func Guests(t *testing.T, open func(t *testing.T) Site) {
	tests := []struct {
		name string
		run  func(*scene)
	}{
		{"DefineTwiceIsDefineOnce", defineTwice},
		{"LookFindsOnlyWhatIsAskedFor", lookAsked},
		{"StartTwiceIsStartOnce", startTwice},
		{"RedefineLeavesTheRunAlone", redefineRunning},
		{"DestroyEndsTheRun", destroy},
		{"PausedGuestIsResumed", pauseAndResume},
		{"ResetKeepsTheGuestRunning", reset},
		{"RebootBootsAgain", reboot},
		{"ShutdownIsTheGuestsOwnEnd", shutdown},
		{"ConsoleLogKeepsEarlierRuns", console},
		{"RemoveLeavesNothing", remove},
		{"RemoveOfARunningGuestLeavesNothing", removeRunning},
		{"UndefinedByHandIsStillSeenWhileItRuns", undefined},
		{"RemoveOfAGuestUndefinedByHandLeavesNothing", removeUndefined},
		{"EditedByHandIsNoLongerWhatWasDefined", edited},
		{"FailedStartIsSaid", startFails},
		{"UnknownGuest", unknown},
		{"ForeignDomainIsReportedAndNeverTouched", foreignDomain},
		{"ForeignNameIsReportedAndNeverTouched", foreignName},
		{"EndOfARunIsWrittenDown", endWritten},
		{"EndOfARunIsKnownAfterTheNextStart", endOfEarlierRun},
		{"CountersBeginAtEachRun", counters},
		{"EventsOfStartAndDestroyArrive", events},
		{"DescribeSaysWhatTheHostIs", describe},
		{"LostLinkIsSaidAndComesBack", lostLink},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			site := open(t)
			if why := site.Cannot[tt.name]; why != "" {
				t.Skip(why)
			}
			tt.run(newScene(t, site))
		})
	}
}

// scene is one test on one site.
type scene struct {
	*testing.T
	Site
	ctx context.Context
}

func newScene(t *testing.T, site Site) *scene {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	return &scene{T: t, Site: site, ctx: ctx}
}

// NewID makes a random UUID.
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it cannot fail
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// spec is a small guest with a disk.
func (s *scene) spec() cloud.GuestSpec {
	s.Helper()
	spec := cloud.GuestSpec{
		ID:        NewID(),
		Title:     `a <b> & "c"`,
		VCPUs:     1,
		MemoryMiB: 128,
		Firmware:  cloud.FirmwareBIOS,
		Disks:     []cloud.GuestDisk{s.Disk(s.T)},
	}
	s.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Host.RemoveGuest(ctx, spec.ID); err != nil {
			s.Errorf("clean up: %v", err)
		}
	})
	return spec
}

func (s *scene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *scene) power(id string, a cloud.PowerAction) {
	s.Helper()
	s.must(s.Host.PowerGuest(s.ctx, id, a))
}

// want fails unless err carries the code and a sentence.
func (s *scene) want(err error, code cloud.Code) {
	s.Helper()
	if cloud.CodeOf(err) != code {
		s.Fatalf("error is %v, want code %s", err, code)
	}
	if m := cloud.MessageOf(err); m == "" || m[len(m)-1] != '.' {
		s.Errorf("the message %q is not a sentence with a stop", m)
	}
}

// see looks at one guest.
func (s *scene) see(id string) (cloud.Guest, bool) {
	s.Helper()
	got, err := s.Host.LookGuests(s.ctx, []string{id})
	s.must(err)
	g, there := got[id]
	return g, there
}

// seen is see for a guest that has to be there in a state.
func (s *scene) seen(id string, state cloud.GuestState) cloud.Guest {
	s.Helper()
	g, there := s.see(id)
	if !there || g.State != state {
		s.Fatalf("guest there: %v, state %q; want %q", there, g.State, state)
	}
	return g
}

// running defines and starts a guest.
func (s *scene) running() cloud.GuestSpec {
	s.Helper()
	spec := s.spec()
	s.must(s.Host.DefineGuest(s.ctx, spec))
	s.power(spec.ID, cloud.ActStart)
	return spec
}

// booted is running, and waits until the guest hears the power button.
func (s *scene) booted() cloud.GuestSpec {
	s.Helper()
	if s.Ready == "" {
		s.Skip("the guest has nothing to boot")
	}
	spec := s.running()
	s.ready(spec.ID, 1)
	return spec
}

// ready waits until the guest has booted that many times.
func (s *scene) ready(id string, times int) {
	s.Helper()
	s.await(time.Minute, fmt.Sprintf("boot number %d", times), func() bool { return s.boots(id) >= times })
}

// await waits for a condition with a deadline.
func (s *scene) await(most time.Duration, what string, ok func() bool) {
	s.Helper()
	end := time.Now().Add(most)
	for !ok() {
		if time.Now().After(end) {
			s.Fatalf("%s: not within %s", what, most)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Package sim is a whole pretend host in memory: its guests, disks and networks
// behave like the real hands', take as long as they are told to, and fail when
// they are told to.
//
// It keeps everything in one Host, which outlives the lodged of a test that is
// killed and started again. It decides nothing about guests, writes no file and
// imports no other room; one contract, run on it and on real libvirt, holds the
// two together. Time comes from Options.Now and from timers, so that it runs in
// a testing/synctest bubble.
package sim

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"lodge/cloud"
)

// Options shape a pretend host. The zero value is a big host that answers at
// once.
type Options struct {
	Now     func() time.Time // nil: time.Now
	Seed    uint64           // of FailRate
	Latency Latency

	VCPUs     int    // default 64
	MemoryMiB int    // default 256 GiB
	Accel     string // default "kvm"
	FreeBytes int64  // where disks go; default 1 TiB

	// Life hears of each run of a guest at the moment it begins, with what runs,
	// and when it ends, with nil. It must not call the Host.
	Life func(id string, run *cloud.GuestSpec)
}

// Latency is how long things take. Calls that are not named take no time.
type Latency struct {
	Calls    map[Call]time.Duration
	Boot     time.Duration // from start until the console asks for a login
	Shutdown time.Duration // from the power button until the guest is off
	// Apart has each named call take a nanosecond more than the one before, so that
	// no two end at one moment: which of two timers goes first then, synctest draws
	// by lot, and another one at every run.
	Apart bool
}

// lap is the number of calls after which Apart begins again.
const lap = 100_000

// Realistic are the times of QEMU under libvirt 9.0 on a small machine.
func Realistic() Latency {
	return Latency{
		Calls: map[Call]time.Duration{
			CallLookGuests:    time.Millisecond,
			CallDefineGuest:   2 * time.Millisecond,
			CallStart:         300 * time.Millisecond,
			CallDestroy:       200 * time.Millisecond,
			CallRemoveGuest:   200 * time.Millisecond,
			CallLookDisks:     time.Millisecond,
			CallCreateDisk:    15 * time.Millisecond,
			CallWriteSeed:     10 * time.Millisecond,
			CallRemoveDisk:    5 * time.Millisecond,
			CallLookNetworks:  time.Millisecond,
			CallEnsureNetwork: 150 * time.Millisecond,
			CallEnsurePort:    10 * time.Millisecond,
			CallRemovePort:    10 * time.Millisecond,
			CallRemoveNetwork: 100 * time.Millisecond,
		},
		Boot:     3 * time.Second,
		Shutdown: 2 * time.Second,
	}
}

// Call names a kind of call, for latencies, faults and counts.
type Call string

// The calls. A power action is both CallPowerGuest and its own.
const (
	CallLookGuests  Call = "LookGuests"
	CallDefineGuest Call = "DefineGuest"
	CallPowerGuest  Call = "PowerGuest"
	CallStart       Call = "PowerGuest:start"
	CallShutdown    Call = "PowerGuest:shutdown"
	CallDestroy     Call = "PowerGuest:destroy"
	CallReboot      Call = "PowerGuest:reboot"
	CallReset       Call = "PowerGuest:reset"
	CallResume      Call = "PowerGuest:resume"
	CallRemoveGuest Call = "RemoveGuest"
	CallReadNICs    Call = "ReadNICs"
	CallDescribe    Call = "Describe"

	CallLookDisks   Call = "LookDisks"
	CallCreateDisk  Call = "CreateDisk"
	CallWriteSeed   Call = "WriteSeed"
	CallRemoveDisk  Call = "RemoveDisk"
	CallImportImage Call = "ImportImage"

	CallLookNetworks  Call = "LookNetworks"
	CallEnsureNetwork Call = "EnsureNetwork"
	CallRemoveNetwork Call = "RemoveNetwork"
	CallEnsurePort    Call = "EnsurePort"
	CallRemovePort    Call = "RemovePort"
)

// Host is a pretend host.
type Host struct {
	opts Options

	mu       sync.Mutex
	rand     *rand.Rand
	guests   map[string]*guest // by UUID
	written  map[string][]ending
	foreign  map[string]string // names of domains that are not lodge's -> UUID
	disks    map[cloud.DiskKey]cloud.Disk
	sizes    map[cloud.DiskKey]int64 // bytes on the host
	paths    map[string]cloud.DiskKey
	seeds    map[string]cloud.SeedSpec // what is in the seeds, by instance
	nvram    map[string]bool           // of guests with UEFI that have started
	free     int64
	nets     map[string]*network
	watchers map[*watcher]struct{}
	calls    map[Call]int
	devices  int // made so far
	slept    int // calls that took time

	lost     chan struct{} // closed while the link is down
	down     bool
	deaf     bool // events are lost
	mute     bool // ends of runs are not written down
	away     bool // libvirt is not there
	plans    map[Call][]plan
	failRate float64
}

// New makes a pretend host with nothing on it.
func New(opts Options) *Host {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Life == nil {
		opts.Life = func(string, *cloud.GuestSpec) {}
	}
	if opts.VCPUs == 0 {
		opts.VCPUs = 64
	}
	if opts.MemoryMiB == 0 {
		opts.MemoryMiB = 256 << 10
	}
	if opts.Accel == "" {
		opts.Accel = "kvm"
	}
	if opts.FreeBytes == 0 {
		opts.FreeBytes = 1 << 40
	}
	return &Host{
		opts:     opts,
		rand:     rand.New(rand.NewPCG(opts.Seed, opts.Seed)),
		guests:   map[string]*guest{},
		written:  map[string][]ending{},
		foreign:  map[string]string{},
		disks:    map[cloud.DiskKey]cloud.Disk{},
		sizes:    map[cloud.DiskKey]int64{},
		paths:    map[string]cloud.DiskKey{},
		seeds:    map[string]cloud.SeedSpec{},
		nvram:    map[string]bool{},
		free:     opts.FreeBytes,
		nets:     map[string]*network{},
		watchers: map[*watcher]struct{}{},
		calls:    map[Call]int{},
		lost:     make(chan struct{}),
		plans:    map[Call][]plan{},
	}
}

// Describe says what the host pretends to be. Returns CodeHypervisor while the
// link is down.
func (h *Host) Describe(ctx context.Context) (cloud.Host, error) {
	var out cloud.Host
	err := h.do(ctx, CallDescribe, "", func() error {
		out = cloud.Host{
			Name:       "sim",
			VCPUs:      h.opts.VCPUs,
			MemoryMiB:  h.opts.MemoryMiB,
			Accel:      h.opts.Accel,
			Hypervisor: "pretend host, no libvirt",
		}
		return nil
	})
	return out, err
}

// do runs act under the lock, as call, and also as sub when that is set: after
// its latency, with the faults that were ordered.
func (h *Host) do(ctx context.Context, call, sub Call, act func() error) error {
	h.mu.Lock()
	p := h.next(call, sub)
	lost, down := h.lost, h.down
	if h.opts.Latency.Apart && p.slow > 0 {
		h.slept++
		p.slow += time.Duration(h.slept%lap) * time.Nanosecond
	}
	h.mu.Unlock()
	if down {
		return noLink()
	}
	if err := pause(ctx, p.slow, lost); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down {
		return noLink()
	}
	if p.err != nil && !p.after {
		return p.err
	}
	if err := act(); err != nil {
		return err
	}
	return p.err
}

// pause waits, at most until the link breaks or ctx ends.
func pause(ctx context.Context, d time.Duration, lost <-chan struct{}) error {
	if ctx.Err() != nil {
		return late(ctx)
	}
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-lost:
		return noLink()
	case <-ctx.Done():
		return late(ctx)
	}
}

func noLink() error {
	return cloud.Errorf(cloud.CodeHypervisor, "The host's hypervisor does not answer; lodge keeps trying.")
}

func late(ctx context.Context) error {
	return cloud.Wrap(cloud.CodeTimeout, ctx.Err(), "The host's hypervisor did not answer in time.")
}

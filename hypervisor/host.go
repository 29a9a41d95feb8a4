package hypervisor

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"libvirt.org/go/libvirt"

	"lodge/cloud"
	"lodge/virt"
)

// Options are what a Host is opened with.
type Options struct {
	URI        string       // of libvirt, when Link is nil: "qemu:///system"
	Link       *virt.Link   // shared with other rooms; nil: one of its own
	Accel      string       // "auto", "kvm" or "tcg"; "" is auto
	ConsoleDir string       // where the guests' console logs go; made when missing
	Log        *slog.Logger // for what happens without a caller; nil: nowhere

	defineFlags libvirt.DomainDefineFlags // tests let libvirt validate what is written
}

// Host is the guests of one host.
type Host struct {
	opts    Options
	link    *virt.Link
	ownLink bool
	facts   atomic.Pointer[facts] // nil until the first connection
	stop    context.CancelFunc
	ended   chan struct{}
	greets  chan struct{} // closed after the first greeting
	settled time.Duration
	freed   atomic.Bool // a start has shown that limits do not work here, until lodged ends

	asks chan struct{} // calls that wait for a QEMU

	mu       sync.Mutex
	up       bool // as the watchers were told
	watchers map[*watcher]struct{}
	struck   map[string]struct{} // guests whose QEMU somebody of the host has ended with a signal
}

// firstGreeting is how long Open waits for libvirt; its first look at a QEMU it
// does not know takes it some seconds.
const firstGreeting = 10 * time.Second

// Open makes a Host and waits a while for libvirt. A libvirt that is down is no
// error: the Host keeps dialling in the background. Returns CodeInvalid for an
// unknown Accel or a console directory that cannot be made.
func Open(opts Options) (*Host, error) {
	switch opts.Accel {
	case "":
		opts.Accel = AccelAuto
	case AccelAuto, AccelKVM, AccelTCG:
	default:
		return nil, cloud.Errorf(cloud.CodeInvalid, "Acceleration %q is unknown; use auto, kvm or tcg.", opts.Accel)
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := consoleDir(opts.ConsoleDir)
	if err != nil {
		return nil, err
	}
	opts.ConsoleDir = dir
	h := &Host{
		opts:     opts,
		link:     opts.Link,
		ended:    make(chan struct{}),
		greets:   make(chan struct{}),
		settled:  settled,
		asks:     make(chan struct{}, mostAsks),
		watchers: map[*watcher]struct{}{},
		struck:   map[string]struct{}{},
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.stop = cancel
	if h.link == nil {
		h.link, h.ownLink = virt.Open(virt.Options{URI: opts.URI}), true
	}
	go h.follow(ctx)
	if up, _ := h.link.Up(); up {
		select {
		case <-h.greets:
		case <-time.After(firstGreeting):
		}
	}
	return h, nil
}

// consoleDir makes the directory. Others may pass through it, for QEMU may run
// as a user of its own.
func consoleDir(dir string) (string, error) {
	if dir == "" {
		return "", cloud.Errorf(cloud.CodeInvalid, "The directory for console logs is not given.")
	}
	abs, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(abs, 0o711)
	}
	return abs, cloud.Wrap(cloud.CodeInvalid, err, "The directory for console logs cannot be made.")
}

// Close hears no more events and gives up the link if it is the host's own.
// Guests run on.
func (h *Host) Close() error {
	h.stop()
	<-h.ended
	if h.ownLink {
		return h.link.Close()
	}
	return nil
}

// follow greets every connection for events, until ctx ends, and says in the
// log when libvirt goes and comes.
func (h *Host) follow(ctx context.Context) {
	defer close(h.ended)
	log := h.opts.Log.With("uri", h.link.URI())
	first := sync.OnceFunc(func() { close(h.greets) })
	var mu sync.Mutex // a greeting that took too long goes on behind
	var deaf func()
	hush := func(next func()) {
		mu.Lock()
		defer mu.Unlock()
		if deaf != nil {
			deaf()
		}
		deaf = next
		if ctx.Err() != nil && next != nil { // it came after the end
			next()
			deaf = nil
		}
	}
	_ = h.link.Follow(ctx, func(c *libvirt.Connect) error {
		defer first()
		listening, err := h.greet(c)
		if err != nil {
			return fmt.Errorf("learn what the host can do: %w", err)
		}
		hush(listening)
		log.Info("libvirt answers")
		h.tellLink(true)
		return nil
	}, func(why error) {
		log.Warn("libvirt does not answer", "err", why)
		hush(nil)
		h.tellLink(false)
	})
	hush(nil)
}

// greet learns what the host can do and subscribes to events.
func (h *Host) greet(c *libvirt.Connect) (deaf func(), err error) {
	f, err := learn(c, h.opts)
	if err != nil {
		return nil, err
	}
	if h.freed.Load() {
		f.shape.limits = limits{}
	}
	if lacks := f.shape.limits.lacks(); f.state != "" && len(lacks) > 0 {
		h.opts.Log.Warn("guests are not held to all limits; see lodged doctor", "without", lacks, "err", f.unsure)
	}
	h.facts.Store(f)
	return h.subscribe(c)
}

// unlimit forgets the limits, because a start failed for them. Definitions have
// another form without, so the loop writes them again before its next try.
func (h *Host) unlimit(why error) {
	h.freed.Store(true)
	if old := h.facts.Load(); old != nil {
		f := *old
		f.shape.limits = limits{}
		h.facts.Store(&f)
	}
	h.opts.Log.Warn("guests start without limits, for the host refused them; see lodged doctor", "err", why)
}

// know returns what was learnt at the last connect, CodeHypervisor when there
// never was one.
func (h *Host) know() (*facts, error) {
	if f := h.facts.Load(); f != nil {
		return f, nil
	}
	return nil, cloud.Errorf(cloud.CodeHypervisor, "The host's hypervisor has not answered yet; lodge keeps trying.")
}

// Describe says what the host is: its name, vCPUs, memory, acceleration and
// versions. Returns CodeHypervisor while libvirt is away.
func (h *Host) Describe(ctx context.Context) (cloud.Host, error) {
	host, err := call(ctx, h.link, "describe host", func(_ context.Context, c *libvirt.Connect) (cloud.Host, error) {
		f, err := h.know()
		if err != nil {
			return cloud.Host{}, err
		}
		node, err := c.GetNodeInfo()
		if err != nil {
			return cloud.Host{}, err
		}
		// The node's info has the memory of one NUMA cell only on some machines; the
		// statistics have all of it. The test driver has no statistics.
		memory := node.Memory
		if all, err := c.GetMemoryStats(libvirt.NODE_MEMORY_STATS_ALL_CELLS, 0); err == nil && all.TotalSet {
			memory = max(memory, all.Total)
		}
		name, err := c.GetHostname()
		if err != nil {
			return cloud.Host{}, err
		}
		return cloud.Host{
			Name:       name,
			VCPUs:      int(node.Cpus),
			MemoryMiB:  int(memory / 1024), // libvirt counts in KiB
			Accel:      f.accel,
			Hypervisor: f.versions,
		}, nil
	})
	if err != nil {
		return cloud.Host{}, fmt.Errorf("describe host: %w", err)
	}
	return host, nil
}

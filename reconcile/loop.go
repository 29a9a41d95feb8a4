package reconcile

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"lodge/cloud"
)

// Options are the parts of a Loop.
type Options struct {
	HostID string

	Guests Guests
	Ends   Ends // nil: the host writes no ends down
	// Counters and Traffic count the guests' bytes; nil: they are not counted.
	Counters Counters
	Disks    Disks
	Nets     Nets
	Strays   Strays // nil: networks that no row is about stay
	Fetcher  Fetcher

	Instances Instances
	Networks  Networks
	Images    Images
	Hosts     Hosts
	Traffic   Traffic
	Restores  Restores        // nil: the database was never restored, and orphans are not looked for
	Bell      <-chan struct{} // rings when a wish has changed

	Now        func() time.Time
	Skew       func() time.Duration // Now less the host's wall clock; nil: always 0
	Log        *slog.Logger
	Workers    int           // instances and networks side by side; 0: 4
	SweepEvery time.Duration // 0: 30 s
	Observe    cloud.Observe // hears of turns, steps and sweeps; nil: nobody
}

const (
	defaultWorkers = 4
	defaultSweep   = 30 * time.Second
	imageWorkers   = 2

	// stopGrace is how long the calls under way may take once lodged is to end.
	stopGrace = 5 * time.Second
)

// Loop keeps one host as its tenants want it.
type Loop struct {
	Options
	work   *queue // instances and networks
	images *queue
	places places // of turns of work
	mem    memories
	bytes  readings
	// gap is the last moment the guests were seen before nobody looked, in Unix
	// milliseconds; 0 while somebody looks.
	gap       atomic.Int64
	linkDown  atomic.Bool
	blinded   atomic.Bool // the last sweep could not look
	importing sync.Map    // image id -> context.CancelFunc
	sweepNow  chan struct{}
	strays    map[string]time.Time // networks that had neither a row nor a port at the last sweep, which alone uses it, and since when
	told      told
	adopted   chan struct{}
	looked    atomic.Int64 // when the last sweep that saw everything began, in Unix milliseconds
	backoffs  atomic.Int64
}

// New makes a loop; Run runs it.
func New(o Options) *Loop {
	if o.Workers <= 0 {
		o.Workers = defaultWorkers
	}
	if o.SweepEvery <= 0 {
		o.SweepEvery = defaultSweep
	}
	return &Loop{
		Options:  o,
		work:     newQueue(),
		images:   newQueue(),
		places:   make(places, o.Workers),
		mem:      memories{m: map[string]memory{}},
		bytes:    readings{m: map[string]cloud.TrafficReading{}, doubted: map[string]time.Time{}, written: map[string]span{}},
		sweepNow: make(chan struct{}, 1),
		adopted:  make(chan struct{}),
	}
}

// Run reconciles until ctx ends, then waits for the steps under way. The last
// thing it writes is a heartbeat: the guests run on, and the ledger knows until
// when they were seen.
func (l *Loop) Run(ctx context.Context) error {
	host, err := l.Hosts.Host(ctx, l.HostID)
	if err != nil {
		return err
	}
	l.openGap(host.HeartbeatAt)

	var wg sync.WaitGroup
	wg.Go(func() { l.watch(ctx) })
	l.adopt(ctx)
	if ctx.Err() != nil {
		wg.Wait() // nobody looked, so there is nothing to write
		return nil
	}
	l.sweep(ctx)
	for range l.Workers + silentTurns {
		wg.Go(func() { l.workers(ctx, l.work, l.places) })
	}
	images := make(places, imageWorkers)
	for range imageWorkers {
		wg.Go(func() { l.workers(ctx, l.images, images) })
	}
	l.ring(ctx)
	l.wait(ctx)
	until := l.Now() // nobody is told of anything any more
	l.work.stop()
	l.images.stop()
	wg.Wait()

	if !l.linkDown.Load() && l.gap.Load() == 0 {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return l.Hosts.Heartbeat(last, l.HostID, l.told.earliest(until))
	}
	return nil
}

// wait answers the bell, the sweep timer and the link until ctx ends.
func (l *Loop) wait(ctx context.Context) {
	tick := time.NewTicker(l.SweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.Bell:
			l.ring(ctx)
		case <-l.sweepNow:
			l.sweep(ctx)
		case <-tick.C:
			l.sweep(ctx)
			l.ring(ctx)
		}
	}
}

// ring marks everything whose wish is not observed yet.
func (l *Loop) ring(ctx context.Context) {
	now := l.Now()
	ids, err := l.Instances.DueInstances(ctx, l.HostID, now)
	if err != nil {
		l.Log.Error("due instances", "err", err)
	}
	for _, id := range ids {
		l.work.mark(cloud.Ref{Kind: cloud.KindInstance, ID: id})
	}
	imgs, err := l.Images.DueImages(ctx, l.HostID, now)
	if err != nil {
		l.Log.Error("due images", "err", err)
	}
	for _, img := range imgs {
		if !img.DeletedAt.IsZero() {
			if cancel, busy := l.importing.Load(img.ID); busy {
				cancel.(context.CancelFunc)()
			}
		}
		l.images.mark(cloud.Ref{Kind: cloud.KindImage, ID: img.ID})
	}
}

// watch turns the host's hints into marks.
func (l *Loop) watch(ctx context.Context) {
	err := l.Guests.WatchGuests(ctx,
		func(id string) {
			l.told.hear(id, hint{l.Now(), cloud.EvidenceSeen})
			l.work.mark(cloud.Ref{Kind: cloud.KindInstance, ID: id})
		},
		func(up bool) {
			if l.linkDown.Swap(!up) == !up {
				return
			}
			if up {
				l.Log.Info("link to the hypervisor is back")
			} else {
				l.Log.Warn("link to the hypervisor lost")
				l.openGapAtHeartbeat(ctx)
			}
			select {
			case l.sweepNow <- struct{}{}:
			default:
			}
		})
	if err != nil && ctx.Err() == nil {
		l.Log.Error("watch guests", "err", err)
	}
}

func (l *Loop) workers(ctx context.Context, q *queue, p places) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.wake:
		}
		for ctx.Err() == nil {
			p.take()
			r, ok := q.take()
			if !ok {
				p.give()
				break
			}
			l.handle(ctx, r)
			p.give()
			q.done(r)
		}
	}
}

func (l *Loop) handle(ctx context.Context, r cloud.Ref) {
	// A call to the host that is under way at the end is finished, not cut: its
	// result is the next start's starting point either way, but this is tidier.
	// One that hangs is left behind, and a download is cut; it may last for hours.
	whole, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(stopGrace, cut) })()
	whole, end := l.Observe.Begin(whole, cloud.WorkTurn, string(r.Kind), r.ID)
	defer end(nil)
	switch r.Kind {
	case cloud.KindInstance:
		l.instance(whole, r.ID)
	case cloud.KindNetwork:
		l.network(whole, r.ID)
	case cloud.KindImage:
		l.image(whole, ctx, r.ID)
	}
}

// openGap notes that nobody looks from at on.
func (l *Loop) openGap(at time.Time) {
	if !at.IsZero() {
		l.gap.CompareAndSwap(0, at.UnixMilli())
	}
}

// openGapAtHeartbeat notes that the guests were last seen at the heartbeat.
func (l *Loop) openGapAtHeartbeat(ctx context.Context) {
	host, err := l.Hosts.Host(ctx, l.HostID)
	if err != nil {
		l.Log.Error("host", "err", err)
		return
	}
	l.openGap(host.HeartbeatAt)
}

package virt

import (
	"context"
	"errors"
	"sync"
	"time"

	"libvirt.org/go/libvirt"

	"lodge/cloud"
)

// Options say how to reach libvirt. Zero values take the defaults.
type Options struct {
	URI string // "qemu:///system", "test:///default"; "" leaves it to libvirt

	CallTimeout time.Duration // of a call whose caller names none; default 30 s
	RedialMin   time.Duration // between two attempts to connect, doubling; default 100 ms
	RedialMax   time.Duration // default 5 s
	FirstDial   time.Duration // how long Open waits for the first answer; default 2 s
	IdleFor     time.Duration // that a connection beyond the first two waits for a call; default 1 min
	InFlight    int           // calls, and so their connections, at the same time; default 20, libvirtd's workers

	// OnChange hears of every watching connection made and lost, with the reason
	// in the second case and for the first failed attempt in a row. The end by
	// Close is no loss. It must not block.
	OnChange func(up bool, why error)

	// Observe hears of every call; nil: nobody.
	Observe cloud.Observe
}

func (o Options) withDefaults() Options {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&o.CallTimeout, 30*time.Second)
	def(&o.RedialMin, 100*time.Millisecond)
	def(&o.RedialMax, 5*time.Second)
	def(&o.FirstDial, 2*time.Second)
	def(&o.IdleFor, time.Minute)
	if o.InFlight <= 0 {
		o.InFlight = 20
	}
	return o
}

// keepAlive: libvirtd is asked for a sign of life every 5 s and given up after
// 6 silent ones. It answers from its event loop, so a slow call does not count.
const (
	keepAliveSeconds = 5
	keepAliveCount   = 6
)

// Link is a watching connection to libvirt, which is made again whenever it is
// lost, carries the events and says whether libvirt is there, and a pool of
// connections that are lent to calls. It is safe for use by many goroutines.
type Link struct {
	o      Options
	ctx    context.Context
	cancel context.CancelFunc
	ended  chan struct{}
	slots  chan struct{}

	mu       sync.Mutex
	conn     *libvirt.Connect // that watches; nil: down
	gen      uint64           // number of watching connections made so far
	why      error            // why it is down
	changed  chan struct{}    // closed and replaced whenever conn changes
	idle     []loan           // wait for a call, the last used at the end; none while down
	trimming bool             // a timer for that runs
	lent     int              // connections that a call has
	dialed   int64            // connections made so far
}

var loopOnce sync.Once

// startEventLoop runs the loop that notices a lost connection while no call is
// on its way and answers keep-alive messages. libvirt wants it registered before
// the first connection is opened, once per process.
func startEventLoop() {
	loopOnce.Do(func() {
		l, err := newEventLoop()
		if err != nil || libvirt.EventRegisterImpl(l) != nil {
			return // no libvirt on this machine: dialling says so
		}
		go l.run()
	})
}

// Open starts a link. It waits a short while for the first connection and then
// returns whether there is one or not: a daemon must start while libvirt is
// down.
func Open(o Options) *Link {
	startEventLoop()
	l := &Link{
		o:       o.withDefaults(),
		ended:   make(chan struct{}),
		changed: make(chan struct{}),
		why:     errors.New("not connected yet"),
	}
	l.slots = make(chan struct{}, l.o.InFlight)
	l.ctx, l.cancel = context.WithCancel(context.Background())
	tried := make(chan struct{})
	go l.keep(tried)
	t := time.NewTimer(l.o.FirstDial)
	defer t.Stop()
	select {
	case <-tried:
	case <-t.C:
	}
	return l
}

// partingTime is how long Close waits for libvirtd to hear that it is over.
const partingTime = 2 * time.Second

// Close ends the link. Calls that are on their way end by themselves.
func (l *Link) Close() error {
	l.cancel()
	<-l.ended
	return nil
}

// URI is where the link leads to.
func (l *Link) URI() string { return l.o.URI }

// Up reports whether there is a connection, and why not.
func (l *Link) Up() (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conn != nil, l.why
}

// keep dials whenever there is no connection. tried is closed after the first
// attempt. A connection that lasted is dialled again at once; one that did not,
// for it was found to be of no use, after a while like one that failed.
func (l *Link) keep(tried chan struct{}) {
	defer close(l.ended)
	first := sync.OnceFunc(func() { close(tried) })
	wait, told := l.o.RedialMin, false
	for l.ctx.Err() == nil {
		conn, err := l.dial()
		began := time.Now()
		if err == nil {
			told = false
			l.put(conn)
			first()
			l.untilDown()
		} else {
			l.mu.Lock()
			l.why = err
			l.mu.Unlock()
			if !told {
				l.tell(false, err)
			}
			told = true
			first()
		}
		if time.Since(began) > l.o.RedialMax {
			wait = l.o.RedialMin
			continue
		}
		l.pause(wait)
		wait = min(2*wait, l.o.RedialMax)
	}
	select {
	case <-l.drop(l.generation(), errors.New("the link was closed")):
	case <-time.After(partingTime):
	}
}

func (l *Link) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-l.ctx.Done():
	case <-t.C:
	}
}

func (l *Link) tell(up bool, why error) {
	if l.o.OnChange != nil && l.ctx.Err() == nil {
		l.o.OnChange(up, why)
	}
}

func (l *Link) generation() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gen
}

func (l *Link) untilDown() {
	for {
		l.mu.Lock()
		down, changed := l.conn == nil, l.changed
		l.mu.Unlock()
		if down {
			return
		}
		select {
		case <-changed:
		case <-l.ctx.Done():
			return
		}
	}
}

// dial makes one attempt. libvirt's open has no deadline of its own and may
// wait for ever on a daemon that is stopped but not gone; then the attempt is
// left behind and closed when it returns after all.
func (l *Link) dial() (*libvirt.Connect, error) {
	type result struct {
		conn *libvirt.Connect
		err  error
	}
	got := make(chan result, 1)
	go func() {
		conn, err := libvirt.NewConnect(l.o.URI)
		got <- result{conn, err}
	}()
	t := time.NewTimer(l.o.CallTimeout)
	defer t.Stop()
	var err error
	select {
	case r := <-got:
		return r.conn, r.err
	case <-t.C:
		err = errors.New("libvirt took the connection and did not answer in time")
	case <-l.ctx.Done():
		err = l.ctx.Err()
	}
	go func() {
		if r := <-got; r.err == nil {
			_, _ = r.conn.Close()
		}
	}()
	return nil, err
}

// put makes conn the watching connection of the link. It belongs to others as
// soon as they see it, so that all is set before.
func (l *Link) put(conn *libvirt.Connect) {
	gen := l.generation() + 1
	// Drivers that live in this process (test:///default) know neither.
	_ = conn.RegisterCloseCallback(func(_ *libvirt.Connect, reason libvirt.ConnectCloseReason) {
		go l.drop(gen, closeReason(reason))
	})
	_ = conn.SetKeepAlive(keepAliveSeconds, keepAliveCount)

	l.mu.Lock()
	l.conn, l.gen, l.why = conn, gen, nil
	l.dialed++
	broken := !alive(conn) // and drop may have come too early
	close(l.changed)
	l.changed = make(chan struct{})
	l.mu.Unlock()
	l.tell(true, nil)
	if broken {
		l.drop(gen, closeReason(libvirt.CONNECT_CLOSE_REASON_ERROR))
	}
}

func closeReason(r libvirt.ConnectCloseReason) error {
	switch r {
	case libvirt.CONNECT_CLOSE_REASON_EOF:
		return errors.New("libvirt closed the connection")
	case libvirt.CONNECT_CLOSE_REASON_KEEPALIVE:
		return errors.New("libvirt gave no sign of life")
	case libvirt.CONNECT_CLOSE_REASON_CLIENT:
		return errors.New("the connection was closed here")
	}
	return errors.New("the connection broke")
}

// drop gives up watching connection number gen, unless that was done before, and
// those that wait for a call with it. hungUp is closed when libvirtd has heard
// of it, or is not there any more.
func (l *Link) drop(gen uint64, why error) (hungUp <-chan struct{}) {
	done := make(chan struct{})
	l.mu.Lock()
	conn, idle := l.conn, l.idle
	if conn == nil || l.gen != gen {
		l.mu.Unlock()
		close(done)
		return done
	}
	l.conn, l.why, l.idle = nil, why, nil
	close(l.changed)
	l.changed = make(chan struct{})
	l.mu.Unlock()

	go func() {
		defer close(done)
		_ = conn.UnregisterCloseCallback() // it holds a reference
		_, _ = conn.Close()
		for _, c := range idle {
			_, _ = c.conn.Close()
		}
	}()
	l.tell(false, why)
	return done
}

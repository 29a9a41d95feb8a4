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
	InFlight    int           // calls at the same time; default 32

	// OnChange hears of every connection made and lost, with the reason in the
	// second case and for the first failed attempt in a row. It must not block.
	OnChange func(up bool, why error)
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
	if o.InFlight <= 0 {
		o.InFlight = 32
	}
	return o
}

// keepAlive: libvirtd is asked for a sign of life every 5 s and given up after
// 6 silent ones. It answers from its event loop, so a slow call does not count.
const (
	keepAliveSeconds = 5
	keepAliveCount   = 6
)

// Link is a connection to libvirt that is made again whenever it is lost.
// It is safe for use by many goroutines.
type Link struct {
	o      Options
	ctx    context.Context
	cancel context.CancelFunc
	ended  chan struct{}
	slots  chan struct{}

	mu      sync.Mutex
	conn    *libvirt.Connect // nil: down
	gen     uint64           // number of connections made so far
	why     error            // why it is down
	changed chan struct{}    // closed and replaced whenever conn changes
}

var eventLoop sync.Once

// startEventLoop runs libvirt's own loop, which notices a lost connection while
// no call is on its way and answers keep-alive messages. libvirt wants it
// registered before the first connection is opened, once per process; it has no
// way to be taken back.
func startEventLoop() {
	eventLoop.Do(func() {
		if err := libvirt.EventRegisterDefaultImpl(); err != nil {
			return // no libvirt on this machine: dialling says so
		}
		go func() {
			for {
				if err := libvirt.EventRunDefaultImpl(); err != nil {
					time.Sleep(100 * time.Millisecond) // do not spin on a loop that refuses
				}
			}
		}()
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

// Close ends the link. Calls that are on their way end by themselves.
func (l *Link) Close() error {
	l.cancel()
	<-l.ended
	return nil
}

// Up reports whether there is a connection, and why not.
func (l *Link) Up() (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conn != nil, l.why
}

// keep dials whenever there is no connection. tried is closed after the first
// attempt.
func (l *Link) keep(tried chan struct{}) {
	defer close(l.ended)
	wait := l.o.RedialMin
	told := false
	for l.ctx.Err() == nil {
		conn, err := l.dial()
		if err == nil {
			wait, told = l.o.RedialMin, false
			l.put(conn, nil)
		} else {
			l.mu.Lock()
			l.why = err
			l.mu.Unlock()
			if !told && l.o.OnChange != nil {
				l.o.OnChange(false, err)
			}
			told = true
		}
		if tried != nil {
			close(tried)
			tried = nil
		}
		if err == nil {
			l.untilDown()
			continue
		}
		t := time.NewTimer(wait)
		select {
		case <-l.ctx.Done():
		case <-t.C:
		}
		t.Stop()
		wait = min(2*wait, l.o.RedialMax)
	}
	l.drop(l.generation(), errors.New("the link was closed"))
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

// put makes conn the connection of the link.
func (l *Link) put(conn *libvirt.Connect, why error) {
	l.mu.Lock()
	l.gen++
	gen := l.gen
	l.conn, l.why = conn, why
	close(l.changed)
	l.changed = make(chan struct{})
	l.mu.Unlock()

	// Drivers that live in this process (test:///default) know neither.
	_ = conn.RegisterCloseCallback(func(_ *libvirt.Connect, reason libvirt.ConnectCloseReason) {
		go l.drop(gen, closeReason(reason))
	})
	_ = conn.SetKeepAlive(keepAliveSeconds, keepAliveCount)
	if l.o.OnChange != nil {
		l.o.OnChange(true, nil)
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

// drop gives up connection number gen, unless that was done before.
func (l *Link) drop(gen uint64, why error) {
	l.mu.Lock()
	conn := l.conn
	if conn == nil || l.gen != gen {
		l.mu.Unlock()
		return
	}
	l.conn, l.why = nil, why
	close(l.changed)
	l.changed = make(chan struct{})
	l.mu.Unlock()

	_ = conn.UnregisterCloseCallback() // it holds a reference
	_, _ = conn.Close()
	if l.o.OnChange != nil {
		l.o.OnChange(false, why)
	}
}

// take gives the connection with a reference that the caller closes.
func (l *Link) take() (*libvirt.Connect, uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		return nil, 0, down(l.why)
	}
	if err := l.conn.Ref(); err != nil {
		return nil, 0, down(err)
	}
	return l.conn, l.gen, nil
}

func down(why error) error {
	return &cloud.Error{
		Code:    cloud.CodeHypervisor,
		Message: "The host's libvirt does not answer; lodge goes on as soon as it does.",
		Cause:   why,
	}
}

package virt

import (
	"reflect"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"libvirt.org/go/libvirt"
)

// eventLoop is where libvirt's client waits for what nobody asked for: events,
// signs of life, the end of a connection. It stands in for libvirt's own loop
// because of what a call costs there: a connection is taken out of the loop while
// a call waits for its answer and put back after it, and the loop's thread has to
// wake up for both. With epoll a change is one system call of the thread that
// makes it, and the loop sleeps on.
//
// Callbacks run on the loop's goroutine, one after the other. They may call any
// method; so none is called with the lock held.
// https://libvirt.org/html/libvirt-libvirt-event.html#virEventRegisterImpl
type eventLoop struct {
	epoll int
	bell  int // an eventfd: the loop has something new to look at

	mu      sync.Mutex
	last    int // id given out last, of handles and timers alike
	handles map[int]*handle
	timers  map[int]*timer
	until   time.Time // the loop sleeps until then; zero: until it is woken
	dead    []func()  // what libvirt wants freed, but not under its own locks
}

type handle struct {
	fd     int
	events libvirt.EventHandleType // 0: not waited for
	call   *libvirt.EventHandleCallbackInfo
}

type timer struct {
	every time.Duration // below 0: off
	due   time.Time
	call  *libvirt.EventTimeoutCallbackInfo
}

const bellID = 0 // in epoll's answers; no handle has it

func newEventLoop() (*eventLoop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err == nil {
		err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, bell, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: bellID})
	}
	if err != nil {
		return nil, err
	}
	return &eventLoop{epoll: epoll, bell: bell, handles: map[int]*handle{}, timers: map[int]*timer{}}, nil
}

// run never returns: libvirt has no way to take a loop back.
func (l *eventLoop) run() {
	got := make([]unix.EpollEvent, 16)
	for {
		n, err := unix.EpollWait(l.epoll, got, l.sleep())
		if err != nil && err != unix.EINTR {
			time.Sleep(100 * time.Millisecond) // do not spin on what cannot be waited for
		}
		for _, e := range got[:max(n, 0)] {
			if e.Fd == bellID {
				l.hush()
				continue
			}
			l.serve(int(e.Fd), e.Events)
		}
		l.ringTimers(time.Now())
		l.bury()
	}
}

// sleep is how long the loop may sleep, in milliseconds; -1: until something
// happens.
func (l *eventLoop) sleep() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = time.Time{}
	if len(l.dead) > 0 {
		return 0
	}
	for _, t := range l.timers {
		if t.every >= 0 && (l.until.IsZero() || t.due.Before(l.until)) {
			l.until = t.due
		}
	}
	if l.until.IsZero() {
		return -1
	}
	// Rounded up: a loop that wakes too early turns without rest until it is time.
	return max(0, int((time.Until(l.until)+time.Millisecond-1)/time.Millisecond))
}

func (l *eventLoop) wake() {
	_, _ = unix.Write(l.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

func (l *eventLoop) hush() {
	var b [8]byte
	_, _ = unix.Read(l.bell, b[:])
}

// serve tells a handle what has happened. It may have been changed since the
// kernel said so; then the kernel says it again, or nobody wants to know.
func (l *eventLoop) serve(id int, events uint32) {
	l.mu.Lock()
	h := l.handles[id]
	if h == nil || h.events == 0 {
		l.mu.Unlock()
		return
	}
	happened := fromEpoll(events) & (h.events | libvirt.EVENT_HANDLE_ERROR | libvirt.EVENT_HANDLE_HANGUP)
	l.mu.Unlock()
	if happened != 0 {
		h.call.Invoke(id, h.fd, happened)
	}
}

func (l *eventLoop) ringTimers(now time.Time) {
	l.mu.Lock()
	var due []int
	for id, t := range l.timers {
		if t.every >= 0 && !t.due.After(now) {
			t.due = now.Add(t.every)
			due = append(due, id)
		}
	}
	l.mu.Unlock()
	for _, id := range due {
		l.mu.Lock()
		t := l.timers[id]
		on := t != nil && t.every >= 0 // one callback may end another's timer
		l.mu.Unlock()
		if on {
			t.call.Invoke(id)
		}
	}
}

// bury frees what was removed. Only here: no callback of it can be under way.
func (l *eventLoop) bury() {
	l.mu.Lock()
	dead := l.dead
	l.dead = nil
	l.mu.Unlock()
	for _, free := range dead {
		free()
	}
}

// AddHandleFunc has libvirt's meaning, as the five after it.
func (l *eventLoop) AddHandleFunc(fd int, events libvirt.EventHandleType, call *libvirt.EventHandleCallbackInfo) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	h := &handle{fd: fd, call: call}
	if !l.watch(l.last, h, events) {
		return -1
	}
	l.handles[l.last] = h
	return l.last
}

func (l *eventLoop) UpdateHandleFunc(id int, events libvirt.EventHandleType) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.handles[id]; h != nil {
		l.watch(id, h, events)
	}
}

func (l *eventLoop) RemoveHandleFunc(id int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.handles[id]
	if h == nil {
		return -1
	}
	l.watch(id, h, 0)
	delete(l.handles, id)
	l.free(h.call, h.call.Free)
	return 0
}

// watch makes the kernel wait for the events. A handle that waits for nothing is
// taken out: epoll reports the end of a connection even to who wants no events.
func (l *eventLoop) watch(id int, h *handle, events libvirt.EventHandleType) bool {
	op := unix.EPOLL_CTL_MOD
	switch {
	case h.events == events:
		return true
	case events == 0:
		op = unix.EPOLL_CTL_DEL
	case h.events == 0:
		op = unix.EPOLL_CTL_ADD
	}
	h.events = events
	return unix.EpollCtl(l.epoll, op, h.fd, &unix.EpollEvent{Events: toEpoll(events), Fd: int32(id)}) == nil
}

func (l *eventLoop) AddTimeoutFunc(ms int, call *libvirt.EventTimeoutCallbackInfo) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	t := &timer{call: call}
	l.timers[l.last] = t
	l.set(t, ms)
	return l.last
}

func (l *eventLoop) UpdateTimeoutFunc(id int, ms int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.timers[id]; t != nil {
		l.set(t, ms)
	}
}

func (l *eventLoop) RemoveTimeoutFunc(id int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.timers[id]
	if t == nil {
		return -1
	}
	delete(l.timers, id)
	l.free(t.call, t.call.Free)
	return 0
}

// free frees what belongs to a callback when nobody is in it. libvirt may have
// given no function for that; the binding would call it all the same, and keeps
// it where only reflection sees it.
func (l *eventLoop) free(info any, free func()) {
	if f := reflect.Indirect(reflect.ValueOf(info)).FieldByName("free"); f.IsValid() && f.Uint() == 0 {
		return
	}
	l.dead = append(l.dead, free)
	l.wake()
}

// set starts a timer anew. The loop is woken only when it would sleep too long:
// the timer of a connection's sign of life is put off with every answer.
func (l *eventLoop) set(t *timer, ms int) {
	t.every = time.Duration(ms) * time.Millisecond
	if ms < 0 {
		return
	}
	t.due = time.Now().Add(t.every)
	if l.until.IsZero() || t.due.Before(l.until) {
		l.wake()
	}
}

func toEpoll(e libvirt.EventHandleType) (out uint32) {
	for _, p := range epollBits {
		if e&p.libvirt != 0 {
			out |= p.epoll
		}
	}
	return out
}

func fromEpoll(e uint32) (out libvirt.EventHandleType) {
	for _, p := range epollBits {
		if e&p.epoll != 0 {
			out |= p.libvirt
		}
	}
	return out
}

var epollBits = []struct {
	libvirt libvirt.EventHandleType
	epoll   uint32
}{
	{libvirt.EVENT_HANDLE_READABLE, unix.EPOLLIN},
	{libvirt.EVENT_HANDLE_WRITABLE, unix.EPOLLOUT},
	{libvirt.EVENT_HANDLE_ERROR, unix.EPOLLERR},
	{libvirt.EVENT_HANDLE_HANGUP, unix.EPOLLHUP},
}

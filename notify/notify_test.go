package notify_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"lodge/cloud"
	"lodge/fetch"
	"lodge/meter"
	"lodge/notify"
	"lodge/store"
)

var (
	ctx      = context.Background()
	operator = cloud.Caller{Operator: true, Via: "test"}
)

// receiver is a real webhook that answers as it is told.
type receiver struct {
	mu     sync.Mutex
	status []int // of the answers to come; the last one stays; 0 hangs
	got    []*http.Request
	bodies []string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	r.got, r.bodies = append(r.got, req), append(r.bodies, string(body))
	status := r.status[0]
	if len(r.status) > 1 {
		r.status = r.status[1:]
	}
	r.mu.Unlock()
	if status == 0 {
		panic(http.ErrAbortHandler)
	}
	if status == 302 {
		w.Header().Set("Location", "/elsewhere")
	}
	w.WriteHeader(status)
}

type world struct {
	t      *testing.T
	path   string
	db     *store.DB
	now    time.Time
	hook   cloud.IssuedWebhook
	budget cloud.Budget
}

// told is a world in which a webhook at the URL has one message to come.
func told(t *testing.T, url string) *world {
	w := &world{t: t, path: filepath.Join(t.TempDir(), "lodge.db"), now: time.Date(2026, 11, 5, 12, 0, 0, 0, time.UTC)}
	w.open()
	tenant, err := w.db.EnsureInstallation(ctx, w.now, cloud.NewTenant{ID: uuid.NewString(), NetworkID: uuid.NewString(), SubnetID: uuid.NewString()})
	w.must(err)
	w.hook, err = w.db.CreateWebhook(ctx, operator, w.now, cloud.IssuedWebhook{Webhook: cloud.Webhook{ID: uuid.NewString(), TenantID: tenant.ID, Name: "chat", URL: url}, Secret: []byte("a secret of thirty-two bytes, yes")})
	w.must(err)
	// It stands at 100 % at once: the judge of the test says so.
	w.budget, err = w.db.CreateBudget(ctx, operator, w.now, cloud.Budget{ID: uuid.NewString(), TenantID: tenant.ID, Name: "dev", Amount: "1", Period: cloud.BudgetMonth, WebhookID: w.hook.ID,
		Thresholds: []cloud.BudgetThreshold{{Percent: 100, On: cloud.BudgetActual, Action: cloud.BudgetNotify}}}, func(b cloud.Budget, u cloud.BudgetUsage, now time.Time) cloud.BudgetState {
		s := meter.JudgeBudget(b, u, now)
		s.Reached[0] = true
		return s
	})
	w.must(err)
	return w
}

func (w *world) open() {
	w.t.Helper()
	db, err := store.Open(w.path)
	w.must(err)
	w.db = db
	w.t.Cleanup(func() { _ = db.Close() })
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) sender(allow ...netip.Prefix) *notify.Sender {
	now := func() time.Time { return w.now }
	return &notify.Sender{Outbox: w.db, Poster: fetch.New(fetch.Options{Allow: allow, HeaderTime: 200 * time.Millisecond}), Now: now, Wall: now, Log: slog.New(slog.DiscardHandler)}
}

func (w *world) last() cloud.Delivery {
	w.t.Helper()
	h, err := w.db.Webhook(ctx, operator, w.hook.ID)
	w.must(err)
	if len(h.Deliveries) != 1 {
		w.t.Fatalf("%d deliveries", len(h.Deliveries))
	}
	return h.Deliveries[0]
}

var loopback = netip.MustParsePrefix("127.0.0.0/8")

// A webhook that answers 500, breaks off, redirects, hangs and comes back is told
// in the end: the same message with the same id, signed anew each time.
func TestAMessageComesUntilItIsTaken(t *testing.T) {
	r := &receiver{status: []int{500, 0, 302, 200}}
	hang := make(chan struct{})
	var calls atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if calls.Add(1) == 1 {
			<-hang
		}
		r.ServeHTTP(w, req)
	}))
	defer srv.Close()
	defer close(hang)
	w := told(t, srv.URL)
	for attempt, want := range []struct {
		status int
		failed string
	}{{0, "did not answer in time"}, {500, "500"}, {0, "did not answer"}, {302, "302"}, {200, ""}} {
		if _, err := w.sender(loopback).Send(ctx); err != nil {
			t.Fatal(err)
		}
		m := w.last()
		if m.Attempts != attempt+1 || m.LastStatus != want.status || !strings.Contains(m.LastError, want.failed) || m.DeliveredAt.IsZero() != (want.failed != "") {
			t.Fatalf("attempt %d: %+v", attempt+1, m)
		}
		if want.failed == "" {
			break
		}
		if wait := m.NextAt.Sub(w.now); wait < 4*time.Second<<attempt || wait > 6*time.Second<<attempt {
			t.Errorf("attempt %d: waits %v", attempt+1, wait)
		}
		w.now = m.NextAt.Add(-time.Millisecond)
		if _, err := w.sender(loopback).Send(ctx); err != nil || w.last().Attempts != attempt+1 {
			t.Errorf("it was tried too early: %v", err)
		}
		w.now = m.NextAt
		w.must(w.db.Close()) // and what is in the outbox is there after a restart
		w.open()
	}
	if next, err := w.sender(loopback).Send(ctx); err != nil || !next.IsZero() {
		t.Errorf("next %v, %v", next, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, req := range r.got {
		id, stamp := req.Header.Get("Webhook-Id"), req.Header.Get("Webhook-Timestamp")
		mac := hmac.New(sha256.New, w.hook.Secret)
		fmt.Fprintf(mac, "%s.%s.%s", id, stamp, r.bodies[i])
		if got, want := req.Header.Get("Webhook-Signature"), "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)); got != want {
			t.Errorf("signature %q, want %q", got, want)
		}
		var e struct {
			SpecVersion, ID, Source, Type string
			Time                          time.Time
			Data                          map[string]string
		}
		if err := json.Unmarshal([]byte(r.bodies[i]), &e); err != nil {
			t.Fatal(err)
		}
		if e.SpecVersion != "1.0" || e.ID != id || id != w.last().ID || e.Source != "/v1/budgets/"+w.budget.ID || e.Type != "lodge.budget.crossed" || e.Data["percent"] != "100" {
			t.Errorf("got %s", r.bodies[i])
		}
		if req.URL.Path != "/" || req.Method != "POST" {
			t.Errorf("%s %s: a redirect was followed", req.Method, req.URL)
		}
	}
}

func TestAPrivateAddressIsNotCalled(t *testing.T) {
	var calls atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	defer srv.Close()
	w := told(t, srv.URL)
	if _, err := w.sender().Send(ctx); err != nil {
		t.Fatal(err)
	}
	if m := w.last(); calls.Load() > 0 || m.LastStatus != 0 || !strings.Contains(m.LastError, "loopback") {
		t.Errorf("called %d times: %+v", calls.Load(), m)
	}
}

func TestAMessageIsGivenUpWithAnEvent(t *testing.T) {
	r := &receiver{status: []int{503}}
	srv := httptest.NewServer(r)
	defer srv.Close()
	w := told(t, srv.URL)
	for range 200 {
		m := w.last()
		if !m.GivenUpAt.IsZero() {
			break
		}
		w.now = m.NextAt
		if _, err := w.sender(loopback).Send(ctx); err != nil {
			t.Fatal(err)
		}
	}
	m := w.last()
	if m.GivenUpAt.Sub(m.CreatedAt) < notify.GiveUp || m.Attempts < 50 || m.LastStatus != 503 {
		t.Errorf("got %+v", m)
	}
	events, err := w.db.Events(ctx, operator, cloud.EventFilter{SubjectID: w.hook.ID})
	w.must(err)
	if got := events[len(events)-1].Type; got != "webhook.given_up" {
		t.Errorf("the last event is %s", got)
	}
}

func TestWaitsGrowAndEnd(t *testing.T) {
	for attempts, want := range map[int]time.Duration{1: 5 * time.Second, 2: 10 * time.Second, 5: 80 * time.Second, 11: time.Hour, 1000: time.Hour} {
		if got := notify.Wait(attempts, 0.5); got != want {
			t.Errorf("after %d: %v, want %v", attempts, got, want)
		}
	}
	if low, high := notify.Wait(1, 0), notify.Wait(1, 1); low != 4*time.Second || high != 6*time.Second {
		t.Errorf("from %v to %v", low, high)
	}
}

// unwritable takes no record.
type unwritable struct{ *store.DB }

func (unwritable) RecordDelivery(context.Context, time.Time, string, int, string, time.Time) error {
	return cloud.Errorf(cloud.CodeDiskFull, "The disk is full.")
}

func TestWhatCannotBeWrittenDownIsNotSentAgainAtOnce(t *testing.T) {
	r := &receiver{status: []int{200}}
	srv := httptest.NewServer(r)
	defer srv.Close()
	s := told(t, srv.URL).sender(loopback)
	s.Outbox = unwritable{s.Outbox.(*store.DB)}
	stop, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	s.Run(stop)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.got) != 1 {
		t.Errorf("it was sent %d times", len(r.got))
	}
}

// While a secret is followed by a new one, both sign, so that a receiver that
// knows either one finds its own; afterwards the new one alone does.
func TestBothSecretsSignForTheOverlap(t *testing.T) {
	r := &receiver{status: []int{500, 200}}
	srv := httptest.NewServer(r)
	defer srv.Close()
	w := told(t, srv.URL)
	newer := []byte("another secret, of 32 bytes, too")
	_, err := w.db.RotateWebhook(ctx, operator, w.now, w.hook.ID, cloud.NewSecret{Secret: newer, Overlap: time.Second})
	w.must(err)
	for range 2 {
		if _, err := w.sender(loopback).Send(ctx); err != nil {
			t.Fatal(err)
		}
		w.now = w.now.Add(time.Minute)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, secrets := range [][][]byte{{newer, w.hook.Secret}, {newer}} {
		var want []string
		for _, secret := range secrets {
			mac := hmac.New(sha256.New, secret)
			fmt.Fprintf(mac, "%s.%s.%s", r.got[i].Header.Get("Webhook-Id"), r.got[i].Header.Get("Webhook-Timestamp"), r.bodies[i])
			want = append(want, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		}
		if got := r.got[i].Header.Get("Webhook-Signature"); got != strings.Join(want, " ") {
			t.Errorf("message %d is signed %q, want %q", i+1, got, want)
		}
	}
}

// outbox is an Outbox in memory: what it has is due until it was tried.
type outbox struct {
	mu   sync.Mutex
	due  []cloud.Delivery
	told bool // that the one that hangs is under way, with the room that is left
}

func (o *outbox) DueDeliveries(_ context.Context, _ time.Time, busy []cloud.Delivery, limit int) ([]cloud.Delivery, time.Time, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	hangs := slices.ContainsFunc(busy, func(m cloud.Delivery) bool { return m.URL == "hangs" })
	o.told = o.told || hangs && limit == 64-len(busy)
	return slices.Clone(o.due), time.Time{}, nil
}

func (o *outbox) RecordDelivery(_ context.Context, _ time.Time, id string, _ int, _ string, _ time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.due = slices.DeleteFunc(o.due, func(m cloud.Delivery) bool { return m.ID == id })
	return nil
}

func (o *outbox) NextEvents(string) <-chan struct{} { return nil }

// hanging posts to a webhook that hangs, and to others.
type hanging struct {
	hung  chan struct{}
	calls atomic.Int32
}

func (h *hanging) Post(ctx context.Context, url string, _ map[string]string, _ string) (int, error) {
	h.calls.Add(1)
	if url == "hangs" {
		h.hung <- struct{}{}
		<-ctx.Done()
	}
	return 200, nil
}

// What hangs holds up nobody else, and is tried once at a time.
func TestAWebhookThatHangsHoldsUpItsOwnOnly(t *testing.T) {
	o := &outbox{due: []cloud.Delivery{{ID: "1", URL: "hangs", CreatedAt: time.Now()}}}
	h := &hanging{hung: make(chan struct{}, 10)}
	s := &notify.Sender{Outbox: o, Poster: h, Now: time.Now, Wall: time.Now, Log: slog.New(slog.DiscardHandler)}
	running, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	o.due = append(o.due, cloud.Delivery{ID: "2", URL: "fast", CreatedAt: time.Now()}, cloud.Delivery{ID: "3", URL: "fast", CreatedAt: time.Now()})
	go func() { defer close(done); s.Run(running) }()
	<-h.hung
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		o.mu.Lock()
		left, told := len(o.due), o.told
		o.mu.Unlock()
		if left == 1 && told {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d messages wait; the outbox was told what is under way: %v", left, told)
		}
	}
	stop()
	<-done
	if n := h.calls.Load(); n != 3 || len(h.hung) != 0 {
		t.Errorf("%d calls, the one that hangs %d times more", n, len(h.hung))
	}
}

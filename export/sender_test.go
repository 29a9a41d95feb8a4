package export_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"lodge/cloud"
	"lodge/export"
	"lodge/meter"
	"lodge/store"
)

var (
	ctx      = context.Background()
	operator = cloud.Caller{Operator: true, Via: "socket"}
	noon     = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	quick    = export.Pace{Idle: 5 * time.Millisecond, Least: time.Millisecond, Most: 5 * time.Millisecond, Timeout: 200 * time.Millisecond}
)

const (
	hostID = "11111111-1111-4111-8111-111111111111"
	guests = 12
	// perHour is how many events an hour has: four slots of each guest, the image they are made of, and the end.
	perHour = guests*4 + 2
	hours   = 9
)

// ledgerAt makes a database with closed hours of some guests.
func ledgerAt(t *testing.T, path string) *store.DB {
	t.Helper()
	db, err := store.Open(path)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	must(t, db.RegisterHost(ctx, noon, cloud.Host{Meta: cloud.Meta{ID: hostID}, Name: "rack1", VCPUs: 64, MemoryMiB: 1 << 20, VCPURatio: 16, MemoryRatio: 1, Accel: "kvm", StartedAt: noon}))
	tenant, err := db.EnsureInstallation(ctx, noon, cloud.NewTenant{ID: uuid.NewString(), NetworkID: uuid.NewString(), SubnetID: uuid.NewString()})
	must(t, err)
	img, err := db.CreateImage(ctx, operator, noon, cloud.NewImage{ID: uuid.NewString(), TenantID: tenant.ID, Name: "debian-12", Source: cloud.SourceUpload, Firmware: cloud.FirmwareBIOS})
	must(t, err)
	must(t, db.RecordImage(ctx, noon, cloud.ImageRecord{ID: img.ID, State: cloud.ImageActive, Info: &cloud.ImageInfo{Format: cloud.FormatRaw, SizeBytes: 1 << 20, VirtualSize: 1 << 20}}))
	for n := range guests {
		i, err := db.CreateInstance(ctx, operator, noon, cloud.NewInstance{ID: uuid.NewString(), VolumeID: uuid.NewString(), PortID: uuid.NewString(), TenantID: tenant.ID, Name: fmt.Sprint("web", n), Image: img.ID})
		must(t, err)
		must(t, db.RecordInstance(ctx, record(i, cloud.StateRunning, noon)))
	}
	closeAt(t, db, noon.Add(hours*time.Hour+2*time.Minute))
	return db
}

func record(i cloud.Instance, state cloud.State, at time.Time) cloud.InstanceRecord {
	return cloud.InstanceRecord{
		ID: i.ID, Generation: i.Generation, State: state, ObservedGeneration: i.Generation, ObservedBoots: i.Boots, RootSeen: true, At: at, Evidence: cloud.EvidenceSeen,
		Readings: cloud.Readings(state, cloud.Size{VCPUs: i.VCPUs, MemoryMiB: i.MemoryMiB, DiskGiB: i.DiskGiB}, true),
	}
}

func closeAt(t *testing.T, db *store.DB, now time.Time) {
	t.Helper()
	must(t, db.Heartbeat(ctx, hostID, now))
	must(t, (&meter.Closer{Books: db, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)}).Close(ctx))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// event is what a receiver sees.
type event struct {
	SpecVersion, ID, Source, Type, Subject, Time, DataContentType string
	Data                                                          map[string]any
}

// receiver drops what it has had before, and answers as fault says.
type receiver struct {
	*httptest.Server
	t     *testing.T
	fault func(n int, w http.ResponseWriter, take func()) // of the n-th request; take keeps its events
	mu    sync.Mutex
	asked int
	got   map[string]event
	again int
	media map[string]int
}

func newReceiver(t *testing.T, fault func(n int, w http.ResponseWriter, take func())) *receiver {
	r := &receiver{t: t, fault: fault, got: map[string]event{}, media: map[string]int{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.asked++
	n := r.asked
	r.mu.Unlock()
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the sender was killed
	}
	r.fault(n, w, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		media, _, _ := strings.Cut(req.Header.Get("Content-Type"), ";")
		r.media[media]++
		var events []event
		if media == "application/cloudevents+json" {
			var one event
			err = json.Unmarshal(body, &one)
			events = []event{one}
		} else {
			err = json.Unmarshal(body, &events)
		}
		if err != nil {
			r.t.Errorf("not JSON: %v", err)
		}
		for _, e := range events {
			if _, had := r.got[e.ID]; had {
				r.again++
			}
			r.got[e.ID] = e
		}
	})
}

func (r *receiver) ids() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.got))
}

func takes(_ int, w http.ResponseWriter, take func()) { take(); w.WriteHeader(204) }

// expected are the ids of all events of a ledger.
func expected(t *testing.T, db *store.DB) []string {
	t.Helper()
	ids := map[string]bool{}
	for url := "all"; ; {
		h, found, err := db.NextSinkHour(ctx, url)
		must(t, err)
		if !found {
			return slices.Sorted(maps.Keys(ids))
		}
		for _, e := range meter.HourEvents(h.UsageHour, h.HourContent) {
			if ids[e.ID] {
				t.Fatalf("two events with the id %s", e.ID)
			}
			ids[e.ID] = true
		}
		must(t, db.SinkTook(ctx, noon, url, h.Seq, 0, 0, true))
	}
}

func sender(t *testing.T, db *store.DB, url string, batch int) *export.Sender {
	t.Helper()
	s, err := export.New(export.Options{URL: url, Source: "urn:uuid:" + hostID, Batch: batch, Hours: db, Events: meter.HourEvents, Now: time.Now, Log: slog.New(slog.DiscardHandler), Pace: quick})
	must(t, err)
	return s
}

// sent runs a sender until the receiver's place is at the end.
func sent(t *testing.T, db *store.DB, s *export.Sender, url string) {
	t.Helper()
	running, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); s.Run(running) }()
	defer func() { stop(); <-done }()
	for deadline := time.Now().Add(time.Minute); ; {
		lag, err := db.SinkLag(ctx, url)
		must(t, err)
		if lag.Pending == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not get on: %+v", lag)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestEveryClosedHourIsSentOnce(t *testing.T) {
	db := ledgerAt(t, filepath.Join(t.TempDir(), "lodge.db"))
	want := expected(t, db)
	if len(want) != hours*(perHour) {
		t.Fatalf("%d events", len(want))
	}
	for batch, media := range map[int]string{1: "application/cloudevents+json", 7: "application/cloudevents-batch+json", 1000: "application/cloudevents-batch+json"} {
		r := newReceiver(t, takes)
		sent(t, db, sender(t, db, r.URL, batch), r.URL)
		if got := r.ids(); !slices.Equal(got, want) || r.again != 0 {
			t.Errorf("in batches of %d: %d of %d events, %d again", batch, len(got), len(want), r.again)
		}
		if len(r.media) != 1 || r.media[media] == 0 {
			t.Errorf("in batches of %d: %v", batch, r.media)
		}
		for _, e := range r.got {
			if e.SpecVersion != "1.0" || e.Source != "urn:uuid:"+hostID || e.DataContentType != "application/json" || e.Subject == "" || e.ID == "" {
				t.Fatalf("got %+v", e)
			}
			if _, err := time.Parse(time.RFC3339, e.Time); err != nil {
				t.Fatal(err)
			}
			if e.Type == meter.EventLine && e.Data["meter"] == "vcpu" && (e.Data["quantity"] != "1" || e.Data["unit"] != "vCPU-h") {
				t.Fatalf("got %+v", e.Data)
			}
		}
	}
}

// Whatever the receiver does, it ends with exactly one of each.
func TestAReceiverThatFailsInEveryWay(t *testing.T) {
	db := ledgerAt(t, filepath.Join(t.TempDir(), "lodge.db"))
	want := expected(t, db)
	cut := func(w http.ResponseWriter, text string) {
		conn, out, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, _ = out.WriteString(text)
			_ = out.Flush()
			_ = conn.Close()
		}
	}
	elsewhere := newReceiver(t, func(int, http.ResponseWriter, func()) { t.Error("a redirect was followed") })
	faults := []func(w http.ResponseWriter, take func()){
		func(w http.ResponseWriter, _ func()) { w.WriteHeader(500) },
		func(w http.ResponseWriter, take func()) { take(); w.WriteHeader(503) }, // kept, and said otherwise
		func(w http.ResponseWriter, _ func()) { w.WriteHeader(413) },
		func(w http.ResponseWriter, _ func()) { http.Error(w, "who are you", http.StatusUnauthorized) },
		func(w http.ResponseWriter, _ func()) { w.WriteHeader(304) },
		func(w http.ResponseWriter, _ func()) { w.Header().Set("Location", elsewhere.URL); w.WriteHeader(307) },
		func(w http.ResponseWriter, take func()) { take(); cut(w, "") },                                        // the answer is lost
		func(w http.ResponseWriter, take func()) { take(); cut(w, "HTTP/1.1 20") },                             // half of it
		func(w http.ResponseWriter, _ func()) { cut(w, "220 mail.example ESMTP\r\n") },                         // no HTTP
		func(w http.ResponseWriter, take func()) { take(); time.Sleep(2 * quick.Timeout); w.WriteHeader(204) }, // too late
		func(w http.ResponseWriter, _ func()) { w.Header().Set("Retry-After", "soon"); w.WriteHeader(429) },    // not a number
		func(w http.ResponseWriter, take func()) { take(); _, _ = w.Write(make([]byte, 1<<20)) },               // a long answer, and good
		func(w http.ResponseWriter, take func()) {
			take()
			cut(w, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
		}, // good, and cut off
	}
	r := newReceiver(t, func(n int, w http.ResponseWriter, take func()) {
		if n%2 == 1 && n/2 < 2*len(faults) {
			faults[n/2%len(faults)](w, take)
			return
		}
		takes(n, w, take)
	})
	s := sender(t, db, r.URL, 16)
	sent(t, db, s, r.URL)
	if got := r.ids(); !slices.Equal(got, want) {
		t.Errorf("it has %d of %d events", len(got), len(want))
	}
	if r.again == 0 {
		t.Error("nothing was sent twice, so nothing was tried here")
	}
	state, err := s.State(ctx)
	must(t, err)
	if state.Problem != nil || state.Pending != 0 || state.Sent < int64(len(want)) || state.SentAt.IsZero() {
		t.Errorf("state %+v", state)
	}
}

func TestTheStateSaysWhatIsWrong(t *testing.T) {
	db := ledgerAt(t, filepath.Join(t.TempDir(), "lodge.db"))
	r := newReceiver(t, func(_ int, w http.ResponseWriter, _ func()) { w.WriteHeader(503) })
	s := sender(t, db, r.URL+"/x?key=secret", 16)
	running, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); s.Run(running) }()
	defer func() { stop(); <-done }()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		state, err := s.State(ctx)
		must(t, err)
		if strings.Contains(state.URL, "secret") {
			t.Fatal(state.URL)
		}
		if p := state.Problem; p != nil && p.Attempts > 2 {
			if p.Code != cloud.CodeURLFailed || !strings.Contains(p.Message, "503") || p.RetryAt.IsZero() || state.Pending != hours || !state.OldestHour.Equal(noon) {
				t.Errorf("%+v %+v", state, p)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no problem is shown")
		}
	}
}

func TestBadAddressesAreRefused(t *testing.T) {
	for _, url := range []string{"", "ftp://x", "http://", "/x", "http://h/#f"} {
		if _, err := export.New(export.Options{URL: url}); err == nil {
			t.Errorf("%q was taken", url)
		}
	}
	if _, err := export.New(export.Options{URL: "http://h.example", Token: func() (string, error) { return "t", nil }}); err == nil {
		t.Error("a token goes in the clear")
	}
}

// A correction is sent as a revision, once the hour is corrected.
func TestACorrectionIsANewEvent(t *testing.T) {
	db := ledgerAt(t, filepath.Join(t.TempDir(), "lodge.db"))
	r := newReceiver(t, takes)
	s := sender(t, db, r.URL, 100)
	sent(t, db, s, r.URL)
	before := len(r.ids())
	all, _, err := db.Instances(ctx, operator, cloud.Filter{}, cloud.Page{})
	must(t, err)
	late := noon.Add(hours*time.Hour + 5*time.Minute)
	rec := record(all[0], cloud.StateStopped, late)
	rec.EndAt, rec.Evidence = noon.Add((hours-1)*time.Hour+30*time.Minute), cloud.EvidenceLog
	must(t, db.RecordInstance(ctx, rec))
	if _, found, err := db.NextSinkHour(ctx, r.URL); err != nil || found {
		t.Fatalf("an hour that waits for its correction: %v %v", found, err)
	}
	closeAt(t, db, late.Add(time.Minute))
	sent(t, db, s, r.URL)
	revisions := map[float64]int{}
	for _, e := range r.got {
		revisions[e.Data["revision"].(float64)]++
	}
	if len(r.ids()) != before+perHour || revisions[2] != perHour {
		t.Errorf("%d events, %d before, %v", len(r.ids()), before, revisions)
	}
}

// killedPath and killedURL say to this test binary that it is to be killed while it
// sends the hours of the database to the receiver.
const killedPath, killedURL = "LODGE_TEST_SENDS_PATH", "LODGE_TEST_SENDS_URL"

func TestMain(m *testing.M) {
	if path := os.Getenv(killedPath); path != "" {
		db, err := store.Open(path)
		if err != nil {
			panic(err)
		}
		s, err := export.New(export.Options{URL: os.Getenv(killedURL), Source: "urn:x", Batch: 5, Hours: db, Events: meter.HourEvents, Now: time.Now, Log: slog.New(slog.DiscardHandler), Pace: quick})
		if err != nil {
			panic(err)
		}
		fmt.Println("sending")
		s.Run(ctx)
	}
	os.Exit(m.Run())
}

// Killed again and again in the middle, the sender goes on where the receiver is:
// nothing is lost.
func TestASenderThatIsKilledLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lodge.db")
	db := ledgerAt(t, path)
	want := expected(t, db)
	var child *exec.Cmd
	r := newReceiver(t, nil)
	r.fault = func(n int, w http.ResponseWriter, take func()) {
		switch n % 8 {
		case 3: // it is killed before it is heard
			_ = child.Process.Kill()
			return
		case 6: // it is heard, and killed before it can write that down
			take()
			_ = child.Process.Kill()
			time.Sleep(20 * time.Millisecond)
			return
		}
		takes(n, w, take)
	}
	kills := 0
	for {
		lag, err := db.SinkLag(ctx, r.URL)
		must(t, err)
		if lag.Pending == 0 {
			break
		}
		if kills++; kills > 200 {
			t.Fatalf("it does not get on: %+v", lag)
		}
		child = exec.Command(os.Args[0])
		child.Env = append(os.Environ(), killedPath+"="+path, killedURL+"="+r.URL)
		out, err := child.StdoutPipe()
		must(t, err)
		must(t, child.Start())
		bufio.NewScanner(out).Scan()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = child.Wait() // it was killed
		}()
		for waiting := true; waiting; {
			select {
			case <-ended:
				waiting = false
			case <-time.After(5 * time.Millisecond):
				if lag, err := db.SinkLag(ctx, r.URL); err == nil && lag.Pending == 0 {
					_ = child.Process.Kill()
				}
			}
		}
	}
	if got := r.ids(); !slices.Equal(got, want) {
		t.Errorf("after %d kills it has %d of %d events", kills, len(got), len(want))
	}
	if kills < 5 || r.again == 0 {
		t.Errorf("killed %d times, %d events came again", kills, r.again)
	}
	t.Logf("killed %d times, %d events came again", kills, r.again)
}

// An hour that does not come out as it was closed is neither sent nor passed over.
func TestAnHourThatDiffersStopsTheSender(t *testing.T) {
	db := ledgerAt(t, filepath.Join(t.TempDir(), "lodge.db"))
	r := newReceiver(t, takes)
	var changed atomic.Bool
	changed.Store(true)
	s, err := export.New(export.Options{
		URL: r.URL, Source: "urn:uuid:" + hostID, Batch: 16, Hours: db, Now: time.Now, Log: slog.New(slog.DiscardHandler), Pace: quick,
		Events: func(h cloud.UsageHour, of cloud.HourContent) []cloud.UsageEvent {
			if changed.Load() && h.Hour.Equal(noon.Add(3*time.Hour)) {
				of.Intervals[0].Amount++
			}
			return meter.HourEvents(h, of)
		},
	})
	must(t, err)
	running, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); s.Run(running) }()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		state, err := s.State(ctx)
		must(t, err)
		if p := state.Problem; p != nil && p.Attempts > 2 {
			if p.Code != cloud.CodeConflict || !strings.Contains(p.Message, "2026-03-01T15:00:00Z") || state.Pending != hours-3 {
				t.Errorf("%+v %+v", state, p)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no problem is shown: %+v", state)
		}
	}
	stop()
	<-done
	changed.Store(false)
	sent(t, db, s, r.URL)
	if got, want := r.ids(), expected(t, db); !slices.Equal(got, want) {
		t.Errorf("%d events of %d", len(got), len(want))
	}
	if state, err := s.State(ctx); err != nil || state.Problem != nil {
		t.Errorf("%v %+v", err, state)
	}
}

// An hour that is closed again behind a restore, at another moment, is told of with
// the same ids and the same bytes.
func TestEqualIDsHaveEqualBytes(t *testing.T) {
	db := ledgerAt(t, filepath.Join(t.TempDir(), "lodge.db"))
	h, found, err := db.NextSinkHour(ctx, "x")
	must(t, err)
	once, err := json.Marshal(meter.HourEvents(h.UsageHour, h.HourContent))
	must(t, err)
	h.ClosedAt, h.Seq = h.ClosedAt.Add(time.Hour), h.Seq+1
	again, err := json.Marshal(meter.HourEvents(h.UsageHour, h.HourContent))
	must(t, err)
	if !found || string(once) != string(again) {
		t.Errorf("got\n%s\nand\n%s", once, again)
	}
}

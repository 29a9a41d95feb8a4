package store_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/meter"
	"lodge/store"
)

// closeHours closes all hours that are over at the present time.
func (w *world) closeHours() {
	w.t.Helper()
	w.must(w.Beat(ctx, hostID, w.now, cloud.ClockAnchor{BootID: "b", At: w.now})) // as each look at the host does
	c := meter.Closer{Books: w.DB, Now: func() time.Time { return w.now }, Log: quietLog()}
	w.must(c.Close(ctx))
}

// closed is what the tables of closed hours hold, as text.
func (w *world) closed() []string {
	w.t.Helper()
	return slices.Concat(
		store.Query(w.t, w.DB, `SELECT hour || ' ' || closed_at FROM usage_close ORDER BY hour`),
		store.Query(w.t, w.DB, `SELECT seq || ' ' || hour || ' ' || tenant_id || ' ' || revision || ' ' || lines || ' ' || hex(digest) || ' ' || totals || ' ' || closed_at FROM usage_hour ORDER BY seq`),
		store.Query(w.t, w.DB, `SELECT n || ' ' || kind || ' ' || ref || ' ' || hex(hash) FROM usage_seal ORDER BY n`),
		store.Query(w.t, w.DB, `SELECT hour || ' ' || tenant_id FROM usage_recount ORDER BY hour, tenant_id`),
	)
}

func (w *world) verify() meter.Report {
	w.t.Helper()
	var report meter.Report
	w.must(w.ReadLedger(ctx, func(l cloud.Ledger) (err error) {
		report, err = meter.Verify(l)
		return err
	}))
	return report
}

func (w *world) sound() meter.Report {
	w.t.Helper()
	r := w.verify()
	if r.Wrong != 0 {
		w.t.Fatalf("the ledger does not verify: %+v", r.Findings)
	}
	return r
}

func TestHoursAreClosedOnceAndInOrder(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	w.later(90 * time.Minute)
	w.closeHours()
	if got := len(store.Query(t, w.DB, `SELECT hour FROM usage_close`)); got != 1 {
		t.Fatalf("%d hours are closed", got)
	}
	once := w.closed()
	w.closeHours()
	w.must(w.CloseHour(ctx, w.now.Add(time.Hour), noon, meter.Hour))
	if again := w.closed(); !slices.Equal(once, again) {
		t.Fatalf("closing twice is not closing once:\n%s\nthen\n%s", strings.Join(once, "\n"), strings.Join(again, "\n"))
	}
	if err := w.CloseHour(ctx, w.now.Add(9*time.Hour), noon.Add(5*time.Hour), meter.Hour); err == nil {
		t.Fatal("an hour was left out")
	}

	// After a long time away every hour is closed, each by itself.
	w.record(w.stopped(i))
	w.later(50 * time.Hour)
	w.closeHours()
	r := w.sound()
	if r.Hours != 51 || r.To != noon.Add(51*time.Hour) || r.Intervals != 9 {
		t.Fatalf("got %+v", r)
	}
	totals := store.Query(t, w.DB, `SELECT totals FROM usage_hour ORDER BY seq`)
	if totals[0] != `{"disk":"72000000","image":"1080000000","instance":"3600000","memory":"7372800000","vcpu":"3600000"}` ||
		totals[1] != `{"disk":"36000000","disk/stopped":"36000000","image":"1080000000","instance":"1800000","instance/stopped":"1800000","memory":"3686400000","memory/stopped":"3686400000","vcpu":"1800000","vcpu/stopped":"1800000"}` {
		t.Fatalf("got %v", totals[:2])
	}
}

func TestAnHourWaitsUntilEverythingWasSeenBeyondItsEnd(t *testing.T) {
	w := newWorld(t)
	w.run("web1")
	w.later(59 * time.Minute)
	w.must(w.Heartbeat(ctx, hostID, w.now))
	w.later(48 * time.Hour) // nobody looked since
	c := meter.Closer{Books: w.DB, Now: func() time.Time { return w.now }, Log: quietLog()}
	w.must(c.Close(ctx))
	if got := w.closed(); len(store.Query(t, w.DB, `SELECT hour FROM usage_close`)) != 0 {
		t.Fatalf("closed blindly: %v", got)
	}
}

func TestALateTruthIsACorrectionAndNoEdit(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	w.later(3*time.Hour + 10*time.Minute)
	w.closeHours()
	before := w.closed()
	r := w.gone(w.instance(i.ID))
	_, err := w.DeleteInstance(ctx, operator, w.now, i.ID)
	w.must(err)
	r.EndAt, r.Evidence = noon.Add(90*time.Minute), cloud.EvidenceLog // in the second closed hour
	w.record(r)
	if p := w.verify(); p.Pending != 2 || p.Wrong != 0 {
		t.Fatalf("before the correction: %+v", p)
	}
	w.later(time.Minute)
	w.closeHours()
	after := w.closed()
	for _, line := range before {
		if !slices.Contains(after, line) {
			t.Errorf("this row was changed or taken out: %s", line)
		}
	}
	got := store.Query(t, w.DB, `SELECT ((hour - 1772366400000) / 3600000) || ' ' || revision || ' ' || lines || ' ' || COALESCE(json_extract(totals, '$.vcpu'), '-') FROM usage_hour ORDER BY hour, revision`)
	want := []string{"0 1 5 3600000", "1 1 5 3600000", "1 2 5 1800000", "2 1 5 3600000", "2 2 1 -"} // a line of each is the image
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	w.sound()
}

func TestFactsSayWhatAResourceWasCalled(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	w.later(time.Hour)
	_, err := w.UpdateInstance(ctx, operator, w.now, i.ID, cloud.InstanceChange{LabelChange: cloud.LabelChange{Labels: map[string]*string{"env": ptr("prod")}}})
	w.must(err)
	w.later(-30 * time.Minute) // the clock was set back: facts stay in order
	_, err = w.UpdateInstance(ctx, operator, w.now, i.ID, cloud.InstanceChange{Name: ptr("shop")})
	w.must(err)
	_, err = w.UpdateInstance(ctx, operator, w.now, i.ID, cloud.InstanceChange{Protected: ptr(true)})
	w.must(err)
	w.later(2 * time.Hour)
	_, err = w.UpdateInstance(ctx, operator, w.now, i.ID, cloud.InstanceChange{VCPUs: ptr(2)})
	w.must(err)
	facts, err := w.UsageFacts(ctx, operator, cloud.UsageFilter{InstanceID: i.ID})
	w.must(err)
	var got []string
	for _, f := range facts {
		got = append(got, fmt.Sprintf("%s %s %v %v", f.Name, f.Flavor, f.Labels, f.Since.Sub(noon)))
	}
	want := []string{"web1 c1-m2 map[] 0s", "web1 c1-m2 map[env:prod] 1h0m0s", "shop c1-m2 map[env:prod] 1h0m0s", "shop  map[env:prod] 2h30m0s"}
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	_, err = w.UsageFacts(ctx, cloud.Caller{TenantID: w.newTenant("acme").ID}, cloud.UsageFilter{InstanceID: i.ID})
	w.refused(err, cloud.CodeNotFound)
	w.sound()
}

// closesPath says to this test binary that it is to close an hour of the
// database at the path, and closesAt before which statement it is to be killed.
const closesPath, closesAt = "LODGE_TEST_CLOSES_PATH", "LODGE_TEST_CLOSES_AT"

func closeUntilKilled(path string) {
	at, err := strconv.Atoi(os.Getenv(closesAt))
	if err != nil {
		panic(err)
	}
	db, err := store.OpenWith(path, roomy)
	if err != nil {
		panic(err)
	}
	n := 0
	store.AtStatement(func() {
		if n++; n == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	c := meter.Closer{Books: db, Now: func() time.Time { return noon.Add(2*time.Hour + 2*time.Minute) }, Log: quietLog()}
	if err := c.Close(ctx); err != nil {
		panic(err)
	}
	os.Exit(0)
}

// Whatever statement a kill comes before, closing again makes the same bytes.
func TestAnHourThatIsKilledWhileItCloses(t *testing.T) {
	w := newWorldWith(t, roomy)
	acme := w.newTenant("acme")
	n := w.wanted("other")
	n.TenantID, n.Image = acme.ID, w.activeImage("img", acme.ID, false).ID
	other, err := w.CreateInstance(ctx, operator, w.now, n)
	w.must(err)
	w.record(w.running(other))
	i := w.run("web1")
	w.later(30 * time.Minute)
	w.record(w.stopped(i))
	w.later(92 * time.Minute)
	w.must(w.Heartbeat(ctx, hostID, w.now))
	w.must(w.Close())

	reference := w.copyTo(t.TempDir())
	reference.closeHours()
	want := reference.closed()
	kills := 0
	for at := 1; ; at++ {
		c := w.copyTo(t.TempDir())
		w.must(c.Close())
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), closesPath+"="+c.path, closesAt+"="+strconv.Itoa(at))
		out, err := child.CombinedOutput()
		if err == nil {
			break
		}
		if s, ok := child.ProcessState.Sys().(syscall.WaitStatus); !ok || s.Signal() != syscall.SIGKILL {
			t.Fatalf("%v: %s", err, out)
		}
		kills++
		if c.DB, err = store.OpenWith(c.path, roomy); err != nil {
			t.Fatal(err)
		}
		c.sound()
		c.closeHours()
		if got := c.closed(); !slices.Equal(got, want) {
			t.Fatalf("killed before statement %d:\n%s\nwant\n%s", at, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		c.sound()
		w.must(c.Close())
	}
	if kills != 12 { // two hours: the close, two rows with their links, the commit
		t.Errorf("killed %d times", kills)
	}
}

// copyTo opens a copy of a closed database.
func (w *world) copyTo(dir string) *world {
	w.t.Helper()
	c := *w
	c.path = filepath.Join(dir, "lodge.db")
	in, err := os.Open(w.path)
	w.must(err)
	defer in.Close()
	out, err := os.Create(c.path)
	w.must(err)
	_, err = io.Copy(out, in)
	w.must(err)
	w.must(out.Close())
	c.DB, err = store.OpenWith(c.path, roomy)
	w.must(err)
	w.t.Cleanup(func() { _ = c.DB.Close() })
	return &c
}

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// ahead has lodged be away until later: both of its clocks have gone on, and those
// of the guests and of libvirt have not. Nothing can wait for hours and nights here.
func (l *lab) ahead(to time.Time) {
	l.t.Helper()
	l.kill()
	file := filepath.Join(l.dir, "time-offset")
	l.program, l.env = "failpoint/lodged", []string{"LODGE_TIME_OFFSET=" + file}
	if err := os.WriteFile(file, []byte(time.Until(to).String()), 0o644); err != nil {
		l.t.Fatal(err)
	}
	l.start()
}

// taken is a receiver of usage: it takes everything and keeps it by id.
type taken struct {
	*httptest.Server

	mu     sync.Mutex
	events map[string]usageEvent
	again  int // came more than once
}

type usageEvent struct {
	ID, Type, Subject string
	Data              struct {
		Hour       string            `json:"hour"`
		ResourceID string            `json:"resource_id"`
		Meter      string            `json:"meter"`
		States     map[string]string `json:"states"`
		Events     int               `json:"events"`
	}
}

func newTaken(t *testing.T) *taken {
	k := &taken{events: map[string]usageEvent{}}
	k.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var batch []usageEvent
		if err := json.NewDecoder(r.Body).Decode(&batch); err != nil {
			t.Errorf("the receiver of usage: %v", err)
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		for _, e := range batch {
			if _, had := k.events[e.ID]; had {
				k.again++
			}
			k.events[e.ID] = e
		}
	}))
	t.Cleanup(k.Close)
	return k
}

// hours are the hours that are complete, with how many lines each has.
func (k *taken) hours() map[string]int {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := map[string]int{}
	for _, e := range k.events {
		if e.Type == "lodge.usage.hour.v2" {
			out[e.Data.Hour] = e.Data.Events
		}
	}
	return out
}

// ran is how many milliseconds of an hour an instance ran.
func (k *taken) ran(hour, id string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.events {
		if e.Data.Hour == hour && e.Data.ResourceID == id && e.Data.Meter == "instance" {
			return e.Data.States["running"]
		}
	}
	return ""
}

// A schedule stops a real guest in the minute that it says and starts it in the
// one that it says, and the hours in between are closed and come to the receiver
// of usage as the ledger has them, once.
func TestAScheduleStopsAndStartsARealGuestAndItsHoursAreTaken(t *testing.T) {
	if _, err := os.Stat(bin("failpoint/lodged")); err != nil {
		t.Skipf("needs a lodged whose clock can be set: %v; make build-failpoint makes it", err)
	}
	to := newTaken(t)
	l := newLab(t, "--sweep", "1s", "--usage-sink", to.URL)
	l.importTiny()
	l.aEuroASecond()
	id, other := l.tiny("a", dev), l.tiny("other")
	l.sshWait("root", l.address(id), "true", time.Minute)
	first := l.ledgerRuns(id)[0].start.UTC().Truncate(time.Hour)
	night, morning := first.Add(time.Hour+30*time.Minute), first.Add(2*time.Hour+20*time.Minute)
	cron := func(at time.Time) string { return fmt.Sprintf("%d %d * * *", at.Minute(), at.Hour()) }
	l.lodge("schedule", "create", "nights", "-l", "env=dev", "--stop", cron(night), "--start", cron(morning))

	l.ahead(night.Add(-2 * time.Second))
	if l.guest(id) != "running" || len(l.ledgerRuns(id)) != 1 {
		t.Fatalf("before its time the guest is %s, the ledger has %+v", l.guest(id), l.ledgerRuns(id))
	}
	l.settled(id, "stopped")
	runs := l.ledgerRuns(id)
	if off := runs[0].end.Sub(night); l.guest(id) != "shut off" || l.guest(other) != "running" || off < 0 || off > 40*time.Second {
		t.Errorf("the guest is %s, the other one %s; to be stopped at %s: %+v", l.guest(id), l.guest(other), night, runs)
	}

	l.ahead(morning.Add(-time.Second))
	l.settled(id, "running")
	runs = l.ledgerRuns(id)
	if len(runs) != 2 || l.guest(id) != "running" || runs[1].start.Before(morning) || runs[1].start.After(morning.Add(20*time.Second)) || l.told("schedule.start", "nights") != 1 {
		t.Errorf("the guest is %s; to be started at %s: %+v", l.guest(id), morning, runs)
	}
	a := l.call("GET", "/v1/schedules/"+l.list("/v1/schedules")[0]["id"].(string), nil)
	status, _ := a.body["status"].(map[string]any)
	saving, _ := status["saving"].(map[string]any)
	// A EUR a second, from the end of one run to the start of the next.
	if rest := runs[1].start.Sub(runs[0].end).Seconds(); number(saving["cost"]) < rest-40 || number(saving["cost"]) > rest+40 {
		t.Errorf("%v s off, and saved %v", rest, saving)
	}

	// Two hours are over, and a third has begun. A start closes at once what is due.
	l.kill()
	l.start()
	one, two := first.Format(time.RFC3339), first.Add(time.Hour).Format(time.RFC3339)
	l.eventually(50*time.Second, "the receiver has two hours", func() bool { return len(to.hours()) == 2 })
	for hour, want := range map[string]time.Duration{one: first.Add(time.Hour).Sub(runs[0].start), two: runs[0].end.Sub(first.Add(time.Hour))} {
		if got := to.ran(hour, id); got != fmt.Sprint(want.Milliseconds()) {
			t.Errorf("in the hour of %s it ran %s ms, the ledger has %d", hour, got, want.Milliseconds())
		}
	}
	if full := to.ran(two, other); full != fmt.Sprint(time.Hour.Milliseconds()) {
		t.Errorf("the other one ran %s ms in an hour", full)
	}
	all := func() bool {
		a := l.call("GET", "/v1/export/sink", nil)
		return a.status == 200 && number(a.body["pending"]) == 0
	}
	l.eventually(20*time.Second, "it is written down that the receiver has all", all)
	lines := 0
	for _, n := range to.hours() {
		lines += n + 1
	}
	to.mu.Lock()
	if len(to.events) != lines || to.again != 0 {
		t.Errorf("%d events of %d, %d of them again", len(to.events), lines, to.again)
	}
	to.mu.Unlock()
	// What was taken is not sent again by whoever comes back.
	l.kill()
	l.start()
	was := l.heartbeat()
	l.eventually(20*time.Second, "lodge looks once more", func() bool { return l.heartbeat().After(was) })
	l.lodge("usage", "verify") // fails on any difference
	to.mu.Lock()
	defer to.mu.Unlock()
	if len(to.events) != lines || to.again != 0 || !all() {
		t.Errorf("after a restart %d events of %d, %d of them again", len(to.events), lines, to.again)
	}
}

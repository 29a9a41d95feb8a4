package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// hook is a webhook's receiver: it answers 204 and keeps what came.
type hook struct {
	*httptest.Server
	t *testing.T

	mu  sync.Mutex
	got []hooked
}

// hooked is one message as it came.
type hooked struct {
	id, at, signature, body string

	Type string            `json:"type"`
	Data map[string]string `json:"data"`
}

func newHook(t *testing.T) *hook {
	h := &hook{t: t}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		m := hooked{id: r.Header.Get("Webhook-Id"), at: r.Header.Get("Webhook-Timestamp"), signature: r.Header.Get("Webhook-Signature"), body: string(b)}
		if err == nil {
			err = json.Unmarshal(b, &m)
		}
		if err != nil {
			t.Errorf("the webhook was sent %q: %v", b, err)
		}
		h.mu.Lock()
		h.got = append(h.got, m)
		h.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(h.Close)
	return h
}

// of are the messages of a type about a threshold so far, by their ids.
func (h *hook) of(typ, percent string) map[string]hooked {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[string]hooked{}
	for _, m := range h.got {
		if m.Type == typ && m.Data["percent"] == percent {
			out[m.id] = m
		}
	}
	return out
}

// wait gives the only message of a type about a threshold, once it is there.
func (h *hook) wait(l *lab, typ, percent string, d time.Duration) (m hooked) {
	h.t.Helper()
	l.eventually(d, "the webhook is told "+typ+" at "+percent, func() bool { return len(h.of(typ, percent)) > 0 })
	for _, m = range h.of(typ, percent) {
	}
	return m
}

// signed reports whether a message is signed with a secret, as a receiver finds
// out that knows www.standardwebhooks.com and nothing of lodge.
func signed(t *testing.T, m hooked, secret string) bool {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) < 24 {
		t.Fatalf("a secret is no key: %v", err)
	}
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%s.%s.%s", m.id, m.at, m.body)
	for _, one := range strings.Fields(m.signature) {
		version, text, _ := strings.Cut(one, ",")
		sum, err := base64.StdEncoding.DecodeString(text)
		if version == "v1" && err == nil && hmac.Equal(sum, mac.Sum(nil)) {
			return true
		}
	}
	return false
}

// made sends a POST that makes something and gives it.
func (l *lab) made(path string, body map[string]any) map[string]any {
	l.t.Helper()
	a := l.call("POST", path, body)
	if a.status != http.StatusCreated {
		l.t.Fatalf("POST %s: %d %v", path, a.status, a.body)
	}
	return a.body
}

// aEuroASecond is a price at which one vCPU costs one EUR in a second.
func (l *lab) aEuroASecond() {
	l.t.Helper()
	l.made("/v1/prices", map[string]any{"meter": "vcpu", "unit_price": "3600", "currency": "EUR", "states": []string{"running"}})
}

var dev = map[string]any{"labels": map[string]string{"env": "dev"}}

func (l *lab) guest(id string) string { l.t.Helper(); return l.virsh("domstate", "lodge-"+id) }

// told counts the events of a type about a subject.
func (l *lab) told(typ, subject string) (n int) {
	l.t.Helper()
	for _, e := range l.list("/v1/events?limit=500") {
		if e["type"] == typ && strings.Contains(jsonOf(e), subject) {
			n++
		}
	}
	return n
}

// crossing is what is in force of a budget at a percentage.
func (l *lab) crossing(id string, percent float64) map[string]any {
	l.t.Helper()
	a := l.call("GET", "/v1/budgets/"+id, nil)
	all, _ := a.body["crossings"].([]any)
	for _, x := range all {
		if c := x.(map[string]any); number(c["percent"]) == percent {
			return c
		}
	}
	l.t.Fatalf("nothing is in force at %v: %v", percent, a.body)
	return nil
}

func when(t *testing.T, v any) time.Time {
	t.Helper()
	text, _ := v.(string)
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func threshold(percent int, action string, grace int) map[string]any {
	out := map[string]any{"percent": percent, "on": "actual", "action": action}
	if grace > 0 {
		out["grace_seconds"] = grace
	}
	return out
}

// A guest costs a EUR a second. Its budget tells, refuses and stops it when the
// ledger says so, and lets it run again when it is raised; another guest runs on.
func TestABudgetStopsARealGuestAndLetsItRunAgain(t *testing.T) {
	l := newLab(t, "--sweep", "1s", "--webhook-allow", "127.0.0.0/8")
	l.importTiny()
	l.aEuroASecond()
	to := newHook(t)
	h := l.made("/v1/webhooks", map[string]any{"name": "chat", "url": to.URL})
	secret := h["secret"].(string)
	id := l.tiny("a", dev)
	l.sshWait("root", l.address(id), "true", time.Minute) // it has booted, and shuts down when it is asked to
	began := l.ledgerRuns(id)[0].start
	// One part of it is spent in 3 to 4 s from now, and all of it 4 s later.
	spent := int(time.Since(began) / time.Second)
	part := (spent + 4) * 100 / (spent + 8)
	made := l.made("/v1/budgets", map[string]any{"name": "dev", "label": "env=dev", "amount": fmt.Sprint(spent + 8), "period": "total", "webhook": h["id"],
		"thresholds": []any{threshold(part, "notify", 0), threshold(100, "stop", 2)}})
	b := made["id"].(string)
	other := l.tiny("other")

	half := to.wait(l, "lodge.budget.crossed", fmt.Sprint(part), 30*time.Second)
	if !signed(t, half, secret) || half.Data["action"] != "notify" || l.guest(id) != "running" {
		t.Errorf("signed %q, told %v, the guest is %s", half.signature, half.Data, l.guest(id))
	}
	// The next message is signed with both secrets.
	rotated := l.call("POST", "/v1/webhooks/"+h["id"].(string)+"/secret", nil)
	newer, _ := rotated.body["secret"].(string)
	if rotated.status != 200 || newer == "" || newer == secret {
		t.Fatalf("rotate: %d", rotated.status)
	}
	full := to.wait(l, "lodge.budget.crossed", "100", 30*time.Second)
	if !signed(t, full, secret) || !signed(t, full, newer) || signed(t, half, newer) {
		t.Errorf("signed %q with the old %v, the new %v secret", full.signature, signed(t, full, secret), signed(t, full, newer))
	}
	for _, percent := range []int{part, 100} {
		limit := began.Add(time.Duration(spent+8) * time.Second * time.Duration(percent) / 100)
		if created := when(t, made["created_at"]); created.After(limit) { // the machine was busy
			limit = created
		}
		at := when(t, l.crossing(b, float64(percent))["at"])
		t.Logf("%v %% crossed %v after the instant in which it was spent", percent, at.Sub(limit))
		if early := limit.Truncate(time.Second); at.Before(early) || at.After(limit.Add(time.Second)) {
			t.Errorf("%v %% were spent at %s and crossed at %s", percent, limit, at)
		}
	}
	body := map[string]any{"name": "new", "vcpus": 1, "memory_mib": 128, "disk_gib": 1, "labels": map[string]string{"env": "dev"}}
	if a := l.call("POST", "/v1/instances", body); a.status != 409 || a.code() != "budget_exceeded" {
		t.Errorf("a new instance: %d %v", a.status, a.body)
	}
	delete(body, "labels")
	if a := l.call("POST", "/v1/instances?dry_run=true", body); a.status != 200 {
		t.Errorf("one that the budget is not about: %d %v", a.status, a.body)
	}

	stopAt := when(t, l.crossing(b, 100)["stop_at"])
	l.settled(id, "stopped")
	if l.guest(id) != "shut off" || l.guest(other) != "running" {
		t.Errorf("the guest is %s, the other one %s", l.guest(id), l.guest(other))
	}
	runs := l.ledgerRuns(id)
	if len(runs) != 1 || runs[0].end.IsZero() || runs[0].end.Before(stopAt) || l.told("instance.stop", id) != 1 {
		t.Errorf("to be stopped at %s; the ledger has %+v, %d events", stopAt, runs, l.told("instance.stop", id))
	}
	t.Logf("off %v after the grace", runs[0].end.Sub(stopAt))
	if by, _ := l.instance(id)["stopped_by"].(map[string]any); by["id"] != b {
		t.Errorf("stopped by %v", by)
	}

	l.lodge("budget", "set", "dev", "100000")
	l.settled(id, "running")
	if runs := l.ledgerRuns(id); l.guest(id) != "running" || len(runs) != 2 || !runs[1].end.IsZero() || l.told("instance.start", id) != 1 {
		t.Errorf("the guest is %s, the ledger has %+v", l.guest(id), runs)
	}
	did := l.scrape().of("lodge_acts_total")
	equal(t, "what was done", did, map[string]float64{`{act="crossed",by="budget"}`: 2, `{act="lifted",by="budget"}`: 2, `{act="stopped",by="budget"}`: 1, `{act="started",by="budget"}`: 1})
	if m := to.wait(l, "lodge.budget.lifted", "100", 10*time.Second); !signed(t, m, newer) || !signed(t, m, secret) {
		t.Errorf("signed %q", m.signature)
	}
}

// lodged is killed between the threshold and the stop, and is down when that is
// due: the guest runs on meanwhile, and whoever comes back stops it, once.
func TestABudgetThatLodgedWasKilledOverActsOnce(t *testing.T) {
	l := newLab(t, "--sweep", "1s", "--webhook-allow", "127.0.0.0/8")
	l.importTiny()
	l.aEuroASecond()
	to := newHook(t)
	h := l.made("/v1/webhooks", map[string]any{"name": "chat", "url": to.URL})
	id := l.tiny("a", dev)
	l.sshWait("root", l.address(id), "true", time.Minute) // it has booted, and shuts down when it is asked to
	b := l.made("/v1/budgets", map[string]any{"name": "dev", "label": "env=dev", "amount": "1", "period": "total", "webhook": h["id"],
		"thresholds": []any{threshold(100, "stop", 2)}})["id"].(string)
	to.wait(l, "lodge.budget.crossed", "100", 10*time.Second)
	stopAt := when(t, l.crossing(b, 100)["stop_at"])
	l.kill()
	if !time.Now().Before(stopAt) {
		t.Fatalf("it was killed after the stop was due at %s; this proves nothing", stopAt)
	}
	time.Sleep(time.Until(stopAt) + time.Second)
	if l.guest(id) != "running" {
		t.Fatalf("without lodged the guest is %s", l.guest(id))
	}
	l.start()
	l.settled(id, "stopped")
	if l.guest(id) != "shut off" {
		t.Errorf("the guest is %s", l.guest(id))
	}
	was := time.Now()
	l.eventually(20*time.Second, "lodge looks once more", func() bool { return l.heartbeat().After(was) })
	runs := l.ledgerRuns(id)
	if crossed, stopped := l.told("budget.crossed", b), l.told("instance.stop", id); crossed != 1 || stopped != 1 || len(runs) != 1 || runs[0].end.IsZero() {
		t.Errorf("crossed %d times, stopped %d times; the ledger has %+v", crossed, stopped, runs)
	}
	if got := to.of("lodge.budget.crossed", "100"); len(got) != 1 {
		t.Errorf("the webhook was told of %d crossings", len(got))
	}
}

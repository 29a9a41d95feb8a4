package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"lodge/api"
	"lodge/cloud"
)

// Whoever sends a thousand waits for itself: another caller is next.
func TestQueuesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := api.NewDesk(1, 1, 100, 100, time.Hour, nil)
		var mu sync.Mutex
		var order []string
		var all sync.WaitGroup
		come := func(who string) {
			all.Go(func() {
				leave, ok := d.Enter(t.Context(), who)
				if !ok {
					t.Errorf("%s is refused", who)
					return
				}
				mu.Lock()
				order = append(order, who)
				mu.Unlock()
				time.Sleep(time.Second)
				leave()
			})
			synctest.Wait()
		}
		for range 10 {
			come("a")
		}
		come("b")
		for range 3 {
			come("c")
		}
		come("d")
		all.Wait()
		if got := strings.Join(order, ""); got != "aabcdacacaaaaaa" {
			t.Errorf("they were served as %s", got)
		}
		if taken, waiting, callers := d.Held(); taken+waiting+callers != 0 {
			t.Errorf("left: %d places, %d that wait, %d callers", taken, waiting, callers)
		}
	})
}

func TestADeskRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closing := make(chan struct{})
		d := api.NewDesk(2, 2, 3, 2, time.Second, closing)
		one, _ := d.Enter(t.Context(), "a")
		two, _ := d.Enter(t.Context(), "a")
		left, leave := context.WithCancel(t.Context())
		got := make(chan string, 10)
		wait := func(ctx context.Context, who string) {
			go func() {
				begin := time.Now()
				_, ok := d.Enter(ctx, who)
				got <- fmt.Sprintf("%s %t after %s", who, ok, time.Since(begin))
			}()
			synctest.Wait()
		}
		want := func(what string) {
			t.Helper()
			if s := <-got; s != what {
				t.Errorf("%s, and not %s", s, what)
			}
		}
		wait(left, "a")
		wait(t.Context(), "a")
		wait(t.Context(), "a")
		want("a false after 0s") // its queue is full
		wait(t.Context(), "b")
		wait(t.Context(), "c")
		want("a false after 0s") // the last of the longest queue makes room
		wait(t.Context(), "d")
		want("d false after 0s") // none is longer
		leave()
		want("a false after 0s")
		time.Sleep(400 * time.Millisecond)
		one()
		want("b true after 400ms")
		want("c false after 1s") // its patience has ended
		wait(t.Context(), "d")
		time.Sleep(100 * time.Millisecond)
		close(closing)
		want("d false after 100ms")
		two()
		if taken, waiting, callers := d.Held(); taken != 1 || waiting != 0 || callers != 1 {
			t.Errorf("there are %d places taken, %d that wait, %d callers", taken, waiting, callers)
		}
	})
}

// Whatever comes in whatever order: never more than there are places, never more
// than a share of one caller, never a free place while somebody waits who may have
// it, and nothing is left.
func TestADeskIsNeverOverfullAndNeverIdle(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		places := rapid.IntRange(1, 4).Draw(rt, "places")
		share := rapid.IntRange(1, places).Draw(rt, "share")
		type visit struct {
			who        int
			come, stay time.Duration
			patient    bool
		}
		visits := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) visit {
			ms := func(name string, most int) time.Duration {
				return time.Duration(rapid.IntRange(0, most).Draw(rt, name)) * time.Millisecond
			}
			return visit{rapid.IntRange(0, 3).Draw(rt, "who"), ms("come", 50), ms("stay", 20), rapid.Bool().Draw(rt, "patient")}
		}), 1, 60).Draw(rt, "visits")
		synctest.Test(t, func(t *testing.T) {
			d := api.NewDesk(places, share, 1000, 1000, time.Hour, nil)
			var mu sync.Mutex
			in, wait := [4]int{}, [4]int{}
			check := func() {
				sum := 0
				for who := range in {
					sum += in[who]
					if in[who] > share {
						t.Errorf("caller %d has %d places, its share is %d", who, in[who], share)
					}
				}
				if sum > places {
					t.Errorf("%d places of %d are taken", sum, places)
				}
			}
			var all sync.WaitGroup
			for _, v := range visits {
				all.Go(func() {
					time.Sleep(v.come)
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					if !v.patient {
						ctx, cancel = context.WithTimeout(ctx, 5*time.Millisecond)
						defer cancel()
					}
					mu.Lock()
					wait[v.who]++
					mu.Unlock()
					leave, ok := d.Enter(ctx, fmt.Sprint(v.who))
					mu.Lock()
					wait[v.who]--
					if ok {
						in[v.who]++
						check()
					}
					mu.Unlock()
					if !ok {
						return
					}
					time.Sleep(v.stay)
					mu.Lock()
					in[v.who]--
					mu.Unlock()
					leave()
				})
			}
			for range 100 { // between the milliseconds everybody stands still
				time.Sleep(500 * time.Microsecond)
				synctest.Wait()
				mu.Lock()
				sum := in[0] + in[1] + in[2] + in[3]
				for who := range wait {
					if wait[who] > 0 && in[who] < share && sum < places {
						t.Errorf("caller %d waits, and %d of %d places are taken", who, sum, places)
					}
				}
				mu.Unlock()
				time.Sleep(500 * time.Microsecond)
				synctest.Wait()
			}
			all.Wait()
			if taken, waiting, callers := d.Held(); taken+waiting+callers != 0 {
				t.Errorf("left: %d places, %d that wait, %d callers", taken, waiting, callers)
			}
		})
	})
}

// Every route that asks who somebody is needs a place, and refuses without one
// before anything is done. What lasts long and what tells of lodge itself need
// none, and neither does whoever comes over the socket.
func TestEveryRouteNeedsAPlace(t *testing.T) {
	g := newGuarded(t)
	ids, rows := g.objects(), g.dump()
	g.Handler = api.NewDesked(g.options, api.NewDesk(0, 0, 0, 0, time.Second, nil))
	for _, r := range api.Rules() {
		if api.Undesked(r) {
			if r.Need != "" && r.Path != "/v1/usage/verify" && r.Path != "/v1/events/stream" && r.Path != "/metrics" {
				t.Errorf("%s %s needs no place", r.Method, r.Path)
			}
			continue
		}
		path, body := g.reach(r, ids)
		rec := g.unchecked("operator", r.Method, asOperator(path), body)
		f := failureOf(t, rec)
		if rec.Code != http.StatusServiceUnavailable || f.Code != string(cloud.CodeUnavailable) || rec.Header().Get("Retry-After") != "5" || !strings.Contains(f.Detail, "has not begun") {
			t.Errorf("%s %s: %d %v %+v", r.Method, r.Path, rec.Code, rec.Header(), f)
		}
		if diff := cmp.Diff(rows, g.dump()); diff != "" {
			t.Errorf("%s %s has done something, or is in the audit log:\n%s", r.Method, r.Path, diff)
		}
	}
}

// A client that is slow to send, one that waits for an operation, and one that is
// slow to take hold no place.
func TestWaitingHoldsNoPlace(t *testing.T) {
	g := newGuarded(t)
	ids := g.objects()
	d := api.NewDesk(1, 1, 10, 10, 5*time.Second, nil)
	srv := httptest.NewServer(api.NewDesked(g.options, d))
	t.Cleanup(srv.Close)
	token := g.tokens["ours admin"]
	stalled(t, srv, token, "/v1/tokens", 1000)
	polled := make(chan int, 1)
	go func() { polled <- get(t, srv, token, "/v1/operations/"+ids["operations"]+"?wait=3s") }()
	for range 20 {
		if status := get(t, srv, token, "/v1/instances"); status != 200 {
			t.Errorf("a list: %d", status)
		}
		if resp := post(t, srv, token, "/v1/tokens", `{"name":"a"}`); resp.StatusCode != 201 {
			t.Errorf("a token: %d", resp.StatusCode)
		}
	}
	select {
	case status := <-polled:
		t.Errorf("nothing was shown: the wait was over, with %d", status)
	default:
	}
	if status := <-polled; status != 200 {
		t.Errorf("the wait: %d", status)
	}
	if taken, waiting, callers := d.Held(); taken+waiting+callers != 0 {
		t.Errorf("left: %d places, %d that wait, %d callers", taken, waiting, callers)
	}
}

func get(t *testing.T, srv *httptest.Server, token, path string) int {
	req, err := http.NewRequest("GET", srv.URL+path, nil)
	if err != nil {
		t.Error(err)
		return 0
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Error(err)
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

package api_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"lodge/api"
	"lodge/api/wire"
	"lodge/cloud"
)

const operationPath = "/v1/operations/"

// operationOf is the operation that an answer names.
func (h *house) operationOf(a *answer) wire.Operation {
	h.t.Helper()
	path := a.Header.Get("Operation-Location")
	if !strings.HasPrefix(path, operationPath) {
		h.t.Fatalf("Operation-Location %q of %d %s", path, a.StatusCode, a.body)
	}
	return decoded[wire.Operation](h.do("GET", path, "").want(200))
}

func (h *house) wantOperation(a *answer, kind, state string) wire.Operation {
	h.t.Helper()
	o := h.operationOf(a)
	if o.Kind != kind || o.State != state {
		h.t.Fatalf("got %s %s (%+v), want %s %s", o.Kind, o.State, o.Error, kind, state)
	}
	return o
}

func TestEverySlowRouteNamesItsOperation(t *testing.T) {
	h := newHouse(t)
	up := h.upload("name=debian-12&default=true", "RAW").want(201)
	o := h.wantOperation(up, "image.import", "succeeded")
	if o.Progress == nil || o.Progress.BytesDone != 3 || *o.Progress.Percent != 100 || o.Resources[0].Name != "debian-12" {
		t.Errorf("got %+v", o)
	}
	failed := h.upload("name=vmdk", "VMDK")
	failed.wantFailure(422, cloud.CodeImageFormat)
	if o := h.wantOperation(failed, "image.import", "failed"); o.Error.Code != string(cloud.CodeImageFormat) {
		t.Errorf("got %+v", o.Error)
	}

	made := h.do("POST", "/v1/instances", `{"name":"web1"}`).want(202)
	o = h.wantOperation(made, "instance.create", "running")
	if o.RequestID != made.Header.Get("X-Request-Id") || o.CreatedBy.Via != "socket" || o.Progress != nil || !o.EndedAt.IsZero() {
		t.Errorf("got %+v", o)
	}
	in := decoded[wire.Instance](made)
	if o.Resources[0] != (wire.OperationResource{Kind: "instance", ID: in.ID, Name: "web1"}) {
		t.Errorf("got %+v", o.Resources)
	}
	h.sees(in.ID)
	h.wantOperation(made, "instance.create", "succeeded")

	path := "/v1/instances/" + in.ID
	for _, s := range []struct{ method, path, body, kind string }{
		{"PATCH", path, `{"memory_mib":8192}`, "instance.update"},
		{"POST", path + "/reboot", "", "instance.reboot"},
	} {
		a := h.do(s.method, s.path, s.body)
		h.wantOperation(a, s.kind, "running")
		h.sees(in.ID)
		h.wantOperation(a, s.kind, "succeeded")
	}
	for _, s := range []struct{ method, path, body string }{
		{"PATCH", path, `{"labels":{"a":"b"}}`}, {"POST", path + "/start", ""}, {"GET", path, ""},
	} {
		if got := h.do(s.method, s.path, s.body).Header.Get("Operation-Location"); got != "" {
			t.Errorf("%s %s %s has nothing to do and names %s", s.method, s.path, s.body, got)
		}
	}
	stop := h.do("POST", path+"/stop", "").want(202)
	h.wantOperation(stop, "instance.stop", "running")
	start := h.do("POST", path+"/start", "").want(202)
	h.wantOperation(start, "instance.start", "running")
	h.wantOperation(stop, "instance.stop", "superseded")
	h.wantOperation(h.do("DELETE", path, "").want(202), "instance.delete", "running")
	h.wantOperation(start, "instance.start", "superseded")

	spare := decoded[wire.Image](h.upload("name=spare", "RAW").want(201))
	h.wantOperation(h.do("DELETE", "/v1/images/"+spare.ID, "").want(204), "image.delete", "running")

	l := decoded[wire.List[wire.Operation]](h.do("GET", "/v1/operations?limit=3", "").want(200))
	if len(l.Items) != 3 || l.Next == "" {
		t.Fatalf("got %+v", l)
	}
	for query, want := range map[string]int{
		"state=running": 2, "state=superseded": 2, "kind=image.import": 3, "resource=" + in.ID: 6, "tenant=default": 10,
		"kind=image.import&state=failed": 1, "resource=" + strings.ToUpper(in.ID): 6, "cursor=" + l.Next: 7,
	} {
		if l := decoded[wire.List[wire.Operation]](h.do("GET", "/v1/operations?"+query, "").want(200)); len(l.Items) != want {
			t.Errorf("%s: got %d, want %d", query, len(l.Items), want)
		}
	}
}

func TestBadQuestionsAboutOperations(t *testing.T) {
	h := newHouse(t)
	h.upload("name=debian-12&default=true", "RAW").want(201)
	op := h.operationOf(h.do("POST", "/v1/instances", `{"name":"web1"}`).want(202)).ID
	for _, s := range []struct {
		method, path, body string
		status             int
		code               cloud.Code
	}{
		{"GET", operationPath + "1", "", 404, cloud.CodeNotFound},
		{"GET", operationPath + nobodysID, "", 404, cloud.CodeNotFound},
		{"GET", operationPath + nobodysID + "?wait=60s", "", 404, cloud.CodeNotFound},
		{"POST", operationPath + nobodysID + "/cancel", "", 404, cloud.CodeNotFound},
		{"GET", operationPath + op + "?wait=61s", "", 400, cloud.CodeInvalid},
		{"GET", operationPath + op + "?wait=-1s", "", 400, cloud.CodeInvalid},
		{"GET", operationPath + op + "?wait=30", "", 400, cloud.CodeInvalid},
		{"GET", operationPath + op + "?wait=", "", 400, cloud.CodeInvalid},
		{"GET", operationPath + op + "?wait=NaNs", "", 400, cloud.CodeInvalid},
		{"GET", operationPath + op + "?waits=30s", "", 400, cloud.CodeUnknownField},
		{"GET", "/v1/operations?state=done", "", 400, cloud.CodeInvalid},
		{"GET", "/v1/operations?kind=instance", "", 400, cloud.CodeInvalid},
		{"GET", "/v1/operations?resource=web1", "", 400, cloud.CodeInvalid},
		{"GET", "/v1/operations?name=web1", "", 400, cloud.CodeUnknownField},
		{"GET", "/v1/operations?cursor=x", "", 400, cloud.CodeInvalid},
		{"GET", "/v1/operations?tenant=nosuch", "", 404, cloud.CodeNotFound},
		{"POST", operationPath + op + "/cancel", `{"force":true}`, 400, cloud.CodeUnknownField},
		{"POST", operationPath + op + "/cancel?now=true", "", 400, cloud.CodeUnknownField},
		{"DELETE", operationPath + op, "", 405, cloud.CodeMethod},
	} {
		h.do(s.method, s.path, s.body).wantFailure(s.status, s.code)
	}
	if o := decoded[wire.Operation](h.do("GET", operationPath+op, "")); o.State != "running" {
		t.Errorf("a bad request left it %s", o.State)
	}
}

func TestCancelOverTheAPI(t *testing.T) {
	h := newHouse(t)
	h.upload("name=debian-12&default=true", "RAW").want(201)
	made := h.do("POST", "/v1/instances", `{"name":"web1"}`).want(202)
	path := made.Header.Get("Operation-Location") + "/cancel"
	first := h.do("POST", path, "{}", "Idempotency-Key", "k").want(202)
	if o := decoded[wire.Operation](first); o.State != "cancelled" || o.EndedAt.IsZero() || o.Error != nil {
		t.Errorf("got %+v", o)
	}
	remove := h.wantOperation(first, "instance.delete", "running")
	h.do("POST", path, "").wantFailure(409, cloud.CodeConflict)
	again := h.do("POST", path, "{}", "Idempotency-Key", "k").want(202)
	if again.Header.Get("Idempotent-Replayed") != "true" || string(again.body) != string(first.body) ||
		again.Header.Get("Operation-Location") != operationPath+remove.ID {
		t.Errorf("got %v %s", again.Header, again.body)
	}
	url := h.do("POST", "/v1/images", `{"name":"i","url":"https://example.org/i"}`).want(202)
	h.wantOperation(h.do("POST", url.Header.Get("Operation-Location")+"/cancel", "").want(202), "image.delete", "running")
	h.wantOperation(url, "image.import", "cancelled")
}

func TestARepeatedRequestNamesTheSameOperation(t *testing.T) {
	g := newGuarded(t)
	g.objects()
	for path, body := range map[string]string{
		"/v1/instances": `{"name":"web1"}`, "/v1/images": `{"name":"i","url":"https://example.org/i"}`,
	} {
		send := func() *answer {
			return g.do("POST", path, body, "Authorization", "Bearer "+g.tokens["ours member"], "Idempotency-Key", "k"+body)
		}
		first, again := send(), send()
		op := first.Header.Get("Operation-Location")
		if op == "" || again.Header.Get("Operation-Location") != op || again.Header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%s: first %v, again %v", path, first.Header, again.Header)
		}
		o := decoded[wire.Operation](g.as("ours viewer", "GET", op, "").want(200))
		if o.CreatedBy.UserName != "ours-member" || o.CreatedBy.UserID == "" || o.CreatedBy.TokenID == "" || o.CreatedBy.Via != "token" {
			t.Errorf("got %+v", o.CreatedBy)
		}
		g.as("theirs admin", "GET", op, "").wantFailure(404, cloud.CodeNotFound)
		g.as("theirs admin", "GET", op+"?wait=60s", "").wantFailure(404, cloud.CodeNotFound)
		g.as("theirs admin", "POST", op+"/cancel", "").wantFailure(404, cloud.CodeNotFound)
		g.as("ours viewer", "POST", op+"/cancel", "").wantFailure(403, cloud.CodeForbidden)
	}
}

// waitFor asks for an operation with wait, and gives its state and how long that
// took.
func (h *house) waitFor(path, wait string) (string, time.Duration) {
	began := time.Now()
	o := decoded[wire.Operation](h.do("GET", path+"?wait="+wait, "").want(200))
	return o.State, time.Since(began)
}

func TestAWaitEndsWithTheOperation(t *testing.T) {
	h := newHouse(t)
	h.upload("name=debian-12&default=true", "RAW").want(201)
	made := h.do("POST", "/v1/instances", `{"name":"web1"}`).want(202)
	path := made.Header.Get("Operation-Location")
	if state, took := h.waitFor(path, "50ms"); state != "running" || took < 50*time.Millisecond {
		t.Errorf("%s after %s", state, took)
	}
	const waiters = 50
	var wg sync.WaitGroup
	for range waiters {
		wg.Go(func() {
			if state, took := h.waitFor(path, "60s"); state != "succeeded" || took > 20*time.Second {
				t.Errorf("%s after %s", state, took)
			}
		})
	}
	h.sees(decoded[wire.Instance](made).ID)
	wg.Wait()
	if state, took := h.waitFor(path, "60s"); state != "succeeded" || took > 20*time.Second {
		t.Errorf("what has ended is %s after %s", state, took)
	}
}

func TestAWaitEndsWhenLodgedStops(t *testing.T) {
	stopping := make(chan struct{})
	h := newHouse(t, func(o *api.Options) { o.Stopping = stopping })
	c := operator
	c.Begin = &cloud.Begin{NewID: uuid.NewString}
	if _, err := h.db.CreateImage(context.Background(), c, h.store.now, cloud.NewImage{
		ID: uuid.NewString(), TenantID: decoded[wire.List[wire.Tenant]](h.do("GET", "/v1/tenants", "")).Items[0].ID, Name: "i",
		Source: cloud.SourceURL, URL: "https://example.org/i", Firmware: cloud.FirmwareBIOS,
	}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan string, 1)
	go func() {
		state, _ := h.waitFor(operationPath+c.Begin.Begun[0], "60s")
		ended <- state
	}()
	select {
	case state := <-ended:
		t.Fatalf("it ended by itself: %s", state)
	case <-time.After(100 * time.Millisecond):
	}
	close(stopping)
	select {
	case state := <-ended:
		if state != "running" {
			t.Errorf("got %s", state)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it waits on")
	}
}

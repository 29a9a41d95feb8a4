package api_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"lodge/api"
	"lodge/api/wire"
	"lodge/auth"
	"lodge/cloud"
)

func TestTenantsAreMadeShownListedAndRemoved(t *testing.T) {
	f := newFront(t)
	tn := decoded[wire.Tenant](f.do("POST", "/v1/tenants", `{"name":"Acme_1.test","labels":{"plan":"gold"}}`).want(201))
	f.do("POST", "/v1/tenants", `{"name":"Acme_1.test"}`).wantFailure(409, cloud.CodeNameTaken)
	for _, name := range []string{"", "a b", "-a", strings.Repeat("a", 64), nobodysID, "é"} {
		f.do("POST", "/v1/tenants", `{"name":"`+name+`"}`).wantFailure(400, cloud.CodeInvalid)
	}
	if got := decoded[wire.Tenant](f.do("GET", "/v1/tenants/"+tn.ID, "").want(200)); got.Name != "Acme_1.test" || got.Labels["plan"] != "gold" {
		t.Errorf("got %+v", got)
	}
	if l := decoded[wire.List[wire.Tenant]](f.do("GET", "/v1/tenants?limit=2", "").want(200)); len(l.Items) != 2 || l.Next == "" {
		t.Errorf("got %+v", l)
	}
	f.do("DELETE", "/v1/tenants/"+tn.ID, "").want(204)
	f.do("DELETE", "/v1/tenants/"+tn.ID, "").wantFailure(404, cloud.CodeNotFound)
	f.store.fill(1)
	f.do("DELETE", "/v1/tenants/"+defaultTenant, "").wantFailure(409, cloud.CodeInUse)
}

func TestFlavorsAreMadeShownListedAndRemoved(t *testing.T) {
	f := newFront(t)
	f.do("POST", "/v1/flavors", `{"id":"c2-m4","vcpus":2,"memory_mib":4096,"disk_gib":20}`).want(201)
	f.do("POST", "/v1/flavors", `{"id":"c2-m4","vcpus":2,"memory_mib":4096,"disk_gib":20}`).wantFailure(409, cloud.CodeNameTaken)
	f.do("POST", "/v1/flavors", `{"id":"x","vcpus":2}`).wantFailure(400, cloud.CodeInvalid)
	f.do("GET", "/v1/flavors/c2-m4", "").want(200)
	if l := decoded[wire.List[wire.Flavor]](f.do("GET", "/v1/flavors", "").want(200)); len(l.Items) != 2 {
		t.Errorf("got %+v", l)
	}
	f.do("DELETE", "/v1/flavors/c2-m4", "").want(204)
	f.do("GET", "/v1/flavors/c2-m4", "").wantFailure(404, cloud.CodeNotFound)
}

func TestNetworksHostsVersionAndFile(t *testing.T) {
	f := newFront(t)
	l := decoded[wire.List[wire.Network]](f.do("GET", "/v1/networks", "").want(200))
	if len(l.Items) != 1 || l.Items[0].Subnets[0].Gateway != "10.0.0.1" || l.Items[0].Subnets[0].DNS[0] != "9.9.9.9" {
		t.Errorf("got %+v", l)
	}
	f.do("GET", "/v1/networks/"+defaultNet, "").want(200)
	f.do("GET", "/v1/networks/"+nobodysID, "").wantFailure(404, cloud.CodeNotFound)
	if h := decoded[wire.List[wire.Host]](f.do("GET", "/v1/hosts", "").want(200)); h.Items[0].Accel != "kvm" {
		t.Errorf("got %+v", h)
	}
	if v := decoded[wire.Version](f.do("GET", "/v1/version", "").want(200)); v.Version != "1.2.3" || v.API != "v1" {
		t.Errorf("got %+v", v)
	}
	for _, path := range []string{"/openapi.yaml", "/v1/openapi.yaml"} {
		if a := f.do("GET", path, "").want(200); !bytes.Equal(a.body, api.OpenAPI) {
			t.Errorf("%s is not the file", path)
		}
	}
}

func TestProbes(t *testing.T) {
	f := newFront(t)
	f.do("GET", "/healthz", "").want(200)
	f.do("GET", "/readyz", "").want(200)
	f.store.notReady = errors.New("secret cause")
	f.do("GET", "/healthz", "").want(200)
	a := f.do("GET", "/readyz", "")
	a.wantFailure(503, cloud.CodeUnavailable)
	if strings.Contains(string(a.body), "secret") || a.Header.Get("Retry-After") == "" {
		t.Errorf("%v %s", a.Header, a.body)
	}
}

func TestEventsGoOnAfterACursor(t *testing.T) {
	f := newFront(t)
	for n := range int64(5) {
		f.store.events = append(f.store.events, cloud.Event{
			Seq: n + 1, At: f.store.now, TenantID: defaultTenant, Subject: cloud.Ref{Kind: cloud.KindInstance, ID: nobodysID},
			Name: "web1", Type: "instance.running", Message: "It runs.",
		})
	}
	seqs := func(path string) (out []int64, next string) {
		l := decoded[wire.List[wire.Event]](f.do("GET", path, "").want(200))
		for _, e := range l.Items {
			out = append(out, e.Seq)
		}
		return out, l.Next
	}
	got, next := seqs("/v1/events?limit=3")
	if len(got) != 3 || next != "3" {
		t.Errorf("got %v, next %q", got, next)
	}
	if got, next = seqs("/v1/events?limit=3&after=" + next); len(got) != 2 || got[1] != 5 || next != "" {
		t.Errorf("got %v, next %q", got, next)
	}
	if got, _ = seqs("/v1/events?instance=" + debianImage); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	if got, _ = seqs("/v1/events?tenant=other"); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestRequestIDsAreKeptWhenTheyAreClean(t *testing.T) {
	f := newFront(t)
	for id, kept := range map[string]bool{"abc-1.2_3": true, "a b": false, "a\"b": false, strings.Repeat("a", 65): false, "é": false} {
		a := f.do("GET", "/healthz", "", "X-Request-Id", id)
		if got := a.Header.Get("X-Request-Id"); (got == id) != kept || got == "" {
			t.Errorf("%q became %q", id, got)
		}
	}
}

func TestDefectsAnswer500AndOnlyTheLogHasTheCause(t *testing.T) {
	var log bytes.Buffer
	f := newFront(t, func(o *api.Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		o.Powers = nil // a call of it panics
	})
	id := f.store.fill(1)[0]
	a := f.do("POST", "/v1/instances/"+id+"/stop", "")
	a.wantFailure(500, cloud.CodeInternal)
	if strings.Contains(string(a.body), "nil pointer") || !strings.Contains(log.String(), "nil pointer") || !strings.Contains(log.String(), a.Header.Get("X-Request-Id")) {
		t.Errorf("body %s\nlog %s", a.body, log.String())
	}
	f.store.broken = errors.New("disk on fire at /var/lib")
	a = f.do("GET", "/v1/instances/"+id, "")
	a.wantFailure(500, cloud.CodeInternal)
	if strings.Contains(string(a.body), "fire") || !strings.Contains(log.String(), "fire") {
		t.Errorf("body %s\nlog %s", a.body, log.String())
	}
}

func TestRequestsAreLoggedAtDebugOnly(t *testing.T) {
	for level, want := range map[slog.Level]bool{slog.LevelDebug: true, slog.LevelInfo: false} {
		var log bytes.Buffer
		f := newFront(t, func(o *api.Options) { o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level})) })
		f.do("GET", "/healthz", "")
		if got := strings.Contains(log.String(), "path=/healthz"); got != want {
			t.Errorf("level %v: %s", level, log.String())
		}
	}
}

func TestHeadIsGetWithoutABody(t *testing.T) {
	f := newFront(t)
	srv := httptest.NewServer(f)
	defer srv.Close()
	resp, err := http.Head(srv.URL + "/v1/version")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 || resp.ContentLength <= 0 {
		t.Errorf("%d, length %d", resp.StatusCode, resp.ContentLength)
	}
}

// A token that is pasted into a path must not lie in the log.
func TestNoTokenOfAPathIsLogged(t *testing.T) {
	secret := auth.NewSecret()
	var log bytes.Buffer
	f := newFront(t, func(o *api.Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	for _, path := range []string{"/v1/users/", "/v1/instances/", "/v1/flavors/", "/nothing/", "/v1/tenants/x/members/"} {
		for _, text := range []string{secret, secret[:20], strings.ToUpper(secret), "Bearer%20" + secret, strings.Replace(secret, "_", "%5f", 1), secret + "/" + secret, secret[:len(secret)-9], secret[6:]} {
			req := httptest.NewRequest("GET", path+text, nil)
			f.ServeHTTP(httptest.NewRecorder(), req)
		}
	}
	// There is no store of users here: a defect, whose log has the path too.
	if !strings.Contains(log.String(), "path=/nothing/lodge_***") || !strings.Contains(log.String(), `msg="request failed"`) {
		t.Errorf("the log lacks what it is for:\n%s", log.String())
	}
	if words := strings.ToLower(log.String()); strings.Contains(words, secret[6:20]) || strings.Contains(words, secret[len(secret)-8:]) {
		t.Errorf("the log has the token:\n%s", log.String())
	}
}

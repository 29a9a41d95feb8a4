package api_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"lodge/api"
	"lodge/api/wire"
	"lodge/cloud"
)

// mint makes a token that is of a tenant and of no user, by another such token.
func (g *guarded) mint(by, name string) {
	g.t.Helper()
	body := `{"name":"` + name + `","role":"member"}`
	if by == "operator" {
		body = `{"name":"` + name + `","role":"member","tenant":"ours"}`
	}
	k := decoded[wire.Token](g.as(by, "POST", "/v1/tokens", body).want(201))
	if k.UserID != "" {
		g.t.Fatalf("%+v", k)
	}
	g.tokens[name] = k.Secret
}

// A tenant's tokens that make others are no more callers for it.
func TestTokensOfATenantAreOneCaller(t *testing.T) {
	g := newGuarded(t)
	g.mint("operator", "first")
	g.mint("first", "second")
	g.mint("second", "third")
	srv := httptest.NewServer(api.NewSeats(g.options, 9, 9, 2))
	t.Cleanup(srv.Close)
	for who, want := range map[string]int{"first": 200, "second": 200} {
		if resp := g.open(t.Context(), srv.URL, who, ""); resp.StatusCode != want {
			t.Errorf("%s: %d", who, resp.StatusCode)
		}
	}
	if resp := g.open(t.Context(), srv.URL, "third", ""); resp.StatusCode != 429 {
		t.Errorf("the third: %d", resp.StatusCode)
	}
	if resp := g.open(t.Context(), srv.URL, "ours member", ""); resp.StatusCode != 200 {
		t.Errorf("a user of the tenant: %d", resp.StatusCode)
	}
}

// What finds no room is no defect: it is counted, and not in the log.
func TestABodyWithoutRoomIsCountedAndNotLogged(t *testing.T) {
	var log bytes.Buffer
	g, srv, _ := poolsThat(t, 20*time.Millisecond, time.Hour, func(o *api.Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	var last *http.Response
	for range 40 {
		stalled(t, srv, g.tokens["operator"], "/v1/flavors", mebibyte)
	}
	if last = answered(t, stalled(t, srv, g.tokens["operator"], "/v1/flavors", mebibyte)); last.StatusCode != 503 {
		t.Errorf("%d", last.StatusCode)
	}
	srv.CloseClientConnections()
	srv.Close()
	if strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("the log:\n%s", log.String())
	}
}

// What was answered once is answered again, though the tenant is gone since.
func TestAUserIsMadeOnceThoughItsTenantIsGone(t *testing.T) {
	g := newGuarded(t)
	for _, tenant := range []string{"gone", "GONE-BY-ID"} {
		made := decoded[wire.Tenant](g.as("operator", "POST", "/v1/tenants", `{"name":"`+strings.ToLower(tenant)+`"}`).want(201))
		name := made.Name
		if tenant != made.Name {
			name = strings.ToUpper(made.ID)
		}
		body, key := `{"name":"u-`+made.Name+`","password":"`+goodPassword+`","tenant":"`+name+`"}`, uuid.NewString()
		send := func() *answer {
			return g.do("POST", "/v1/users", body, "Authorization", "Bearer "+g.tokens["operator"], "Idempotency-Key", key)
		}
		first := send().want(201)
		g.as("operator", "DELETE", "/v1/tenants/"+made.ID, "").want(204)
		again := send().want(201)
		if string(first.body) != string(again.body) || again.Header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%s, again %s", first.body, again.body)
		}
		body, key = strings.Replace(body, "u-", "v-", 1), uuid.NewString()
		send().wantFailure(404, cloud.CodeNotFound)
	}
}

func TestTheDefaultQuotaIsOfNoTenant(t *testing.T) {
	g := newGuarded(t)
	before := g.as("operator", "GET", "/v1/quota", "").want(200)
	a := g.as("operator", "PATCH", "/v1/quota?tenant=ours", `{"limits":{"networks":31}}`)
	a.wantFailure(400, cloud.CodeUnknownField)
	if !strings.Contains(string(a.body), "/v1/tenants/{id}/quota") {
		t.Errorf("%s", a.body)
	}
	if after := g.as("operator", "GET", "/v1/quota", "").want(200); string(after.body) != string(before.body) {
		t.Errorf("%s, then %s", before.body, after.body)
	}
}

func TestUsersOfATenant(t *testing.T) {
	g := newGuarded(t)
	for _, tenant := range []string{"ours", g.tenants["ours"].ID} {
		got := decoded[wire.List[wire.User]](g.as("operator", "GET", "/v1/users?tenant="+tenant+"&sort=name", "").want(200))
		var names []string
		for _, u := range got.Items {
			names = append(names, u.Name)
		}
		if strings.Join(names, " ") != "ours-admin ours-member ours-viewer" {
			t.Errorf("of %s: %v", tenant, names)
		}
	}
}

package client

import (
	"context"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"lodge/api/wire"
)

func TestPlainHTTPStaysOnTheMachine(t *testing.T) {
	for target, ok := range map[string]bool{
		"http://127.0.0.1:8080": true, "http://[::1]:8080": true, "http://localhost": true, "https://192.0.2.1:8443": true,
		"http://192.0.2.1:8080": false, "http://lodge.example": false, "http://127.0.0.1.example": false, "http://localhost.example": false,
		"https://ann:secret@lodge.example": false, "https://lodge.example?x=y": false, "https://:8443": false,
	} {
		_, err := New(target, WithToken("secret"))
		if (err == nil) != ok {
			t.Errorf("%q: %v", target, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q tells a secret: %v", target, err)
		}
	}
	if _, err := New("https://lodge.example", WithCA([]byte("nothing"))); err == nil {
		t.Error("an authority without a certificate is taken")
	}
}

func TestTheTokenIsShownToTheAuthoritysServerOnly(t *testing.T) {
	var seen string
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Proto + " " + r.Header.Get("Authorization")
		answer(w, 200, wire.Whoami{UserName: "ada"})
	}))
	srv.Config.ErrorLog = nil
	t.Cleanup(srv.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	c, err := New(srv.URL, WithToken("t0"), WithCA(ca))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if me, err := c.Whoami(t.Context()); err != nil || me.UserName != "ada" || seen != "HTTP/1.1 Bearer t0" {
		t.Errorf("%+v, %v, seen %q", me, err, seen)
	}
	seen = ""
	stranger, err := New(srv.URL, WithToken("t0"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Whoami(t.Context()); !IsUnreachable(err) || seen != "" || strings.Contains(err.Error(), "t0") {
		t.Errorf("%v, seen %q", err, seen)
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	asked := 0
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	if err := c.Logout(t.Context()); err == nil || asked != 1 {
		t.Errorf("%v after %d requests", err, asked)
	}
}

func TestTheTenantIsNamedWhereItIsTaken(t *testing.T) {
	var seen []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen = append(seen, r.Method+" "+r.URL.RequestURI()+" "+string(body))
		answer(w, 200, map[string]any{})
	}))
	t.Cleanup(srv.Close)
	c, err := New(srv.URL, WithTenant("acme"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	ctx := t.Context()
	for want, ask := range map[string]func() error{
		"GET /v1/whoami?tenant=acme ":                                      func() error { _, err := c.Whoami(ctx); return err },
		"DELETE /v1/sessions/current?tenant=acme ":                         func() error { return c.Logout(ctx) },
		"GET /v1/users?limit=500&tenant=acme ":                             func() error { _, err := c.AllUsers(ctx, Query{}); return err },
		"GET /v1/users/a%2Fb?tenant=acme ":                                 func() error { _, err := c.User(ctx, "a/b"); return err },
		"PUT /v1/users/ada/password?tenant=acme " + `{"password":"x"}`:     func() error { return c.SetPassword(ctx, "ada", wire.SetPassword{Password: "x"}) },
		"GET /v1/instances?limit=500&tenant=acme ":                         func() error { _, err := c.AllInstances(ctx, Query{}); return err },
		"GET /v1/instances?limit=500&tenant=other ":                        func() error { _, err := c.AllInstances(ctx, Query{Tenant: "other"}); return err },
		"GET /v1/instances/i?tenant=acme ":                                 func() error { _, err := c.Instance(ctx, "i"); return err },
		"POST /v1/instances?tenant=acme " + `{"name":"a"}`:                 func() error { _, err := c.CreateInstance(ctx, wire.CreateInstance{Name: "a"}); return err },
		"POST /v1/tokens?tenant=other " + `{"name":"ci","tenant":"other"}`: func() error { _, err := c.CreateToken(ctx, wire.CreateToken{Name: "ci", Tenant: "other"}); return err },
		"DELETE /v1/tokens/k?tenant=acme ":                                 func() error { return c.RevokeToken(ctx, "k") },
		"GET /v1/tenants/t/members?tenant=acme ":                           func() error { _, err := c.Members(ctx, "t"); return err },
		"PUT /v1/tenants/t/members/ada?tenant=acme " + `{"role":"admin"}`:  func() error { _, err := c.SetMember(ctx, "t", "ada", wire.SetMember{Role: "admin"}); return err },
		"DELETE /v1/tenants/t/members/ada?tenant=acme ":                    func() error { return c.RemoveMember(ctx, "t", "ada") },
		"GET /v1/audit?before=7&limit=9&refused=true&tenant=acme&user=ada ": func() error {
			_, err := c.Audit(ctx, AuditQuery{User: "ada", Refused: true, Before: 7, Limit: 9})
			return err
		},
		"PUT /v1/users/ada/identity?tenant=acme " + `{"issuer":"i","subject":"s"}`: func() error {
			_, err := c.LinkUser(ctx, "ada", wire.LinkUser{Issuer: "i", Subject: "s"})
			return err
		},
		"DELETE /v1/users/ada/identity?tenant=acme ":           func() error { return c.UnlinkUser(ctx, "ada") },
		"GET /v1/sessions/oidc ":                               func() error { _, err := c.SignOnProvider(ctx); return err },
		"POST /v1/sessions/oidc/start " + `{"device":true}`:    func() error { _, err := c.StartSignOn(ctx, wire.StartSignOn{Device: true}); return err },
		"POST /v1/sessions/oidc " + `{"login":"l"}`:            func() error { _, _, err := c.FinishSignOn(ctx, wire.FinishSignOn{Login: "l"}); return err },
		"POST /v1/sessions " + `{"user":"ada","password":"x"}`: func() error { _, err := c.Login(ctx, wire.Login{User: "ada", Password: "x"}); return err },
		"GET /v1/tenants/t/quota?tenant=acme ":                 func() error { _, err := c.Quotas(ctx, "t"); return err },
		"PATCH /v1/tenants/t/quota?tenant=acme " + `{"limits":{"vcpus":null}}`: func() error {
			_, err := c.SetQuotas(ctx, "t", wire.SetQuotas{Limits: map[string]*int64{"vcpus": nil}})
			return err
		},
		"GET /v1/quota?tenant=acme ": func() error { _, err := c.DefaultQuotas(ctx); return err },
		"PATCH /v1/quota " + `{"limits":{"vcpus":null}}`: func() error {
			_, err := c.SetDefaultQuotas(ctx, wire.SetQuotas{Limits: map[string]*int64{"vcpus": nil}})
			return err
		},
		"POST /v1/users " + `{"name":"ada"}`:            func() error { _, err := c.CreateUser(ctx, wire.CreateUser{Name: "ada"}); return err },
		"DELETE /v1/users/ada?tenant=acme ":             func() error { return c.DeleteUser(ctx, "ada") },
		"GET /v1/tokens?limit=500&name=ci&tenant=acme ": func() error { _, err := c.AllTokens(ctx, Query{Name: "ci"}); return err },
	} {
		seen = nil
		if err := ask(); err != nil || len(seen) != 1 || seen[0] != want {
			t.Errorf("asked %q, %v; want %q", seen, err, want)
		}
	}
}

// TestTheRoutesOfATenantAreTheAPIs keeps the list of routes what openapi.yaml
// says.
func TestTheRoutesOfATenantAreTheAPIs(t *testing.T) {
	b, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	type param struct {
		Ref  string `json:"$ref"`
		Name string `json:"name"`
	}
	type operation struct {
		Parameters []param `json:"parameters"`
	}
	var doc struct {
		Paths map[string]struct {
			Get    *operation `json:"get"`
			Post   *operation `json:"post"`
			Put    *operation `json:"put"`
			Patch  *operation `json:"patch"`
			Delete *operation `json:"delete"`
		} `json:"paths"`
	}
	if err := yaml.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Paths) == 0 {
		t.Fatal("openapi.yaml has no paths")
	}
	for path, p := range doc.Paths {
		for method, op := range map[string]*operation{"GET": p.Get, "POST": p.Post, "PUT": p.Put, "PATCH": p.Patch, "DELETE": p.Delete} {
			if op == nil {
				continue
			}
			takes := slices.ContainsFunc(op.Parameters, func(p param) bool {
				return p.Name == "tenant" || strings.HasPrefix(p.Ref, "#/components/parameters/tenant")
			})
			if got := takesTenant(method, path); got != takes {
				t.Errorf("%s %s: the client says %t, openapi.yaml %t", method, path, got, takes)
			}
		}
	}
}

func TestAnUnknownCallerIsTold(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		answer(w, 401, wire.Failure{Status: 401, Code: "unauthorized", Detail: "The token has expired."})
	})
	if _, err := c.Whoami(context.Background()); !IsUnauthorized(err) || IsUnreachable(err) {
		t.Errorf("%v", err)
	}
	if IsUnauthorized(nil) {
		t.Error("no error is unauthorized")
	}
}

package api_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"lodge/api"
	"lodge/api/wire"
	"lodge/cloud"
)

// A change has the same word in the audit log whether it is made, refused for
// who asks, or fails.
func TestAChangeHasOneWordInTheAuditLog(t *testing.T) {
	routes := map[string]bool{}
	for _, r := range api.Rules() {
		route := r.Method + " " + r.Path
		routes[route] = true
		word := api.Actions()[route]
		if r.Method == http.MethodGet {
			if word != "" {
				t.Errorf("%s changes nothing and is %s", route, word)
			}
			continue
		}
		t.Run(route, func(t *testing.T) {
			if word == "" {
				t.Fatal("has no word; add it to actions")
			}
			g := newGuarded(t)
			newest := func() cloud.AuditEntry { return g.audited(cloud.AuditFilter{})[0] }
			ids := g.objects()
			path, body := g.reach(r, ids)
			path = asOperator(path)
			actor := "operator"
			if r.Need != "" {
				if a := g.as(actor, r.Method, inQuery(path, "nonsense=1"), body); a.StatusCode != 400 {
					t.Fatalf("got %d", a.StatusCode)
				}
				if e := newest(); e.Action != word || e.Result == "ok" || !strings.HasPrefix(e.Name, r.Method+" /v1/") {
					t.Errorf("what fails is %+v", e)
				}
			}
			switch route {
			case "POST /v1/estimates": // which changes nothing
				return
			case "POST /v1/sessions/oidc", "POST /v1/sessions/oidc/start": // there is no identity provider here
				return
			case "DELETE /v1/images/{id}": // which the instance is made from
				a := g.as(actor, "POST", "/v1/images", `{"name":"spare","url":"https://example.org/x.qcow2","tenant":"ours"}`)
				path = "/v1/images/" + decoded[wire.Image](a.want(202)).ID
			case "DELETE /v1/tenants/{id}": // which owns things
				a := g.as(actor, "POST", "/v1/tenants", `{"name":"empty"}`)
				path = "/v1/tenants/" + decoded[wire.Tenant](a.want(201)).ID
			case "DELETE /v1/users/{user}/identity":
				g.as(actor, "PUT", path, `{"issuer":"https://id.example","subject":"s"}`).want(200)
			case "POST /v1/instances/{id}/start", "POST /v1/instances/start":
				g.as(actor, "POST", "/v1/instances/"+ids["instances"]+"/stop", "").want(202)
			}
			a := g.as(actor, r.Method, path, body)
			if a.StatusCode >= 300 {
				t.Fatalf("got %d: %s", a.StatusCode, a.body)
			}
			if e := newest(); e.Action != word || e.Result != "ok" {
				t.Errorf("what is made is %+v", e)
			}
		})
	}
	for route := range api.Actions() {
		if !routes[route] {
			t.Errorf("there is no route %s", route)
		}
	}
}

func TestAnUnknownActionIsRefusedWithThoseThereAre(t *testing.T) {
	g := newGuarded(t)
	ask := func(action string) *answer {
		return g.as("ours admin", "GET", "/v1/audit?action="+url.QueryEscape(action), "")
	}
	f := ask("instance.destroy").wantFailure(400, cloud.CodeInvalid)
	for _, word := range []string{`"instance.destroy"`, "instance.delete", "instance.start"} {
		if !strings.Contains(f.Detail, word) {
			t.Errorf("%s is not in %s", word, f.Detail)
		}
	}
	if strings.Count(f.Detail, "instance.delete") != 1 || strings.Contains(f.Detail, "session.open") {
		t.Error(f.Detail)
	}
	f = ask("destroy").wantFailure(400, cloud.CodeInvalid)
	for _, noun := range []string{`"destroy"`, "audit", "instance", "session", "member"} {
		if strings.Count(f.Detail, noun) != 1 {
			t.Errorf("%s is not once in %s", noun, f.Detail)
		}
	}
	for _, known := range []string{"instance.delete", "audit.dropped", "GET /v1/hosts"} {
		if a := ask(known); a.StatusCode != 200 {
			t.Errorf("%s: %d", known, a.StatusCode)
		}
	}
}

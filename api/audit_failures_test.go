package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"lodge/api"
	"lodge/auth"
	"lodge/cloud"
)

// audited are the entries of the audit log, the newest first.
func (g *guarded) audited(f cloud.AuditFilter) []cloud.AuditEntry {
	g.t.Helper()
	f.Limit = 1000
	items, err := g.db.Audit(context.Background(), operator, f)
	if err != nil {
		g.t.Fatal(err)
	}
	return items
}

func TestEveryFailedChangeIsInTheAuditLog(t *testing.T) {
	g := newGuarded(t)
	ids := g.objects()
	instance := "/v1/instances/" + ids["instances"]
	for _, c := range []struct {
		actor, method, path, body string
		code                      cloud.Code
		action, subject, name     string
	}{
		{"ours member", "PATCH", instance, `{"name":"NO"}`, cloud.CodeInvalid, "instance.update", "instance " + ids["instances"], "PATCH " + instance},
		{"ours member", "PATCH", instance, `{"nome":"x"}`, cloud.CodeUnknownField, "instance.update", "instance " + ids["instances"], "PATCH " + instance},
		{"ours member", "PATCH", instance, `{`, cloud.CodeMalformed, "instance.update", "instance " + ids["instances"], "PATCH " + instance},
		{"ours member", "POST", "/v1/instances", `{"name":"secret-instance"}`, cloud.CodeNameTaken, "instance.create", " ", "POST /v1/instances"},
		{"ours viewer", "DELETE", instance, "", cloud.CodeForbidden, "instance.delete", "instance " + ids["instances"], "DELETE " + instance},
		{"theirs member", "DELETE", instance, "", cloud.CodeNotFound, "instance.delete", "instance " + ids["instances"], "DELETE " + instance},
		{"ours admin", "PUT", "/v1/tenants/" + ids["tenants"] + "/members/nobody", `{"role":"viewer"}`, cloud.CodeNotFound, "member.set", "tenant " + ids["tenants"], "PUT /v1/tenants/" + ids["tenants"] + "/members/{user}"},
		{"ours viewer", "PUT", "/v1/users/ours-viewer/password", `{"password":"another few words","current":"a wrong password"}`, cloud.CodeForbidden, "user.set-password", " ", "PUT /v1/users/{user}/password"},
		{"operator", "POST", "/v1/users?tenant=ours", `{"name":"new"}`, cloud.CodeUnknownField, "user.create", " ", "POST /v1/users"},
		{"operator", "GET", "/v1/instances/" + nobodysID, "", "", "", "", ""},
		{"ours viewer", "GET", "/v1/hosts", "", cloud.CodeForbidden, "GET /v1/hosts", " ", "GET /v1/hosts"},
		{"nobody", "DELETE", instance, "", "", "", "", ""},
	} {
		before := len(g.audited(cloud.AuditFilter{Refused: true}))
		a := g.as(c.actor, c.method, c.path, c.body)
		if a.StatusCode < 400 {
			t.Fatalf("%s %s succeeds", c.method, c.path)
		}
		items := g.audited(cloud.AuditFilter{Refused: true})
		if c.code == "" {
			if len(items) != before {
				t.Errorf("%s %s %s is written down: %+v", c.actor, c.method, c.path, items[0])
			}
			continue
		}
		if len(items) != before+1 {
			t.Errorf("%s %s: %d entries more", c.method, c.path, len(items)-before)
			continue
		}
		e := items[0]
		subject := string(e.Subject.Kind) + " " + e.Subject.ID
		if e.Result != string(c.code) || e.Action != c.action || subject != c.subject || e.Name != c.name || e.UserName != strings.ReplaceAll(c.actor, " ", "-") ||
			e.RequestID != a.Header.Get("X-Request-Id") || e.Address == "" || e.TokenID == "" {
			t.Errorf("%s %s %s gives %+v", c.actor, c.method, c.path, e)
		}
	}
	// A tenant sees what its own people failed, and nothing of others.
	for _, e := range g.audited(cloud.AuditFilter{TenantID: g.tenants["theirs"].ID, Refused: true}) {
		if e.UserName != "theirs-member" {
			t.Errorf("theirs sees %+v", e)
		}
	}
}

func TestNoSecretIsInTheAuditLog(t *testing.T) {
	g := newGuarded(t)
	token, password := auth.NewSecret(), "correct-horse-battery"
	member := g.tokens["ours member"]
	send := func(method, path, body string, header ...string) {
		t.Helper()
		req := httptest.NewRequest(method, path, strings.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+member)
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		rec := httptest.NewRecorder()
		g.ServeHTTP(rec, req)
		if rec.Code < 400 {
			t.Fatalf("%s %s: %d", method, path, rec.Code)
		}
	}
	before := len(g.audited(cloud.AuditFilter{Refused: true}))
	for _, secret := range []string{token, password} {
		send("POST", "/v1/instances", `{"name":"x","user_data":"`+secret+`","image":"`+secret+`"}`)
		send("POST", "/v1/instances", `{"name":"`+secret+`_"}`)
		send("POST", "/v1/instances", `{"`+secret+`":1}`)
		send("POST", "/v1/images", `{"name":"x","url":"ftp://u:`+secret+`@example.org/x"}`)
		send("DELETE", "/v1/tokens/"+secret, "")
		send("DELETE", "/v1/instances/"+secret, "")
		send("DELETE", "/v1/flavors/"+secret, "")
		send("PUT", "/v1/users/"+secret+"/password", `{"password":"another few words","current":"`+secret+`"}`)
		send("PUT", "/v1/users/ours-member/password", `{"password":"another few words","current":"`+secret+`"}`)
		send("POST", "/v1/instances?token="+secret, `{"name":"x"}`)
		send("POST", "/v1/instances?"+secret+"=1", `{"name":"x"}`)
		send("POST", "/v1/instances?tenant="+secret, `{"name":"x"}`)
		send("DELETE", "/v1/instances/"+nobodysID, "", "User-Agent", secret, "Cookie", secret, "If-Match", `"`+secret+`"`)
		send("POST", "/v1/instances", `{"name":"NO"}`, "Idempotency-Key", secret)
		send("POST", "/v1/instances", `{"name":"NO"}`, "Authorization", "Bearer "+secret)
		send("POST", "/v1/instances", `{"name":"NO"}`, "Authorization", secret)
	}
	send("POST", "/v1/instances", `{"name":"NO"}`, "X-Request-Id", token[:64])
	for _, name := range []string{token, strings.ToUpper(token), token[6:], token[:40], strings.Replace(token, "_", "%5F", 1), "x" + token} {
		send("POST", "/v1/sessions", `{"user":"`+name+`","password":"`+password+`"}`)
		send("POST", "/v1/instances", `{"name":"NO"}`, "X-Request-Id", strings.ReplaceAll(name, "%", "")[:40])
	}
	entries := g.audited(cloud.AuditFilter{})
	if n := len(g.audited(cloud.AuditFilter{Refused: true})) - before; n < 28 {
		t.Errorf("only %d failures are written down", n)
	}
	for _, e := range entries {
		line := fmt.Sprintf("%+v", e)
		for _, word := range []string{token[6:22], password, member[6:22], "another few"} {
			if strings.Contains(strings.ToLower(line), word) {
				t.Errorf("%q is in %s", word, line)
			}
		}
	}
}

func TestAFloodOfFailuresIsCountedAndNotWritten(t *testing.T) {
	g := newGuarded(t)
	g.Handler = api.NewFailures(g.options, 50*time.Millisecond)
	const flood = 1000
	before := len(g.audited(cloud.AuditFilter{}))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range flood / 4 {
				req := httptest.NewRequest("DELETE", "/v1/instances/"+nobodysID, nil)
				req.Header.Set("Authorization", "Bearer "+g.tokens["ours member"])
				rec := httptest.NewRecorder()
				g.ServeHTTP(rec, req)
				if rec.Code != http.StatusNotFound {
					t.Error(rec.Code)
				}
			}
		})
	}
	all.Wait()
	// What it is refused for who it is, and what others fail, is still written.
	g.as("ours member", "DELETE", "/v1/flavors/c2-m4", "").wantFailure(403, cloud.CodeForbidden)
	g.as("ours admin", "DELETE", "/v1/instances/"+nobodysID, "").wantFailure(404, cloud.CodeNotFound)
	if e := g.audited(cloud.AuditFilter{Refused: true, User: "ours-member", Action: "flavor.delete"}); len(e) != 1 {
		t.Errorf("the refusal is in %d entries", len(e))
	}
	if e := g.audited(cloud.AuditFilter{Refused: true, User: "ours-admin"}); len(e) != 1 {
		t.Errorf("the other's failure is in %d entries", len(e))
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		written := len(g.audited(cloud.AuditFilter{User: "ours-member", Action: "instance.delete"}))
		counts := g.audited(cloud.AuditFilter{User: "ours-member", Action: "audit.dropped"})
		dropped := 0
		for _, e := range counts {
			var n int
			if _, err := fmt.Sscanf(e.Name, "%d more", &n); err != nil || e.Result != "rate_limited" || e.TenantID != g.tenants["ours"].ID {
				t.Fatalf("got %+v", e)
			}
			dropped += n
		}
		if written+dropped == flood {
			if written > 60 || len(g.audited(cloud.AuditFilter{}))-before > 150 {
				t.Errorf("%d entries were written for %d failures", written, flood)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d were written and %d counted, of %d", written, dropped, flood)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

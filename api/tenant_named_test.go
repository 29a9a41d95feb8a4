package api_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"lodge/api"
	"lodge/api/wire"
	"lodge/cloud"
)

// In the body of a create the tenant means what it means in the query, also for
// the role that counts.
func TestTheTenantInABody(t *testing.T) {
	g := newGuarded(t)
	g.objects()
	for actor, tenant := range map[string]string{"ours viewer": "theirs", "ours admin": "theirs"} {
		if _, err := g.db.SetMember(context.Background(), operator, g.store.now, g.tenants[tenant].ID, strings.ReplaceAll(actor, " ", "-"), cloud.RoleMember); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for path, body := range map[string]string{
		"/v1/instances": `{"name":"new%d"%s}`, "/v1/images": `{"name":"new%d","url":"https://example.org/x.qcow2"%s}`, "/v1/tokens": `{"name":"new%d"%s}`,
	} {
		send := func(actor, path, tenant string, header ...string) *answer {
			n++
			if tenant != "" {
				tenant = `,"tenant":"` + tenant + `"`
			}
			return g.do("POST", path, fmt.Sprintf(body, n, tenant), append(header, "Authorization", "Bearer "+g.tokens[actor])...)
		}
		for _, tenant := range []string{"ours", "theirs"} {
			id := g.tenants[tenant].ID
			for _, name := range []string{tenant, id, strings.ToUpper(id)} {
				a := send("ours admin", path, name)
				if a.StatusCode >= 300 || !strings.Contains(string(a.body), id) {
					t.Errorf("%s for %s: %d %s", path, name, a.StatusCode, a.body)
				}
			}
		}
		send("ours admin", path, "").wantFailure(400, cloud.CodeInvalid)
		send("ours admin", path, "default").wantFailure(404, cloud.CodeNotFound)
		send("ours admin", path, "nowhere").wantFailure(404, cloud.CodeNotFound)
		send("ours admin", path+"?tenant=theirs", "ours").wantFailure(400, cloud.CodeInvalid)
		if a := send("ours viewer", path, "theirs"); a.StatusCode >= 300 {
			t.Errorf("a member there, viewer here: %d %s", a.StatusCode, a.body)
		}
		if a := send("ours viewer", path, "ours"); path != "/v1/tokens" {
			a.wantFailure(403, cloud.CodeForbidden)
		} else if got := decoded[wire.Token](a.want(201)); got.Role != "viewer" {
			t.Errorf("a viewer's token: %s", a.body)
		}
		// A key is of the tenant that the body names.
		key := uuid.NewString()
		first := g.do("POST", path, fmt.Sprintf(body, 1000, `,"tenant":"ours"`), "Authorization", "Bearer "+g.tokens["ours admin"], "Idempotency-Key", key)
		again := g.do("POST", path, fmt.Sprintf(body, 1000, `,"tenant":"ours"`), "Authorization", "Bearer "+g.tokens["ours admin"], "Idempotency-Key", key)
		if again.Header.Get("Idempotent-Replayed") == "" || string(first.body) != string(again.body) {
			t.Errorf("%d %s, again %d %s", first.StatusCode, first.body, again.StatusCode, again.body)
		}
	}
	// A token of one tenant goes nowhere else, and one that only reads makes nothing.
	a := g.do("POST", "/v1/tokens", `{"name":"bound","tenant":"ours"}`, "Authorization", "Bearer "+g.tokens["ours admin"]).want(201)
	g.tokens["bound"] = decoded[wire.Token](a).Secret
	g.as("bound", "POST", "/v1/instances", `{"name":"b","tenant":"theirs"}`).wantFailure(404, cloud.CodeNotFound)
}

// What an operator says of the tenant counts on every route: one that is not
// there is refused, and beside an object one that is not the object's.
func TestAnOperatorNamesATenantThatIsThere(t *testing.T) {
	for _, r := range api.Rules() {
		if r.Need == "" || r.Path == "/metrics" {
			continue
		}
		t.Run(r.Method+" "+r.Path, func(t *testing.T) {
			g := newGuarded(t)
			path, body := g.reach(r, g.objects())
			body = strings.Replace(body, `,"tenant":"ours"`, "", 1)
			names := []string{"no-such-tenant", nobodysID}
			if strings.Contains(r.Path, "{id}") && !strings.Contains(r.Path, "flavors") {
				names = append(names, "theirs", g.tenants["theirs"].ID)
			}
			before := g.dump()
			for _, name := range names {
				a := g.as("operator", r.Method, inQuery(path, "tenant="+name), body)
				if code := a.failure().Code; a.StatusCode != 404 && code != string(cloud.CodeUnknownField) {
					t.Errorf("tenant=%s: %d %s", name, a.StatusCode, a.body)
				}
			}
			if diff := cmp.Diff(withoutAudit(before), withoutAudit(g.dump())); diff != "" {
				t.Errorf("it did something:\n%s", diff)
			}
			if a := g.as("operator", r.Method, inQuery(path, "tenant="+strings.ToUpper(g.tenants["ours"].ID)), body); a.StatusCode >= 400 && a.StatusCode != 409 && a.failure().Code != string(cloud.CodeUnknownField) {
				t.Errorf("its own: %d %s", a.StatusCode, a.body)
			}
		})
	}
}

package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lodge/api"
	"lodge/api/wire"
	"lodge/cloud"
)

// fleet is a house with web0, web1, db2, db3 in this order, a second apart.
func fleet(t *testing.T) *house {
	h := newHouse(t)
	h.upload("name=debian-12&default=true", "RAW").want(201)
	for n, name := range []string{"web0", "web1", "db2", "db3"} {
		h.store.now = h.store.now.Add(time.Second)
		in := h.create(fmt.Sprintf(`{"name":%q,"labels":{"env":%q,"role":%q}}`, name, []string{"prod", "test"}[n%2], strings.TrimRight(name, "0123")))
		if n > 1 {
			h.sees(in.ID)
		}
	}
	return h
}

// found are the names in a list, in order, over all its parts.
func (h *house) found(query url.Values) string {
	h.t.Helper()
	var out []string
	for {
		l := decoded[wire.List[wire.Instance]](h.do("GET", "/v1/instances?"+query.Encode(), "").want(200))
		for _, i := range l.Items {
			out = append(out, i.Name)
		}
		if l.Next == "" {
			return strings.Join(out, " ")
		}
		query.Set("cursor", l.Next)
	}
}

func TestInstancesAreListedByWhatUsersAskFor(t *testing.T) {
	h := fleet(t)
	first := decoded[wire.List[wire.Instance]](h.do("GET", "/v1/instances", "").want(200)).Items[0]
	for query, want := range map[string]string{
		"":                                "web0 web1 db2 db3",
		"label=env=prod":                  "web0 db2",
		"label=env!=prod":                 "web1 db3",
		"label=role in (web,x)":           "web0 web1",
		"label=role notin (web)":          "db2 db3",
		"label=env=prod,role=db":          "db2",
		"label=env":                       "web0 web1 db2 db3",
		"label=!env":                      "",
		"name=db2":                        "db2",
		"name_prefix=web":                 "web0 web1",
		"state=running":                   "db2 db3",
		"state=running&label=env=prod":    "db2",
		"image=debian-12":                 "web0 web1 db2 db3",
		"image=" + first.ImageID:          "web0 web1 db2 db3",
		"flavor=" + cloud.DefaultFlavorID: "web0 web1 db2 db3",
		"flavor=none":                     "",
		"host=" + hostID:                  "web0 web1 db2 db3",
		"host=" + nobodysID:               "",
		"sort=-created_at":                "db3 db2 web1 web0",
		"sort=name":                       "db2 db3 web0 web1",
		"sort=-name&label=env=prod":       "web0 db2",
		"created_after=" + first.CreatedAt.Format(time.RFC3339Nano):  "web1 db2 db3",
		"created_before=" + first.CreatedAt.Format(time.RFC3339Nano): "",
		"created_after=2026-01&created_before=2027-01":               "web0 web1 db2 db3",
	} {
		for _, limit := range []string{"1", "3", "500"} {
			q := url.Values{"limit": {limit}}
			for part := range strings.SplitSeq(query, "&") {
				if name, value, ok := strings.Cut(part, "="); ok {
					q.Set(name, value)
				}
			}
			if got := h.found(q); got != want {
				t.Errorf("%s, %s a part: got %q, want %q", query, limit, got, want)
			}
		}
	}
}

func TestWhatAListIsNotAskedForIsRefused(t *testing.T) {
	h := fleet(t)
	next := decoded[wire.List[wire.Instance]](h.do("GET", "/v1/instances?limit=1&sort=name&label=env", "").want(200)).Next
	for query, field := range map[string]string{
		"label=": "label", "label==x": "label", "label=a%20in": "label", "label=env=prod&label=role=db": "label",
		"sort=updated_at": "sort", "sort=": "sort", "fields=": "fields", "fields=id,nothing": "fields", "fields=id,": "fields", "fields=labels.env": "fields",
		"created_after=yesterday": "created_after", "created_before=1": "created_before", "host=rack1": "host",
		"cursor=" + next: "cursor", "sort=name&cursor=" + next: "cursor", "sort=-name&label=env&cursor=" + next: "cursor", "sort=name&label=!env&cursor=" + next: "cursor",
	} {
		f := h.do("GET", "/v1/instances?"+query, "").wantFailure(400, cloud.CodeInvalid)
		if len(f.Errors) != 1 || f.Errors[0].Field != field {
			t.Errorf("%s: %+v", query, f)
		}
	}
	h.do("GET", "/v1/instances?image=nosuch", "").wantFailure(404, cloud.CodeNotFound)
	h.do("GET", "/v1/instances?sort=name&label=env&cursor="+next, "").want(200)
	// Two spellings of one selector are one list.
	h.do("GET", "/v1/instances?sort=name&label=%20env%20&cursor="+next, "").want(200)
	for _, path := range []string{"/v1/users?label=a=b", "/v1/tokens?label=a=b", "/v1/networks?host=" + hostID, "/v1/images?flavor=x", "/v1/tenants?state=active"} {
		h.do("GET", path, "").wantFailure(400, cloud.CodeUnknownField)
	}
	h.do("GET", "/v1/tokens?sort=name", "").wantFailure(400, cloud.CodeUnknownField)
}

func TestAListIsCutDownToTheFieldsAskedFor(t *testing.T) {
	h := fleet(t)
	for range 2 { // rendered, and from what is kept
		a := h.do("GET", "/v1/instances?fields=state,name,problem,%20labels&limit=2", "").want(200)
		l := decoded[wire.List[json.RawMessage]](a)
		if len(l.Items) != 2 || string(l.Items[0]) != `{"name":"web0","labels":{"env":"prod","role":"web"},"state":"requested"}` || l.Next == "" {
			t.Errorf("got %s", a.body)
		}
		if !slices.Equal(l.Fields, []string{"name", "labels", "state", "problem"}) {
			t.Errorf("fields %v", l.Fields)
		}
	}
	for _, path := range []string{"/v1/images", "/v1/networks", "/v1/tenants"} {
		a := h.do("GET", path+"?fields=name&limit=1", "").want(200)
		if l := decoded[wire.List[json.RawMessage]](a); len(l.Items) != 1 || !strings.HasPrefix(string(l.Items[0]), `{"name":"`) || strings.Contains(string(l.Items[0]), ",") {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	if l := decoded[wire.List[json.RawMessage]](h.do("GET", "/v1/instances?fields=id&name=nobody", "").want(200)); len(l.Items) != 0 || len(l.Fields) != 1 {
		t.Errorf("an empty list: %+v", l)
	}
	h.do("GET", "/v1/users?fields=name&sort=-name&name_prefix=x", "").want(200)
}

func TestOtherListsTakeASelector(t *testing.T) {
	h := newHouse(t)
	h.do("POST", "/v1/tenants", `{"name":"acme","labels":{"plan":"gold"}}`).want(201)
	h.do("POST", "/v1/tenants", `{"name":"zeta","labels":{"plan":"iron"}}`).want(201)
	for query, want := range map[string]int{"label=plan=gold": 1, "label=plan": 2, "label=!plan": 1, "label=plan&sort=-name&name_prefix=ac": 1} {
		if l := decoded[wire.List[wire.Tenant]](h.do("GET", "/v1/tenants?"+query, "").want(200)); len(l.Items) != want {
			t.Errorf("%s: %+v", query, l.Items)
		}
	}
	if l := decoded[wire.List[wire.Network]](h.do("GET", "/v1/networks?label=!plan&sort=-created_at", "").want(200)); len(l.Items) != 3 {
		t.Errorf("got %+v", l.Items)
	}
}

func TestTenantsAndNetworksAreRelabelled(t *testing.T) {
	h := newHouse(t)
	tn := decoded[wire.Tenant](h.do("POST", "/v1/tenants", `{"name":"acme","labels":{"plan":"gold","old":""}}`).want(201))
	net := decoded[wire.List[wire.Network]](h.do("GET", "/v1/networks?tenant=acme", "").want(200)).Items[0]
	for _, path := range []string{"/v1/tenants/" + tn.ID, "/v1/networks/" + net.ID} {
		h.do("PATCH", path, `{"labels":{"plan":"iron","old":null}}`).want(200)
		h.do("PATCH", path, `{"labels":{"plan":"iron"}}`).want(200)
		h.do("PATCH", path, `{"labels":{"-bad":"x"}}`).wantFailure(400, cloud.CodeInvalid)
		h.do("PATCH", path, `{"name":"x"}`).wantFailure(400, cloud.CodeUnknownField)
		noun, _, _ := strings.Cut(strings.TrimPrefix(path, "/v1/"), "/")
		if l := decoded[wire.List[wire.Tenant]](h.do("GET", "/v1/tenants?label=plan%3Diron,!old", "").want(200)); noun == "tenants" && (len(l.Items) != 1 || l.Items[0].Revision != 2 || len(l.Items[0].Labels) != 1) {
			t.Errorf("got %+v", l.Items)
		}
	}
	if l := decoded[wire.List[wire.Network]](h.do("GET", "/v1/networks?label=plan%3Diron", "").want(200)); len(l.Items) != 1 || l.Items[0].Revision != 2 {
		t.Errorf("got %+v", l.Items)
	}
	h.do("PATCH", "/v1/tenants/"+nobodysID, `{"labels":{}}`).wantFailure(404, cloud.CodeNotFound)
	h.do("PATCH", "/v1/networks/"+nobodysID, `{"labels":{}}`).wantFailure(404, cloud.CodeNotFound)
}

func TestOnlyAnOperatorNarrowsByHost(t *testing.T) {
	g := newGuarded(t)
	g.as("ours admin", "GET", "/v1/instances?host="+hostID, "").wantFailure(403, cloud.CodeForbidden)
	g.as("operator", "GET", "/v1/instances?host="+hostID, "").want(200)
}

// What is cut from the JSON is what encoding/json would have left.
func FuzzTrim(f *testing.F) {
	f.Add("web", `a"b\c`, "problem,name", true)
	f.Add("{}[],:", "\x00é<>&", "labels,ports,id", false)
	f.Fuzz(func(t *testing.T, name, value, fields string, problem bool) {
		in := wire.Instance{Name: name, Labels: map[string]string{name: value, value: name}, SSHKeys: []string{value}, Ports: []wire.Port{{ID: name}}, Addresses: []string{}}
		if problem {
			in.Problem = &wire.Problem{Message: value}
		}
		b, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]any{}
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatal(err)
		}
		keep := strings.Split(fields, ",")
		for key := range want {
			if !slices.Contains(keep, key) {
				delete(want, key)
			}
		}
		cut := api.Trim(b, keep)
		got := map[string]any{}
		if err := json.Unmarshal(cut, &got); err != nil {
			t.Fatalf("%v in %s", err, cut)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s\n%s", cut, diff)
		}
	})
}

func TestManyInstancesAreChangedAtOnce(t *testing.T) {
	h := fleet(t)
	names := func(r wire.BulkResult) string {
		var out []string
		for _, i := range r.Instances {
			out = append(out, i.Name)
		}
		return strings.Join(out, " ")
	}
	const path = "/v1/instances?tenant=default&label=env%3Dprod"
	if r := decoded[wire.BulkResult](h.do("DELETE", path+"&dry_run=true", "").want(200)); names(r) != "web0 db2" || !r.DryRun || r.Matched != 2 {
		t.Errorf("dry run: %+v", r)
	}
	h.do("DELETE", path+"&expect=3", "").wantFailure(412, cloud.CodePrecondition)
	h.do("DELETE", path+"&expect=3&dry_run=true", "").wantFailure(412, cloud.CodePrecondition)
	if r := decoded[wire.BulkResult](h.do("POST", "/v1/instances/stop?tenant=default&label=role%3Ddb", `{"force":true}`).want(202)); names(r) != "db2 db3" {
		t.Errorf("stop: %+v", r)
	}
	if r := decoded[wire.BulkResult](h.do("POST", "/v1/instances/start?tenant=default&all=true", "").want(202)); names(r) != "db2 db3" {
		t.Errorf("start: %+v", r)
	}
	if r := decoded[wire.BulkResult](h.do("DELETE", path+"&expect=2", "").want(202)); names(r) != "web0 db2" || r.Remaining != 0 {
		t.Errorf("delete: %+v", r)
	}
	if r := decoded[wire.BulkResult](h.do("DELETE", path, "").want(202)); r.Matched != 0 || r.Instances == nil || r.Skipped == nil {
		t.Errorf("again: %+v", r)
	}
	if r := decoded[wire.BulkResult](h.do("DELETE", "/v1/instances?tenant=default&all=true&name_prefix=web", "").want(202)); names(r) != "web1" {
		t.Errorf("the rest by name: %+v", r)
	}
}

func TestABulkChangeThatDoesNotSayWhatIsRefused(t *testing.T) {
	h := fleet(t)
	for query, code := range map[string]cloud.Code{
		"":                                   cloud.CodeInvalid,
		"tenant=default":                     cloud.CodeInvalid,
		"tenant=default&label=":              cloud.CodeInvalid,
		"tenant=default&label=%20":           cloud.CodeInvalid,
		"tenant=default&name_prefix=web":     cloud.CodeInvalid,
		"tenant=default&all=false":           cloud.CodeInvalid,
		"tenant=default&all=maybe":           cloud.CodeInvalid,
		"tenant=default&all=true&label=env":  cloud.CodeInvalid,
		"all=true":                           cloud.CodeInvalid,
		"label=env":                          cloud.CodeInvalid,
		"tenant=default&all=true&expect=-1":  cloud.CodeInvalid,
		"tenant=default&all=true&limit=1":    cloud.CodeUnknownField,
		"tenant=default&all=true&lable=env":  cloud.CodeUnknownField,
		"tenant=nobody&all=true":             cloud.CodeNotFound,
		"tenant=default&all=true&dry_run=so": cloud.CodeInvalid,
	} {
		for _, to := range []string{"DELETE /v1/instances", "POST /v1/instances/stop", "POST /v1/instances/start"} {
			method, path, _ := strings.Cut(to, " ")
			if f := h.do(method, path+"?"+query, "").failure(); f.Code != string(code) {
				t.Errorf("%s %s: %+v", to, query, f)
			}
		}
	}
	h.do("POST", "/v1/instances/stop?tenant=default&all=true", `{"froce":true}`).wantFailure(400, cloud.CodeUnknownField)
	for _, i := range decoded[wire.List[wire.Instance]](h.do("GET", "/v1/instances", "").want(200)).Items {
		if !i.DeletedAt.IsZero() || i.Power != "running" {
			t.Errorf("%s was changed", i.Name)
		}
	}
}

func TestABulkChangeStaysInItsTenant(t *testing.T) {
	g := newGuarded(t)
	ids := g.objects()
	g.as("theirs member", "DELETE", "/v1/instances?all=true", "").want(202)
	g.as("theirs member", "DELETE", "/v1/instances?all=true&tenant=ours", "").wantFailure(404, cloud.CodeNotFound)
	g.as("ours viewer", "DELETE", "/v1/instances?all=true", "").wantFailure(403, cloud.CodeForbidden)
	if i, err := g.db.Instance(context.Background(), operator, ids["instances"]); err != nil || !i.DeletedAt.IsZero() {
		t.Fatalf("got %+v, %v", i, err)
	}
	if r := decoded[wire.BulkResult](g.as("ours member", "DELETE", "/v1/instances?all=true", "").want(202)); len(r.Instances) != 1 {
		t.Errorf("got %+v", r)
	}
}

func TestABulkChangeWithAKeyIsDoneOnce(t *testing.T) {
	h := fleet(t)
	const path = "/v1/instances/stop?tenant=default&label=role%3Ddb"
	one := h.do("POST", path, "", "Idempotency-Key", "k1").want(202)
	two := h.do("POST", path, "", "Idempotency-Key", "k1").want(202)
	if string(one.body) != string(two.body) || two.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%s\n%s", one.body, two.body)
	}
}

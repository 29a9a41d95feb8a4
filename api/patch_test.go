package api_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lodge/api"
	"lodge/api/wire"
	"lodge/cloud"
)

// A PATCH merges as RFC 7396 says.
func TestAPatchMerges(t *testing.T) {
	h := newHouse(t)
	img := decoded[wire.Image](h.upload("name=debian-12&default=true", "RAW").want(201))
	h.do("PATCH", "/v1/images/"+img.ID, `{"labels":{"a":"1","b":"2"}}`).want(200)
	in := h.create(`{"name":"web1","size":"2 vCPU, 4GB","labels":{"a":"1","b":"2"}}`)
	for _, tt := range []struct {
		patch string
		want  map[string]string
	}{
		{`{}`, map[string]string{"a": "1", "b": "2"}},
		{`{"labels":{}}`, map[string]string{"a": "1", "b": "2"}},
		{`{"labels":{"a":null,"c":"3","nosuch":null}}`, map[string]string{"b": "2", "c": "3"}},
		{`{"labels":{"b":"22"},"protected":true}`, map[string]string{"b": "22", "c": "3"}},
		{`{"labels":null}`, map[string]string{}},
		{`{"labels":{"d":"4"}}`, map[string]string{"d": "4"}},
	} {
		for _, path := range []string{"/v1/instances/" + in.ID, "/v1/images/" + img.ID} {
			var got struct{ Labels map[string]string }
			a := h.do("PATCH", path, tt.patch, "Content-Type", "application/merge-patch+json").want(200)
			if err := json.Unmarshal(a.body, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got.Labels); diff != "" {
				t.Errorf("%s %s (-want +got):\n%s", path, tt.patch, diff)
			}
		}
	}
	got := decoded[wire.Instance](h.do("GET", "/v1/instances/"+in.ID, "").want(200))
	if got.Name != "web1" || got.VCPUs != 2 || got.MemoryMiB != 4096 || !got.Protected {
		t.Errorf("what was left out did not stay: %+v", got)
	}
}

// What an object always has is not taken away, and nothing else of such a PATCH
// is done.
func TestAPatchTakesAwayOnlyWhatMayGo(t *testing.T) {
	h := newHouse(t)
	img := decoded[wire.Image](h.upload("name=debian-12&default=true", "RAW").want(201))
	in := h.create(`{"name":"web1","size":"c1-m1"}`)
	for path, fields := range map[string]string{
		"/v1/instances/" + in.ID: "name vcpus memory_mib protected", "/v1/images/" + img.ID: "name public default protected",
		"/v1/quota": "limits", "/v1/tenants/" + in.TenantID + "/quota": "limits",
	} {
		for _, field := range strings.Fields(fields) {
			body := `{"` + field + `":null,"labels":{"a":"b"}}`
			if field == "limits" {
				body = `{"limits":null}`
			}
			before := h.dump()
			got := h.do("PATCH", path, body).wantFailure(400, cloud.CodeInvalid)
			if len(got.Errors) != 1 || got.Errors[0].Field != field {
				t.Errorf("%s %s: %+v", path, field, got.Errors)
			}
			if diff := cmp.Diff(withoutAudit(before), withoutAudit(h.dump())); diff != "" {
				t.Errorf("%s %s was refused and did something:\n%s", path, field, diff)
			}
		}
		h.do("PATCH", path, `{"nosuch":1}`).wantFailure(400, cloud.CodeUnknownField)
		h.do("PATCH", path, `[]`).wantFailure(400, cloud.CodeMalformed)
		h.do("PATCH", path, `{}`, "Content-Type", "application/json-patch+json").wantFailure(415, cloud.CodeMediaType)
	}
	// null in a map takes that one away.
	ctx := context.Background()
	h.do("PATCH", "/v1/quota", `{"limits":{"vcpus":7,"instances":3}}`).want(200)
	h.do("PATCH", "/v1/quota", `{"limits":{"vcpus":null}}`).want(200)
	quotas, err := h.db.Quotas(ctx, operator, h.store.now, in.TenantID)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range quotas {
		want := int64(-1)
		if q.Resource == cloud.ResourceInstances {
			want = 3
		}
		if q.Limit != want {
			t.Errorf("%s: %d, want %d", q.Resource, q.Limit, want)
		}
	}
}

// No route reads more of a body than it takes: those with JSON 1 MiB, those
// without one nothing. An upload streams to a sink that has its own limit.
func TestEveryRouteBoundsItsBody(t *testing.T) {
	g, _ := signingOn(t)
	ids := g.objects()
	for _, r := range api.Rules() {
		path, _ := g.reach(r, ids)
		path = asOperator(path)
		for _, length := range []int64{100 << 20, -1} { // told beforehand, and not
			body := &endless{}
			req := httptest.NewRequest(r.Method, path, io.LimitReader(body, 100<<20))
			req.ContentLength = length
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization", "Bearer "+g.tokens["operator"])
			a := g.send(req)
			switch r.Method {
			case http.MethodGet, http.MethodDelete:
				if body.read > 0 {
					t.Errorf("%s %s read %d bytes of a body that it has no use for", r.Method, r.Path, body.read)
				}
			default:
				a.wantFailure(http.StatusRequestEntityTooLarge, cloud.CodeTooLarge)
				if body.read > 2<<20 {
					t.Errorf("%s %s read %d bytes", r.Method, r.Path, body.read)
				}
			}
			if r.Path == "/v1/sessions/current" {
				break // the operator has logged out
			}
		}
		if r.Method == http.MethodDelete {
			g, _ = signingOn(t) // what was deleted is needed by others
			ids = g.objects()
		}
	}
}

// A field that is not known is refused wherever there is a body.
func TestEveryRouteRefusesUnknownFields(t *testing.T) {
	g, _ := signingOn(t)
	ids := g.objects()
	for _, r := range api.Rules() {
		if r.Method == http.MethodGet || r.Method == http.MethodDelete {
			continue
		}
		path, body := g.reach(r, ids)
		path = asOperator(path)
		if body == "" {
			body = "{}"
		}
		body = strings.Replace(body, "{", `{"zzz":1,`, 1)
		body = strings.Replace(body, ",}", "}", 1)
		before := g.dump()
		got := g.as("operator", r.Method, path, body).wantFailure(400, cloud.CodeUnknownField)
		if len(got.Errors) != 1 || got.Errors[0].Field != "zzz" {
			t.Errorf("%s %s: %+v", r.Method, r.Path, got.Errors)
		}
		if diff := cmp.Diff(withoutAudit(before), withoutAudit(g.dump())); diff != "" {
			t.Errorf("%s %s was refused and did something:\n%s", r.Method, r.Path, diff)
		}
	}
}

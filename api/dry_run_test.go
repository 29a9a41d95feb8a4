package api_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lodge/api"
	"lodge/api/wire"
	"lodge/cloud"
)

// takesDryRun is said here once more, so that a route does not lose it by a slip.
var takesDryRun = []string{
	"POST /v1/instances", "PATCH /v1/instances/{id}", "DELETE /v1/instances/{id}",
	"POST /v1/instances/{id}/start", "POST /v1/instances/{id}/stop", "POST /v1/instances/{id}/reboot",
	"POST /v1/images", "PATCH /v1/images/{id}", "DELETE /v1/images/{id}", "POST /v1/tenants", "DELETE /v1/tenants/{id}",
	"POST /v1/users", "DELETE /v1/users/{user}", "POST /v1/flavors", "DELETE /v1/flavors/{id}",
	"POST /v1/budgets", "PATCH /v1/budgets/{id}", "DELETE /v1/budgets/{id}",
	"POST /v1/webhooks", "PATCH /v1/webhooks/{id}", "DELETE /v1/webhooks/{id}",
	"POST /v1/schedules", "PATCH /v1/schedules/{id}", "DELETE /v1/schedules/{id}",
}

// With dry_run a route gives the verdict that it gives without, and writes
// nothing; on a route that has none it is refused, and nothing is written either.
func TestADryRunOfEveryRouteWritesNothing(t *testing.T) {
	refusing := newGuarded(t) // one house for all that refuse: nothing happens in it
	its := refusing.objects()
	for _, r := range api.Rules() {
		if r.Need == "" {
			continue
		}
		t.Run(r.Method+" "+r.Path, func(t *testing.T) {
			takes := slices.Contains(takesDryRun, r.Method+" "+r.Path)
			g, ids := refusing, its
			if takes {
				g = newGuarded(t)
				ids = g.objects()
			}
			path, body := g.reach(r, ids)
			path = asOperator(path)
			before := g.dump()
			dry := g.as("operator", r.Method, inQuery(path, "dry_run=true"), body)
			if !takes && !strings.Contains(path, "?all=true") {
				// Refused as any other request: that is in the audit log, and nowhere else.
				if diff := cmp.Diff(withoutAudit(before), withoutAudit(g.dump())); diff != "" {
					t.Errorf("it wrote (-before +after):\n%s", diff)
				}
				dry.wantFailure(400, cloud.CodeUnknownField)
				return
			}
			if diff := cmp.Diff(before, g.dump()); diff != "" {
				t.Fatalf("%d, and it wrote (-before +after):\n%s", dry.StatusCode, diff)
			}
			if !takes { // what a change of many would do has an answer of its own
				if got := decoded[wire.BulkResult](dry.want(200)); !got.DryRun {
					t.Errorf("%s", dry.body)
				}
				return
			}
			real := g.as("operator", r.Method, path, body)
			if real.StatusCode >= 300 {
				dry.wantFailure(real.StatusCode, cloud.Code(real.failure().Code))
				return
			}
			got := decoded[wire.DryRun](dry.want(200))
			if !got.DryRun || got.Action == "" || (got.Estimate.Price != nil) != (got.Action == "instance.create" || got.Action == "instance.update") {
				t.Errorf("%s", dry.body)
			}
			if cmp.Equal(before, g.dump()) && !strings.HasSuffix(path, "/start") {
				t.Error("the real request wrote nothing: this test proves nothing")
			}
		})
	}
}

func TestADryRunSaysWhatWouldBe(t *testing.T) {
	h := newHouse(t)
	h.upload("name=debian-12&default=true", "RAW").want(201)
	in := h.create(`{"name":"web1","size":"2 vCPU, 4GB"}`)
	tenant := in.TenantID
	h.do("PATCH", "/v1/tenants/"+tenant+"/quota", `{"limits":{"vcpus":4,"instances":5}}`).want(200)
	ask := func(method, path, body string) wire.DryRun {
		t.Helper()
		a := h.do(method, path+"?dry_run=true", body).want(200)
		if a.Header.Get("Location") != "" || a.Header.Get("Etag") != "" {
			t.Errorf("%s %s: a dry run points to something: %v", method, path, a.Header)
		}
		return decoded[wire.DryRun](a)
	}
	n := func(v int64) *int64 { return &v }

	made := ask("POST", "/v1/instances", `{"name":"web2","size":"2 vCPU, 8GB"}`)
	want := wire.Estimate{VCPUs: 2, MemoryMiB: 8192, DiskGiB: 20, Quota: []wire.QuotaEstimate{
		{Resource: "instances", Before: 1, After: 2, Limit: n(5)}, {Resource: "vcpus", Before: 2, After: 4, Limit: n(4)},
		{Resource: "memory_mib", Before: 4096, After: 12288}, {Resource: "disk_gib", Before: 20, After: 40},
		{Resource: "volumes", Before: 1, After: 2}, {Resource: "ports", Before: 1, After: 2},
	}}
	if made.Estimate.Price == nil || made.Estimate.Price.PerHour != "0" || made.Estimate.Price.Note != "no price" {
		t.Errorf("price %+v", made.Estimate.Price)
	}
	made.Estimate.Price = nil
	if diff := cmp.Diff(want, made.Estimate); diff != "" {
		t.Errorf("create (-want +got):\n%s", diff)
	}
	if made.Action != "instance.create" || made.Instance == nil || made.Instance.Name != "web2" || made.Instance.Image != "debian-12" || len(made.Instance.Addresses) != 1 {
		t.Errorf("create: %+v", made)
	}

	path := "/v1/instances/" + in.ID
	smaller := ask("PATCH", path, `{"vcpus":1}`)
	if smaller.Instance.VCPUs != 1 || smaller.Estimate.VCPUs != -1 || smaller.Estimate.MemoryMiB != 0 || len(smaller.Estimate.Quota) != 1 {
		t.Errorf("resize: %+v", smaller)
	}
	if got := decoded[wire.Instance](h.do("GET", path, "").want(200)); got.VCPUs != 2 || got.Revision != in.Revision {
		t.Errorf("after the dry run: %+v", got)
	}
	if gone := ask("DELETE", path, ""); gone.Instance == nil || gone.Estimate.VCPUs != -2 || gone.Estimate.DiskGiB != -20 {
		t.Errorf("delete: %+v", gone)
	}
	image := ask("POST", "/v1/images", `{"name":"other","url":"https://example.org/i"}`)
	if image.Image == nil || image.Image.State != "queued" || len(image.Estimate.Quota) != 1 || image.Estimate.Quota[0].After != 2 {
		t.Errorf("import: %+v", image)
	}
	// The change that follows is the real one: nothing of the dry run was kept.
	real := decoded[wire.Instance](h.do("PATCH", path, `{"labels":{"a":"b"}}`).want(200))
	if got := decoded[wire.Instance](h.do("GET", path, "").want(200)); got.VCPUs != 2 || got.Labels["a"] != "b" || got.Revision != real.Revision {
		t.Errorf("after the change: %+v", got)
	}
}

func TestADryRunIsRefusedAsTheRequestWouldBe(t *testing.T) {
	h := newHouse(t)
	h.do("POST", "/v1/instances?dry_run=true", `{"name":"a"}`).wantFailure(409, cloud.CodeNoImage)
	h.upload("name=debian-12&default=true", "RAW").want(201)
	in := h.create(`{"name":"web1","size":"c1-m1","protected":true}`)
	h.do("POST", "/v1/instances?dry_run=true", `{"name":"web1"}`).wantFailure(409, cloud.CodeNameTaken)
	h.do("POST", "/v1/instances?dry_run=true", `{"name":"A B"}`).wantFailure(400, cloud.CodeInvalid)
	h.do("POST", "/v1/instances?dry_run=true", `{"name":"b","image":"none"}`).wantFailure(400, cloud.CodeInvalid)
	small := cloud.Host{Meta: cloud.Meta{ID: hostID}, Name: "rack1", VCPUs: 8, MemoryMiB: 8192, VCPURatio: 1, MemoryRatio: 1, StartedAt: h.store.now}
	if err := h.db.RegisterHost(context.Background(), h.store.now, small); err != nil {
		t.Fatal(err)
	}
	h.do("POST", "/v1/instances?dry_run=true", `{"name":"b","vcpus":1,"memory_mib":16384}`).wantFailure(409, cloud.CodeCapacity)
	h.do("DELETE", "/v1/instances/"+in.ID+"?dry_run=true", "").wantFailure(409, cloud.CodeProtected)
	h.do("PATCH", "/v1/instances/"+in.ID+"?dry_run=true", `{"name":"c"}`, "If-Match", `"999"`).wantFailure(412, cloud.CodePrecondition)
	h.do("PATCH", "/v1/tenants/"+in.TenantID+"/quota", `{"limits":{"instances":1}}`).want(200)
	h.do("POST", "/v1/instances?dry_run=true", `{"name":"b"}`).wantFailure(409, cloud.CodeQuota)
	h.do("PATCH", "/v1/tenants/"+in.TenantID+"/quota", `{"limits":{"instances":null}}`).want(200)

	for _, query := range []string{"dry_run=", "dry_run", "dry_run=yes", "dry_run=true&dry_run=true", "dry_run=true&dryrun=true", "dry_run=%zz"} {
		if a := h.do("POST", "/v1/instances?"+query, `{"name":"b"}`); a.StatusCode != 400 {
			t.Errorf("%s: %d %s", query, a.StatusCode, a.body)
		}
	}
	h.upload("name=b&dry_run=true", "RAW").wantFailure(400, cloud.CodeInvalid)

	// The key of a dry run is as good as new for the request itself.
	for _, tt := range []struct{ query, replayed string }{{"?dry_run=true", ""}, {"?dry_run=true", ""}, {"", ""}, {"", "true"}} {
		a := h.do("POST", "/v1/instances"+tt.query, `{"name":"keyed"}`, "Idempotency-Key", "k1")
		if a.StatusCode >= 300 || a.Header.Get("Idempotent-Replayed") != tt.replayed {
			t.Errorf("%+v: %d %v %s", tt, a.StatusCode, a.Header, a.body)
		}
	}
	h.do("POST", "/v1/instances?dry_run=false", `{"name":"real"}`).want(202)
}

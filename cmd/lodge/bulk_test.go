package main

import (
	"strings"
	"testing"

	"lodge/api/wire"
)

func TestListsAreNarrowed(t *testing.T) {
	parts := wire.List[map[string]string]{Items: []map[string]string{{"id": web1ID, "name": "web1"}}, Fields: []string{"id", "name"}}
	runGolden(t, []golden{
		{"list-narrow", "list -l env=prod,tier!=db --name-prefix w --state running --image debian-12 --flavor c2-m4 --sort -name --created-after 2026-11 --created-before 2026-12-01", nil},
		{"list-fields", "list --fields id,name -o json -l env", func(b *bench) { b.on("GET /v1/instances", parts) }},
		{"list-fields-yaml", "--tenant acme image list --fields id,name -o yaml", func(b *bench) { b.on("GET /v1/images", parts) }},
		{"list-fields-table", "list --fields id", nil},
		{"list-label-empty", "list --label=", nil},
		{"tenant-list-label", "tenant list -l plan=gold --sort name", func(b *bench) {
			b.on("GET /v1/tenants", wire.List[wire.Tenant]{Items: []wire.Tenant{{ID: acmeID, Name: "acme", Labels: map[string]string{"plan": "gold"}, CreatedAt: ago(0)}}})
		}},
	})
}

func TestManyAreChangedAtOnce(t *testing.T) {
	two := []wire.BulkItem{{ID: web1ID, Name: "web1"}, {ID: db1ID, Name: "db1"}}
	would := wire.BulkResult{DryRun: true, Matched: 2, Instances: two, Skipped: []wire.BulkSkipped{}}
	did := wire.BulkResult{Matched: 2, Instances: two, Skipped: []wire.BulkSkipped{}}
	refused := wire.BulkResult{Matched: 2, Instances: two[:1], Skipped: []wire.BulkSkipped{{ID: db1ID, Name: "db1", Code: "conflict", Detail: "The instance db1 is protected."}}}
	on := func(route string, answers ...any) func(*bench) {
		return func(b *bench) { b.on(route, answers...) }
	}
	runGolden(t, []golden{
		{"delete-many", "--tenant acme delete -l env=test --yes", on("DELETE /v1/instances", would, did)},
		{"delete-many-json", "delete -l env=test --yes -o json", on("DELETE /v1/instances", would, did)},
		{"delete-many-dry", "delete -l env=test --dry-run", on("DELETE /v1/instances", would)},
		{"delete-many-empty", "delete --label= --yes", nil},
		{"delete-many-none", "delete -l env=test --yes", on("DELETE /v1/instances", wire.BulkResult{DryRun: true})},
		{"delete-many-unasked", "delete -l env=test", on("DELETE /v1/instances", would)},
		{"delete-many-refused", "delete -l env=test --yes", on("DELETE /v1/instances", would, refused)},
		{"delete-many-changed", "delete -l env=test --yes", on("DELETE /v1/instances", would,
			problem{Status: 412, Code: "precondition_failed", Detail: "There are 3 such instances and 2 were expected, so nothing was changed; look at them and say the right number."})},
		{"delete-many-named", "delete web1 -l env=test --yes", nil},
		{"stop-dry-named", "stop web1 --dry-run", nil},
		{"stop-many", "stop -l env=test --force", on("POST /v1/instances/stop", would, did)},
		{"start-many", "start -l env=test", on("POST /v1/instances/start", would, did)},
		{"start-many-wait", "start -l env=test --wait", nil},
	})
}

// More than one request changes are asked for part by part, each only as large as
// the one before said.
func TestManyAreChangedUntilNothingRemains(t *testing.T) {
	b := newBench(t)
	b.on("DELETE /v1/instances",
		wire.BulkResult{DryRun: true, Matched: 3, Instances: []wire.BulkItem{{ID: web1ID, Name: "a"}}, Remaining: 2},
		wire.BulkResult{Matched: 3, Instances: []wire.BulkItem{{ID: web1ID, Name: "a"}}, Remaining: 2},
		wire.BulkResult{Matched: 2, Instances: []wire.BulkItem{{ID: db1ID, Name: "b"}, {ID: netID, Name: "c"}}})
	if code := b.run("delete", "-l", "x", "--yes"); code != exitOK || !strings.Contains(b.out.String(), "a, b, c will be deleted.") {
		t.Fatalf("exit %d: %s%s", code, b.out.String(), b.err.String())
	}
	asked := strings.Join(b.asked, "\n")
	for _, want := range []string{"dry_run=true&label=x", "expect=3&label=x", "expect=2&label=x"} {
		if !strings.Contains(asked, want) {
			t.Errorf("%s was not asked:\n%s", want, asked)
		}
	}
}

package api_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lodge/api"
	"lodge/cloud"
)

// readAt is where an object is read that a route changes, when it is not at the
// same path.
var readAt = map[string]string{"/v1/users/{user}/identity": "/v1/users/{user}"}

// Each route of the file that changes or ends one object takes the tag that the
// object was read with, and does nothing with another one. A route that has no
// sense for it is in the list of those, with the reason.
func TestEveryChangeOfOneObjectCanBeBoundToWhatWasRead(t *testing.T) {
	ops := operations(t)
	for _, name := range slices.Sorted(maps.Keys(ops)) {
		method, path, _ := strings.Cut(name, " ")
		if method != "PATCH" && method != "PUT" && method != "DELETE" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			g := newGuarded(t)
			rule := api.Rule{Method: method, Path: path}
			ids := g.objects()
			target, body := g.reach(rule, ids)
			send := func(tag string) *answer {
				t.Helper()
				header := []string{"Authorization", "Bearer " + g.tokens["operator"]}
				if tag != "" {
					header = append(header, "If-Match", tag)
				}
				return g.do(method, target, body, header...)
			}
			if why := api.Unbound(name); why != "" {
				send(`"1"`).wantFailure(400, cloud.CodeInvalid)
				if said(ops[name], "If-Match") {
					t.Error("the file says that it takes an If-Match")
				}
				return
			}
			if !said(ops[name], "If-Match") || !slices.Contains(ops[name].errors, string(cloud.CodePrecondition)) {
				t.Error("the file does not say that it takes an If-Match and may refuse with precondition_failed")
			}
			at, _ := g.reach(api.Rule{Method: "GET", Path: path}, ids)
			if other := readAt[path]; other != "" {
				at, _ = g.reach(api.Rule{Method: "GET", Path: other}, ids)
			}
			read := func() *answer { t.Helper(); return g.as("operator", "GET", at, "").want(200) }

			before := read()
			tag := before.Header.Get("ETag")
			if tag == "" {
				t.Fatalf("GET %s has no ETag", at)
			}
			rows := withoutAudit(g.dump())
			for _, stale := range []string{`"99"`, `W/` + tag, strings.Trim(tag, `"`), `"*"`, `"1-gzip-gzip", "0"`, tag + " " + tag} {
				send(stale).wantFailure(412, cloud.CodePrecondition)
			}
			if diff := cmp.Diff(rows, withoutAudit(g.dump())); diff != "" {
				t.Errorf("a refused change changed rows:\n%s", diff)
			}
			if method == "PATCH" || method == "PUT" {
				a := send(`"99", W/"1",` + tag)
				newer := a.Header.Get("ETag")
				if a.StatusCode >= 300 || newer == "" || newer == tag || newer != read().Header.Get("ETag") {
					t.Fatalf("%d, tag %s became %s: %s", a.StatusCode, tag, newer, a.body)
				}
				rows = withoutAudit(g.dump())
				send(tag).wantFailure(412, cloud.CodePrecondition)
				if diff := cmp.Diff(rows, withoutAudit(g.dump())); diff != "" {
					t.Errorf("a stale change changed rows:\n%s", diff)
				}
				if a := send("*"); a.StatusCode >= 300 {
					t.Errorf("*: %d %s", a.StatusCode, a.body)
				}
				return
			}
			if a := send(strings.TrimSuffix(tag, `"`) + `-gzip"`); a.StatusCode >= 300 && a.StatusCode != 409 {
				t.Errorf("the tag as it was read: %d %s", a.StatusCode, a.body)
			}
		})
	}
}

// said reports whether the file lists a parameter of a route.
func said(op operation, parameter string) bool {
	for _, p := range op.Parameters {
		if p.Name == parameter {
			return true
		}
	}
	return false
}

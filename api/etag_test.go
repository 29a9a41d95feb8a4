package api_test

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lodge/api/wire"
	"lodge/cloud"
)

func TestAChangeCanBeBoundToWhatWasRead(t *testing.T) {
	h := newHouse(t)
	img := decoded[wire.Image](h.do("POST", "/v1/images?name=debian", "RAW", "Content-Type", "application/octet-stream").want(http.StatusCreated))
	in := h.create(`{"name":"web1"}`)
	for path, change := range map[string]string{"/v1/instances/" + in.ID: `{"name":"web2"}`, "/v1/images/" + img.ID: `{"name":"other"}`} {
		tag := h.do("GET", path, "").want(http.StatusOK).Header.Get("ETag")
		if again := h.do("GET", path, "").Header.Get("ETag"); tag == "" || again != tag {
			t.Fatalf("%s: tags %q, %q", path, tag, again)
		}
		h.do("PATCH", path, change, "If-Match", `"99"`).wantFailure(412, cloud.CodePrecondition)
		h.do("PATCH", path, change, "If-Match", `99`).wantFailure(412, cloud.CodePrecondition)
		h.do("PATCH", path, change, "If-Match", `W/"1"`).wantFailure(412, cloud.CodePrecondition)
		newer := h.do("PATCH", path, change, "If-Match", tag).want(http.StatusOK).Header.Get("ETag")
		if newer == tag || newer != h.do("GET", path, "").Header.Get("ETag") {
			t.Errorf("%s: tag %s became %s", path, tag, newer)
		}
		h.do("DELETE", path, "", "If-Match", tag).wantFailure(412, cloud.CodePrecondition)
	}
	h.do("POST", "/v1/instances/"+in.ID+"/stop", "", "If-Match", `"1"`).wantFailure(412, cloud.CodePrecondition)
	h.do("POST", "/v1/tenants", `{"name":"x"}`, "If-Match", `"1"`).wantFailure(400, cloud.CodeInvalid)
	h.do("POST", "/v1/instances/"+in.ID+"/stop", "", "If-Match", "*").want(http.StatusAccepted)
}

// What is deleted and made again under the same name is another object, though
// its revisions begin anew: a condition on the first must not hold for the second.
func TestATagIsNotThatOfAnotherObjectOfTheSameName(t *testing.T) {
	for path, again := range map[string][3]string{
		"/v1/flavors/c9-m9": {"POST", "/v1/flavors", `{"id":"c9-m9","vcpus":9,"memory_mib":9216,"disk_gib":20}`},
		"/v1/users/bob":     {"POST", "/v1/users", `{"name":"bob"}`},
	} {
		h := newHouse(t)
		h.do(again[0], again[1], again[2]).want(201)
		tag := h.do("GET", path, "").want(200).Header.Get("ETag")
		h.do("DELETE", path, "").want(204)
		h.store.now = h.store.now.Add(time.Millisecond)
		h.do(again[0], again[1], again[2]).want(201)
		h.do("DELETE", path, "", "If-Match", tag).wantFailure(412, cloud.CodePrecondition)
		h.do("DELETE", path, "", "If-Match", "*").want(204)
	}
}

// A membership that ended and began again is another one, and one that is not
// there has no tag at all. Whoever shows a user shows its memberships.
func TestAMembershipIsBoundByItsTag(t *testing.T) {
	g := newGuarded(t)
	user := "/v1/users/ours-viewer"
	path := "/v1/tenants/" + g.tenants["ours"].ID + "/members/ours-viewer"
	put := func(role string, header ...string) *answer {
		return g.do("PUT", path, `{"role":"`+role+`"}`, append(header, "Authorization", "Bearer "+g.tokens["operator"])...)
	}
	read := func(path string) string {
		t.Helper()
		return g.as("operator", "GET", path, "").want(200).Header.Get("ETag")
	}
	first, ofUser := read(path), read(user)
	g.as("operator", "DELETE", path, "").want(204)
	g.as("operator", "GET", path, "").wantFailure(404, cloud.CodeNotFound)
	if read(user) == ofUser {
		t.Error("the user has the tag that it had with another membership")
	}
	put("member", "If-Match", first).wantFailure(412, cloud.CodePrecondition)
	put("member", "If-Match", "*").wantFailure(412, cloud.CodePrecondition)
	g.as("operator", "GET", path, "").wantFailure(404, cloud.CodeNotFound)
	g.store.now = g.store.now.Add(time.Millisecond)
	ofUser = read(user)
	second := put("viewer").want(200).Header.Get("ETag")
	if second == first || second != read(path) || read(user) == ofUser {
		t.Errorf("tags %s, then %s; of the user %s", first, second, ofUser)
	}
	put("admin", "If-Match", first).wantFailure(412, cloud.CodePrecondition)
	ofUser = read(user)
	put("admin", "If-Match", second).want(200)
	if read(user) == ofUser {
		t.Error("the user has the tag that it had with another role")
	}
}

// A token is shown to whom the list shows it, and never with its secret.
func TestATokenIsShownAsTheListShowsIt(t *testing.T) {
	g := newGuarded(t)
	made := g.as("ours member", "POST", "/v1/tokens", `{"name":"mine"}`).want(201)
	mine := decoded[wire.Token](made)
	at := made.Header.Get("Location")
	for _, actor := range []string{"ours member", "ours admin", "operator"} {
		got := decoded[wire.Token](g.as(actor, "GET", at, "").want(200))
		listed := decoded[wire.List[wire.Token]](g.as(actor, "GET", "/v1/tokens?name=mine", "").want(200))
		if len(listed.Items) != 1 || got != listed.Items[0] || got.Secret != "" || got.ID != mine.ID {
			t.Errorf("%s sees %+v, and in the list %+v", actor, got, listed.Items)
		}
	}
	for _, actor := range []string{"ours viewer", "theirs admin"} {
		g.as(actor, "GET", at, "").wantFailure(404, cloud.CodeNotFound)
	}
	g.as("ours member", "DELETE", at, "").want(204)
	g.as("ours member", "GET", at, "").wantFailure(404, cloud.CodeNotFound)
	over := g.as("ours member", "POST", "/v1/tokens", `{"name":"short","expires_in":"1h"}`).want(201).Header.Get("Location")
	g.as("operator", "GET", over, "").want(200)
	g.store.now = g.store.now.Add(time.Hour)
	g.as("operator", "GET", over, "").wantFailure(404, cloud.CodeNotFound)
}

// Of many changes at once that are bound to the same version, one is made.
func TestOfManyChangesBoundToOneVersionOneIsMade(t *testing.T) {
	g := newGuarded(t)
	for path, body := range map[string]string{
		"/v1/tenants/" + g.tenants["ours"].ID:            `{"labels":{"by":"%d"}}`,
		"/v1/tenants/" + g.tenants["ours"].ID + "/quota": `{"limits":{"instances":%d}}`,
	} {
		tag := g.as("operator", "GET", path, "").want(200).Header.Get("ETag")
		var made atomic.Int32
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				a := g.do("PATCH", path, fmt.Sprintf(body, 1000+i), "Authorization", "Bearer "+g.tokens["operator"], "If-Match", tag)
				if a.StatusCode == 200 {
					made.Add(1)
				} else if a.StatusCode != 412 {
					t.Errorf("%d %s", a.StatusCode, a.body)
				}
			})
		}
		all.Wait()
		if made.Load() != 1 {
			t.Errorf("%s: %d changes were made", path, made.Load())
		}
	}
}

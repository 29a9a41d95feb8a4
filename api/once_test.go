package api_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"lodge/cloud"
)

func TestARequestWithAKeyDoesOnceWhatItAsksFor(t *testing.T) {
	g := newGuarded(t)
	g.objects()
	send := func(actor, key, path, body string) *answer {
		return g.do("POST", path, body, "Authorization", "Bearer "+g.tokens[actor], "Idempotency-Key", key)
	}
	first := send("ours member", "k1", "/v1/instances", `{"name":"web1"}`).want(http.StatusAccepted)
	again := send("ours member", "k1", "/v1/instances", `{"name":"web1"}`).want(http.StatusAccepted)
	if string(first.body) != string(again.body) || again.Header.Get("Idempotent-Replayed") != "true" || first.Header.Get("Idempotent-Replayed") != "" ||
		first.Header.Get("Location") != again.Header.Get("Location") || again.Header.Get("Location") == "" {
		t.Errorf("first %v %s\nagain %v %s", first.Header, first.body, again.Header, again.body)
	}
	send("ours member", "k1", "/v1/instances", `{"name":"web2"}`).wantFailure(422, cloud.CodeKeyReused)
	send("ours member", "k1", "/v1/images", `{"name":"i","url":"https://example.org/i"}`).wantFailure(422, cloud.CodeKeyReused)

	// Another user may have the same key, and one that failed is free.
	send("ours admin", "k1", "/v1/instances", `{"name":"web3"}`).want(http.StatusAccepted)
	send("ours member", "k2", "/v1/instances", `{"name":"web1"}`).wantFailure(409, cloud.CodeNameTaken)
	send("ours member", "k2", "/v1/instances", `{"name":"web4"}`).want(http.StatusAccepted)

	for _, key := range []string{"", " ", "a b", "\u00e4", string(make([]byte, 300))} {
		if a := send("ours member", key, "/v1/instances", `{"name":"web5"}`); a.StatusCode != 400 {
			t.Errorf("key %q: %d %s", key, a.StatusCode, a.body)
		}
	}
	send("ours member", "k3", "/v1/tokens", `{"name":"t"}`).wantFailure(400, cloud.CodeInvalid)
}

func TestEveryKeptAnswerIsThatOfItsHandler(t *testing.T) {
	g := newGuarded(t)
	ids := g.objects()
	for path, body := range map[string]string{
		"/v1/instances": `{"name":"new"}`, "/v1/images": `{"name":"new","url":"https://example.org/i"}`, "/v1/tenants": `{"name":"new"}`,
		"/v1/flavors": `{"id":"c9-m9","vcpus":9,"memory_mib":9216,"disk_gib":20}`, "/v1/users": `{"name":"new"}`,
		"/v1/instances/" + ids["instances"] + "/stop": `{}`, "/v1/instances/" + ids["instances"] + "/start": ``,
	} {
		send := func() *answer {
			return g.do("POST", path, body, "Authorization", "Bearer "+g.tokens["operator"], "Idempotency-Key", strings.ReplaceAll(path, "/", "-"))
		}
		first, again := send(), send()
		if first.StatusCode >= 300 || again.Header.Get("Idempotent-Replayed") != "true" ||
			first.StatusCode != again.StatusCode || string(first.body) != string(again.body) || first.Header.Get("Location") != again.Header.Get("Location") {
			t.Errorf("%s: first %d %v %s\nagain %d %v %s", path, first.StatusCode, first.Header, first.body, again.StatusCode, again.Header, again.body)
		}
	}
}

func TestManyAtOnceWithOneKeyMakeOneInstance(t *testing.T) {
	g := newGuarded(t)
	g.objects()
	var fresh, replayed atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			a := g.do("POST", "/v1/instances", `{"name":"web1"}`, "Authorization", "Bearer "+g.tokens["ours member"], "Idempotency-Key", "one")
			switch {
			case a.StatusCode != http.StatusAccepted:
				t.Errorf("%d %s", a.StatusCode, a.body)
			case a.Header.Get("Idempotent-Replayed") == "true":
				replayed.Add(1)
			default:
				fresh.Add(1)
			}
		})
	}
	wg.Wait()
	if fresh.Load() != 1 || replayed.Load() != 49 {
		t.Errorf("%d made, %d replayed", fresh.Load(), replayed.Load())
	}
}

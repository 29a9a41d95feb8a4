package api_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"lodge/api"
	"lodge/api/wire"
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
}

// Every route that makes or does something by POST takes a key, says the same
// again, and does nothing again.
func TestEveryPostIsDoneOnceWithAKey(t *testing.T) {
	for _, r := range api.Rules() {
		if r.Method != http.MethodPost || api.NotOnce(r.Path) {
			continue
		}
		t.Run(r.Path, func(t *testing.T) {
			g := newGuarded(t)
			path, body := g.reach(r, g.objects())
			path = asOperator(path)
			if strings.HasPrefix(r.Path, "/v1/instances") && strings.HasSuffix(r.Path, "/start") {
				g.as("operator", "POST", strings.Replace(path, "/start", "/stop", 1), "").want(202)
			}
			send := func(key, body string) *answer {
				return g.do("POST", path, body, "Authorization", "Bearer "+g.tokens["operator"], "Idempotency-Key", key)
			}
			key := uuid.NewString()
			first := send(key, body)
			before := g.dump()
			again := send(key, body)
			if first.StatusCode >= 300 || again.Header.Get("Idempotent-Replayed") != "true" || first.Header.Get("Idempotent-Replayed") != "" ||
				first.StatusCode != again.StatusCode || string(first.body) != string(again.body) || first.Header.Get("Location") != again.Header.Get("Location") || first.Header.Get("ETag") != again.Header.Get("ETag") ||
				first.Header.Get("Operation-Location") != again.Header.Get("Operation-Location") {
				t.Errorf("first %d %v %s\nagain %d %v %s", first.StatusCode, first.Header, first.body, again.StatusCode, again.Header, again.body)
			}
			if diff := cmp.Diff(before, g.dump()); diff != "" {
				t.Errorf("the second did something (-before +after):\n%s", diff)
			}
			if body != "" {
				other := send(key, strings.Replace(body, "{", "{ ", 1))
				if r.Path == "/v1/sessions" {
					other.want(422)
				} else {
					other.wantFailure(422, cloud.CodeKeyReused)
				}
			}
			for _, secret := range []string{g.tokens["operator"], key, goodPassword} {
				if strings.Contains(g.dump(), secret) {
					t.Errorf("the database has %q", secret)
				}
			}
			for _, word := range []string{"secret", "token"} {
				var got map[string]any
				if json.Unmarshal(first.body, &got) == nil && got[word] != nil && strings.Contains(g.dump(), got[word].(string)) {
					t.Errorf("the database has the %s of the answer", word)
				}
			}
		})
	}
}

// A key of a route with secrets seals what is kept, so it must be no word.
func TestAKeyThatCouldBeGuessedGuardsNoSecret(t *testing.T) {
	g := newGuarded(t)
	for path, body := range map[string]string{
		"/v1/tokens": `{"name":"t","role":"viewer","tenant":"ours"}`, "/v1/users": `{"name":"u"}`,
		"/v1/sessions": `{"user":"ours-viewer","password":"` + goodPassword + `"}`,
	} {
		got := g.do("POST", path, body, "Authorization", "Bearer "+g.tokens["operator"], "Idempotency-Key", "k1").wantFailure(400, cloud.CodeInvalid)
		if !strings.Contains(got.Detail, "32 random characters") {
			t.Errorf("%s: %s", path, got.Detail)
		}
	}
}

// The token that a replay gives works: it is the one that was made.
func TestTheTokenOfAReplayIsGood(t *testing.T) {
	g := newGuarded(t)
	for path, body := range map[string]string{
		"/v1/tokens": `{"name":"t"}`, "/v1/sessions": `{"user":"ours-admin","password":"` + goodPassword + `"}`,
	} {
		key := uuid.NewString()
		var last string
		for range 2 {
			a := g.do("POST", path, body, "Authorization", "Bearer "+g.tokens["ours admin"], "Idempotency-Key", key).want(201)
			if path == "/v1/tokens" {
				last = decoded[wire.Token](a).Secret
			} else {
				last = decoded[wire.Session](a).Token
			}
		}
		g.tokens["new"] = last
		g.as("new", "GET", "/v1/whoami", "").want(200)
	}
	// Who does not know the password gets nothing for the key.
	key := uuid.NewString()
	g.do("POST", "/v1/sessions", `{"user":"ours-admin","password":"`+goodPassword+`"}`, "Idempotency-Key", key).want(201)
	g.do("POST", "/v1/sessions", `{"user":"ours-admin","password":"a wrong guess of it"}`, "Idempotency-Key", key).wantFailure(401, cloud.CodeUnauthorized)
}

func TestAnUploadIsDoneOnceWithAKey(t *testing.T) {
	g := newGuarded(t)
	bytes := strings.Repeat("RAW", 1000)
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(bytes)))
	send := func(query string, body io.Reader) *answer {
		req := httptest.NewRequest("POST", "/v1/images?tenant=ours&name=big"+query, body)
		req.Header.Set("Content-Type", "application/octet-stream")
		req.Header.Set("Idempotency-Key", "k1")
		req.Header.Set("Authorization", "Bearer "+g.tokens["ours member"])
		return g.send(req)
	}
	if got := send("", strings.NewReader(bytes)).wantFailure(400, cloud.CodeInvalid); got.Errors[0].Field != "sha256" {
		t.Errorf("%+v", got)
	}

	// While the bytes arrive, the second is told to wait; when they fail, the key
	// is free again.
	arriving, arrive := io.Pipe()
	began := make(chan struct{})
	g.store.sink = func(img cloud.Image, r io.Reader, progress func(int64)) (cloud.ImageInfo, error) {
		close(began)
		return takeAll(img, r, progress)
	}
	failed := make(chan int)
	go func() { failed <- send("&sha256="+sum, arriving).StatusCode }()
	<-began
	g.store.sink = takeAll
	send("&sha256="+sum, strings.NewReader(bytes)).wantFailure(409, cloud.CodeConflict)
	_ = arrive.CloseWithError(io.ErrUnexpectedEOF)
	if status := <-failed; status != 422 {
		t.Errorf("the upload that broke off: %d", status)
	}

	first := send("&sha256="+sum, strings.NewReader(bytes)).want(201)
	body := &endless{}
	again := send("&sha256="+sum, body).want(201)
	if again.Header.Get("Idempotent-Replayed") != "true" || string(first.body) != string(again.body) || first.Header.Get("Location") != again.Header.Get("Location") {
		t.Errorf("first %v %s\nagain %v %s", first.Header, first.body, again.Header, again.body)
	}
	if body.read > 0 {
		t.Errorf("%d bytes of the second were read", body.read)
	}
	if decoded[wire.Image](first).State != "active" {
		t.Errorf("%s", first.body)
	}
	send("&public=false&sha256="+sum, strings.NewReader(bytes)).wantFailure(422, cloud.CodeKeyReused)
}

// A replay is answered over a real connection too, though nobody reads the body.
func TestTheReplayOfAnUploadReachesTheClient(t *testing.T) {
	g := newGuarded(t)
	srv := httptest.NewServer(g)
	defer srv.Close()
	bytes := strings.Repeat("RAW!", 2<<20)
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(bytes)))
	for i := range 2 {
		req, err := http.NewRequest("POST", srv.URL+"/v1/images?name=big&sha256="+sum, strings.NewReader(bytes))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/octet-stream")
		req.Header.Set("Idempotency-Key", "k1")
		req.Header.Set("Authorization", "Bearer "+g.tokens["ours member"])
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 201 || (resp.Header.Get("Idempotent-Replayed") == "true") != (i == 1) {
			t.Errorf("%d: %d %v", i, resp.StatusCode, resp.Header)
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

package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"lodge/api"
	"lodge/api/wire"
	"lodge/cloud"
)

// bodies are what routes read, all of them.
var bodies = []any{
	wire.CreateInstance{}, wire.UpdateInstance{}, wire.PowerRequest{}, wire.ImportImage{}, wire.UpdateImage{}, wire.CreateFlavor{},
	wire.CreateTenant{}, wire.CreateUser{}, wire.SetPassword{}, wire.SetMember{}, wire.CreateToken{}, wire.Login{}, wire.SetQuotas{},
}

// Whatever the body, each route's type takes it whole or refuses it with one of
// two codes; what is taken is JSON, and is taken again as it is written.
func FuzzDecodeEveryBody(f *testing.F) {
	for _, whole := range fullBodies {
		f.Add([]byte(whole))
	}
	for _, seed := range []string{`{"labels":{"a":null}}`, `{"expires_at":"2026-01-01T00:00:00Z"}`, `{"expires_at":"x"}`, `{"limits":{"x":null}}`, `{"limits":{"instances":1e99}}`, `[[[[`, "{\"a\":\"\xff\"}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, b := range bodies {
			got := reflect.New(reflect.TypeOf(b)).Interface()
			if err := api.DecodeBytes(body, got); err != nil {
				if c := cloud.CodeOf(err); c != cloud.CodeMalformed && c != cloud.CodeUnknownField {
					t.Fatalf("%T: code %q: %v", b, c, err)
				}
				if m := cloud.MessageOf(err); !utf8.ValidString(m) {
					t.Fatalf("%T: %q", b, m)
				}
				continue
			}
			if !json.Valid(body) {
				t.Fatalf("%T takes what is no JSON", b)
			}
			again, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			next := reflect.New(reflect.TypeOf(b)).Interface()
			if err := json.Unmarshal(again, next); err != nil || !reflect.DeepEqual(got, next) {
				t.Fatalf("%T: %s: %v", b, again, err)
			}
		}
	})
}

// Whatever is sent to a route, it answers with no defect, in text, and as JSON
// wherever it refuses.
func FuzzEveryRoute(f *testing.F) {
	h := newHouse(f)
	rules := api.Rules()
	for i, r := range rules {
		f.Add(uint8(i), nobodysID, "", []byte(fullBodies[r.Method+" "+r.Path]), `"1"`, "key")
	}
	f.Add(uint8(0), "..", "tenant=default&limit=1&cursor=x", []byte(nil), "*", "")
	f.Add(uint8(1), "\x00", "name=%00&state=running&%zz", []byte(`{}`), `W/"1"`, `"a b"`)
	f.Add(uint8(2), "a/b", "after=-1&from=2026-01-01T00:00:00Z&to=x&tail_bytes=9", []byte(`{"name":"a"}`), `"1-gzip"`, "\x7f")
	f.Fuzz(func(t *testing.T, n uint8, id, query string, body []byte, match, key string) {
		r := rules[int(n)%len(rules)]
		req := httptest.NewRequest(r.Method, "/", bytes.NewReader(body))
		req.URL = &url.URL{Path: strings.NewReplacer("{id}", id, "{user}", id).Replace(r.Path), RawQuery: query}
		req.Header = http.Header{"Content-Type": {"application/json"}, "If-Match": {match}, "Idempotency-Key": {key}, "Accept-Encoding": {match}}
		// A stream of events has no end of its own.
		ctx, cancel := context.WithTimeout(req.Context(), 50*time.Millisecond)
		defer cancel()
		if r.Path == "/v1/events/stream" {
			req = req.WithContext(ctx)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		if rec.Code >= 500 && r.Path != "/readyz" || rec.Code >= 300 && rec.Code < 400 || rec.Code < 200 {
			t.Fatalf("%s %s: %d %s", r.Method, req.URL, rec.Code, rec.Body)
		}
		if rec.Code >= 400 && (!json.Valid(rec.Body.Bytes()) || !utf8.Valid(rec.Body.Bytes())) {
			t.Fatalf("%s %s: %d %q", r.Method, req.URL, rec.Code, rec.Body)
		}
	})
}

// Whatever stands in the query and the head of an upload, it is refused or taken
// without a defect, and a refused one leaves nothing.
func FuzzUpload(f *testing.F) {
	f.Add("name=a&sha256=x&firmware=uefi&user=debian&public=true&default=1", "application/octet-stream", []byte("RAW"))
	f.Add("name=%00&tenant=x", "application/octet-stream; a=b", []byte(""))
	f.Add("", "text/plain", []byte("x"))
	f.Fuzz(func(t *testing.T, query, media string, body []byte) {
		front := newFront(t)
		front.store.sink = takeAll
		before := len(front.store.images)
		req := httptest.NewRequest("POST", "/v1/images", bytes.NewReader(body))
		req.URL.RawQuery, req.Header = query, http.Header{"Content-Type": {media}}
		rec := httptest.NewRecorder()
		front.ServeHTTP(rec, req)
		if rec.Code >= 500 {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		if after := len(front.store.images); rec.Code >= 400 && after != before {
			t.Fatalf("%d %s, and there are %d images", rec.Code, rec.Body, after)
		}
	})
}

// An origin that is taken is one that a browser could write.
func FuzzCheckOrigin(f *testing.F) {
	for _, s := range []string{"https://ui.example", "http://localhost:3000", "http://[::1]", "*", "null", "https://a@b", "https://a/b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if api.CheckOrigin(s) != nil {
			return
		}
		if u, err := url.Parse(s); err != nil || u.Scheme+"://"+u.Host != s || strings.ContainsAny(s, "* ,\r\n\x00") || strings.ToLower(s) != s {
			t.Errorf("%q", s)
		}
	})
}

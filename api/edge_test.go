package api_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lodge/api"
	"lodge/auth"
	"lodge/cloud"
)

// unzip is the answer as it was before it was compressed.
func unzip(t *testing.T, b []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func raw(h http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec
}

func TestAnswersAreCompressedForWhoAsks(t *testing.T) {
	f := newFront(t)
	instance := "/v1/instances/" + f.store.fill(20)[0]
	f.store.console = bytes.Repeat([]byte("a line of the console\r\n"), 200)
	for _, c := range []struct {
		name, path, accept string
		zipped             bool
	}{
		{"a list", "/v1/instances", "gzip", true},
		{"a list, as browsers ask", "/v1/instances", "gzip, deflate, br, zstd", true},
		{"the file", "/v1/openapi.yaml", "gzip", true},
		{"nobody asks", "/v1/instances", "", false},
		{"another coding", "/v1/instances", "br", false},
		{"not gzip", "/v1/instances", "gzip;q=0, identity", false},
		{"something short", "/v1/version", "gzip", false},
		{"a failure", "/v1/instances/x", "gzip", false},
		{"a console", instance + "/console-log", "gzip", false},
	} {
		plain := raw(f, "GET", c.path)
		a := raw(f, "GET", c.path, "Accept-Encoding", c.accept)
		if a.Header().Get("Vary") != "Accept-Encoding" || plain.Header().Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: Vary %q and %q", c.name, a.Header()["Vary"], plain.Header()["Vary"])
		}
		body := a.Body.Bytes()
		if zipped := a.Header().Get("Content-Encoding") == "gzip"; zipped != c.zipped {
			t.Errorf("%s: Content-Encoding %q", c.name, a.Header().Get("Content-Encoding"))
		} else if zipped {
			if len(body) >= plain.Body.Len() || a.Header().Get("Content-Length") != "" {
				t.Errorf("%s: %d of %d bytes, length %q", c.name, len(body), plain.Body.Len(), a.Header().Get("Content-Length"))
			}
			body = unzip(t, body)
		}
		if c.path != "/v1/instances/x" && !bytes.Equal(body, plain.Body.Bytes()) { // a failure has the request's id
			t.Errorf("%s: other bytes", c.name)
		}
	}
}

// The bytes of a compressed answer are others, so its strong tag is another one;
// both name the same revision.
func TestTheTagOfACompressedAnswerIsGoodForIfMatch(t *testing.T) {
	f := newFront(t)
	id := f.store.fill(1)[0]
	labels := strings.Repeat(`"k%d":"`+strings.Repeat("v", 60)+`",`, 1)
	var b strings.Builder
	for i := range 30 {
		fmt.Fprintf(&b, labels, i)
	}
	f.do("PATCH", "/v1/instances/"+id, `{"labels":{`+strings.TrimSuffix(b.String(), ",")+`}}`).want(200)
	plain := raw(f, "GET", "/v1/instances/"+id).Header().Get("ETag")
	a := raw(f, "GET", "/v1/instances/"+id, "Accept-Encoding", "gzip")
	zipped := a.Header().Get("ETag")
	if a.Header().Get("Content-Encoding") != "gzip" || zipped != strings.TrimSuffix(plain, `"`)+`-gzip"` {
		t.Fatalf("tags %s and %s", plain, zipped)
	}
	f.do("PATCH", "/v1/instances/"+id, `{"labels":{"a":"b"}}`, "If-Match", zipped).want(200)
	for _, bad := range []string{"W/" + zipped, `"-gzip"`, `"1-gzip-gzip"`, `1-gzip`, `"+1"`, `"01"`, `""`, `"`} {
		f.do("PATCH", "/v1/instances/"+id, `{"labels":{"a":"c"}}`, "If-Match", bad).wantFailure(412, cloud.CodePrecondition)
	}
}

// A connection that is cut in mid-answer must not look like a whole answer because
// the compressor closed its stream.
func TestACompressedAnswerThatBreaksOffIsNotWhole(t *testing.T) {
	h := api.Compressed(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(bytes.Repeat([]byte("half"), 10_000))
		panic(http.ErrAbortHandler)
	}))
	srv := httptest.NewServer(h)
	defer srv.Close()
	resp, err := srv.Client().Get(srv.URL) // Go's client asks for gzip
	if err != nil {
		return // cut before the header: not whole either
	}
	defer resp.Body.Close()
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("half an answer looks whole")
	}
}

func corsHeader(h http.Header) (out []string) {
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			out = append(out, name)
		}
	}
	return out
}

var preflight = []string{"Origin", "https://ui.example", "Access-Control-Request-Method", "PATCH", "Access-Control-Request-Headers", "authorization"}

func TestNoPageReadsAnswersByDefault(t *testing.T) {
	f := newFront(t)
	for _, path := range []string{"/v1/instances", "/v1/version", "/v1/sessions", "/nothing"} {
		for _, method := range []string{"GET", "OPTIONS", "POST"} {
			a := raw(f, method, path, preflight...)
			if got := corsHeader(a.Header()); len(got) > 0 {
				t.Errorf("%s %s: %v", method, path, got)
			}
			if method == "OPTIONS" && a.Code != 405 && a.Code != 404 {
				t.Errorf("OPTIONS %s: %d", path, a.Code)
			}
		}
	}
}

func TestOnlyPagesOfTheListReadAnswers(t *testing.T) {
	f := newFront(t, func(o *api.Options) { o.Origins = []string{"https://ui.example", "http://localhost:3000"} })
	for origin, may := range map[string]bool{
		"https://ui.example": true, "http://localhost:3000": true,
		"https://ui.example.evil": false, "https://evil-ui.example": false, "http://ui.example": false, "https://ui.example:8443": false,
		"null": false, "*": false, "https://UI.example": false, "https://x.ui.example": false, "": false,
	} {
		for _, method := range []string{"GET", "OPTIONS"} {
			h := append([]string{}, preflight...)
			h[1] = origin
			a := raw(f, method, "/v1/instances", h...)
			got := a.Header().Get("Access-Control-Allow-Origin")
			if may && got != origin || !may && len(corsHeader(a.Header())) > 0 {
				t.Errorf("%s from %q: %v", method, origin, a.Header())
			}
			if a.Header().Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s from %q: credentials", method, origin)
			}
			if !strings.Contains(strings.Join(a.Header()["Vary"], ","), "Origin") {
				t.Errorf("%s from %q: Vary %v", method, origin, a.Header()["Vary"])
			}
		}
	}
	a := raw(f, "GET", "/v1/instances", "Origin", "https://ui.example")
	for _, name := range []string{"ETag", "Location", "Operation-Location", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Retry-After", "Idempotent-Replayed", "X-Request-Id"} {
		if !strings.Contains(strings.ToLower(a.Header().Get("Access-Control-Expose-Headers")), strings.ToLower(name)) {
			t.Errorf("%s is not shown to pages: %v", name, a.Header())
		}
	}
	for _, name := range []string{"authorization", "if-match", "idempotency-key", "content-type"} {
		h := append([]string{}, preflight...)
		h[5] = name
		if a := raw(f, "OPTIONS", "/v1/instances", h...); a.Code != 204 || a.Header().Get("Access-Control-Allow-Methods") != "PATCH" || a.Header().Get("X-Request-Id") == "" {
			t.Errorf("%s: %d %v", name, a.Code, a.Header())
		}
	}
}

func TestOriginsAreWrittenAsBrowsersDo(t *testing.T) {
	for origin, ok := range map[string]bool{
		"https://ui.example": true, "https://ui.example:8443": true, "http://localhost:3000": true, "http://127.0.0.1": true, "http://[::1]:1": true,
		"*": false, "null": false, "": false, "https://": false, "https://*.example": false, "https://ui.example/": false, "https://ui.example:443": false,
		"http://ui.example": false, "https://user@ui.example": false, "ui.example": false, "https://UI.example": false, "ftp://ui.example": false,
		"https://ui.example?x": false, "https://ui.example#x": false, "http://localhost:80": false, "https://a, https://b": false, "https://:1": false,
	} {
		if err := api.CheckOrigin(origin); (err == nil) != ok {
			t.Errorf("%q: %v", origin, err)
		}
	}
}

func TestEveryAnswerOfALimitedCallerSaysWhatIsLeft(t *testing.T) {
	f := newFront(t, func(o *api.Options) { o.Rates = auth.NewRates(1, 5) })
	f.caller = cloud.Caller{UserID: "u", TenantID: defaultTenant, Role: cloud.RoleViewer, Via: "token"}
	for i, c := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/v1/instances", "", 200},
		{"GET", "/v1/instances/x", "", 404},
		{"POST", "/v1/instances", `{"name":"a"}`, 403},
		{"GET", "/v1/instances?x=1", "", 400},
		{"GET", "/v1/instances", "", 200},
	} {
		a := f.do(c.method, c.path, c.body).want(c.status)
		h := a.Header
		if h.Get("RateLimit-Limit") != "5" || h.Get("RateLimit-Remaining") != fmt.Sprint(4-i) || h.Get("RateLimit-Reset") != fmt.Sprint(i+1) {
			t.Errorf("request %d: %v", i, h)
		}
	}
	for range 3 {
		a := f.do("GET", "/v1/instances", "")
		a.wantFailure(429, cloud.CodeRateLimited)
		if h := a.Header; h.Get("Retry-After") != "1" || h.Get("RateLimit-Remaining") != "0" || h.Get("RateLimit-Reset") != "5" {
			t.Errorf("refused: %v", h)
		}
	}
	f.store.now = f.store.now.Add(time.Second)
	f.do("GET", "/v1/instances", "").want(200)
	f.caller.UserID = "v"
	f.do("GET", "/v1/instances", "").want(200)
	f.caller = operator // by the socket
	for range 20 {
		req := httptest.NewRequest("GET", "/v1/instances", nil)
		req.RemoteAddr = "@"
		a := f.send(req).want(200)
		if a.Header.Get("RateLimit-Limit") != "" {
			t.Fatalf("the socket is limited: %v", a.Header)
		}
	}
}

func TestStrangersAreLimitedByAddress(t *testing.T) {
	f := newFront(t, func(o *api.Options) { o.Rates = auth.NewRates(1, 3) })
	bad := cloud.Errorf(cloud.CodeUnauthorized, "The request has no token.")
	f.door = func(r *http.Request) (cloud.Caller, error) {
		if r.Header.Get("Authorization") == "" {
			return cloud.Caller{}, bad
		}
		return cloud.Caller{UserID: "u", TenantID: defaultTenant, Role: cloud.RoleViewer, Via: "token"}, nil
	}
	from := func(addr, path string, header ...string) *answer {
		req := httptest.NewRequest("GET", path, nil)
		req.RemoteAddr = addr
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		return f.send(req)
	}
	from("192.0.2.1:1", "/v1/instances").want(401)
	from("192.0.2.1:2", "/v1/version").want(200)
	from("192.0.2.1:3", "/v1/nothing").want(404)
	from("192.0.2.1:4", "/v1/instances").wantFailure(429, cloud.CodeRateLimited)
	from("192.0.2.1:5", "/v1/version").wantFailure(429, cloud.CodeRateLimited)
	from("192.0.2.1:6", "/v1/instances", "X-Forwarded-For", "192.0.2.77").wantFailure(429, cloud.CodeRateLimited)
	from("192.0.2.2:1", "/v1/instances").want(401)
	from("192.0.2.1:7", "/v1/instances", "Authorization", "Bearer x").want(200) // a good token behind the same address goes on
	f.door = func(*http.Request) (cloud.Caller, error) {
		return cloud.Caller{}, &cloud.Error{Code: cloud.CodeLockedOut, Message: "Too many logins have failed.", RetryAfter: time.Minute}
	}
	from("192.0.2.1:8", "/v1/instances").wantFailure(429, cloud.CodeLockedOut)
}

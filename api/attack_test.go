package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"lodge/api"
	"lodge/api/wire"
	"lodge/cloud"
)

// unchecked sends a request as an actor, without a look at openapi.yaml: what is
// sent here is in no file.
func (g *guarded) unchecked(actor, method, target, body string) *httptest.ResponseRecorder {
	g.t.Helper()
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token := g.tokens[actor]; token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	rec := httptest.NewRecorder()
	g.ServeHTTP(rec, req)
	return rec
}

func failureOf(t *testing.T, rec *httptest.ResponseRecorder) (f wire.Failure) {
	t.Helper()
	if err := json.Unmarshal(rec.Body.Bytes(), &f); err != nil {
		t.Fatalf("%d %s: %v", rec.Code, rec.Body, err)
	}
	return f
}

// oddIDs are what stands in a path in place of an id.
var oddIDs = []string{
	"x", "-", ".", "..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%2f", "%5c..%5c", "%00", "a%00b", "%0d%0aX-Evil:%201", "%20", "+", "*", "%25", "%252e%252e",
	"%c3%bc", "%ff%fe", "%e2%80%ae", "%f0%9f%92%a9", "'%20OR%201=1--", "%22%3E%3Cx/%3E", "1", "0", "-1", "null", "undefined", "{id}",
	"00000000-0000-4000-8000-00000000000g", "00000000-0000-4000-8000-0000000000001", "00000000_0000_4000_8000_000000000001",
	"%7b00000000-0000-4000-8000-000000000001%7d", "000000000000400080000000000000001", strings.Repeat("a", 5000), nobodysID,
}

// An id that is none is like one that nobody has, on every route: 404, whatever
// else is right or wrong about the request, and nothing is changed.
func TestWhatIsNoIDIsNotFoundOnEveryRoute(t *testing.T) {
	g := newGuarded(t)
	ids := g.objects()
	for _, r := range api.Rules() {
		if !strings.Contains(r.Path, "{") {
			continue
		}
		good, body := g.reach(r, ids)
		for _, odd := range oddIDs {
			targets := []string{strings.NewReplacer("{id}", odd, "{user}", odd).Replace(r.Path)}
			if strings.Contains(r.Path, "{id}") && strings.Contains(r.Path, "{user}") {
				targets = append(targets, strings.NewReplacer("{id}", ids["tenants"], "{user}", odd).Replace(r.Path), strings.NewReplacer("{id}", odd, "{user}", "ours-viewer").Replace(r.Path))
			}
			for _, target := range targets {
				rec := g.unchecked("operator", r.Method, target, body)
				if f := failureOf(t, rec); rec.Code != 404 || f.Code != string(cloud.CodeNotFound) {
					t.Errorf("%s %s: %d %s", r.Method, cutText(target), rec.Code, rec.Body)
				}
				if !utf8.Valid(rec.Body.Bytes()) || rec.Header().Get("X-Evil") != "" || rec.Body.Len() > 1000 {
					t.Errorf("%s %s: %q", r.Method, cutText(target), rec.Body)
				}
			}
		}
		if r.Method == "GET" {
			g.as("operator", "GET", good, "").want(200)
		}
	}
}

func cutText(s string) string { return s[:min(len(s), 120)] }

// A path is taken as it is written: neither cleaned nor redirected.
func TestPathsAreNotCleaned(t *testing.T) {
	g := newGuarded(t)
	for _, target := range []string{
		"/v1/../v1/hosts", "/v1//hosts", "//v1/hosts", "/./v1/hosts", "/v1/hosts/", "/v1/hosts/.", "/v1/%2e%2e/v1/hosts", "/v1%2fhosts/x", "/V1/hosts", "/v1/hosts%00", "/v1/hosts;a=b",
	} {
		rec := g.unchecked("operator", "GET", target, "")
		if rec.Code != 404 || rec.Header().Get("Location") != "" {
			t.Errorf("%s: %d %v", target, rec.Code, rec.Header())
		}
	}
}

// nasty are what breaks out of SQL, XML, HTML, shells, paths, formats and lines.
var nasty = []string{
	`'; DROP TABLE instance; --`, `" OR ""="`, `' OR '1'='1`, `%' --`, `_%`, `]]><evil/>`, `<!--`, `&lt;&#0;&x;`, `<script>alert(1)</script>`, `<?xml?>`, `"/><disk type='file'/>`,
	"a\r\nX-Evil: 1", "a\nb", "a\x00b", "a\x7fb", "\u202egnp.exe", "\ufffe", "e\u0301", `$(reboot)`, "`id`", `; rm -rf /`, `| id`, `\`, `'`, `"`, `%s%n%x`, `{{.}}`, `${jndi:x}`,
	`../../etc/passwd`, `/dev/sda`, `-rf`, `--help`, " ", " a", "\t", strings.Repeat("ü", 300),
}

// full bodies have every string field that a route takes.
var fullBodies = map[string]string{
	"POST /v1/instances":                     `{"name":"new","size":"1 vCPU, 1GB","image":"secret-image","user_data":"#!/bin/sh","ssh_keys":["` + goodKey + `"],"labels":{"a":"b"},"tenant":"ours","power":"stopped","flavor":""}`,
	"PATCH /v1/instances/{id}":               `{"name":"new","labels":{"a":"b"}}`,
	"POST /v1/tenants":                       `{"name":"new","labels":{"a":"b"}}`,
	"POST /v1/images":                        `{"name":"new","url":"https://example.org/x.qcow2","sha256":"","firmware":"bios","login_user":"debian","labels":{"a":"b"},"tenant":"ours"}`,
	"PATCH /v1/images/{id}":                  `{"name":"new","labels":{"a":"b"}}`,
	"POST /v1/flavors":                       `{"id":"c9-m9","vcpus":9,"memory_mib":9216,"disk_gib":20}`,
	"POST /v1/prices":                        `{"tenant":"ours","meter":"disk","flavor":"c2-m4","label":"a=b","unit_price":"0.1","currency":"EUR","valid_from":"2030-01","valid_to":"2031-01","states":["running"]}`,
	"POST /v1/prices/{id}/end":               `{"at":"2030-01"}`,
	"POST /v1/invoices":                      `{"tenant":"ours","month":"2026-01"}`,
	"POST /v1/discounts":                     `{"tenant":"ours","meter":"disk","percent":"5","valid_from":"2030-01","valid_to":"2031-01"}`,
	"POST /v1/discounts/{id}/end":            `{"at":"2030-01"}`,
	"POST /v1/budgets":                       `{"tenant":"ours","name":"new","label":"a=b","amount":"10","period":"day","thresholds":[{"percent":50,"on":"actual","action":"notify"}],"webhook":""}`,
	"PATCH /v1/budgets/{id}":                 `{"name":"new","label":"a=b","amount":"20","webhook":""}`,
	"POST /v1/webhooks":                      `{"tenant":"ours","name":"new","url":"https://hooks.example.org/x"}`,
	"PATCH /v1/webhooks/{id}":                `{"name":"new","url":"https://hooks.example.org/x"}`,
	"POST /v1/webhooks/{id}/secret":          `{"overlap_seconds":60}`,
	"POST /v1/schedules":                     `{"tenant":"ours","name":"new","label":"a=b","start":"0 7 * * *","stop":"0 20 * * *","time_zone":"UTC"}`,
	"PATCH /v1/schedules/{id}":               `{"name":"new","label":"a=b","start":"0 7 * * *","stop":"0 20 * * *","time_zone":"UTC"}`,
	"POST /v1/estimates":                     `{"tenant":"ours","size":"1 vCPU, 1GB","flavor":"","image":"secret-image","labels":{"a":"b"}}`,
	"POST /v1/sessions":                      `{"user":"ours-viewer","password":"` + goodPassword + `"}`,
	"POST /v1/users":                         `{"name":"new","email":"a@example.org","password":"` + goodPassword + `"}`,
	"PUT /v1/users/{user}/password":          `{"password":"another few words","current":"` + goodPassword + `"}`,
	"PUT /v1/tenants/{id}/members/{user}":    `{"role":"viewer"}`,
	"PATCH /v1/tenants/{id}/quota":           `{"limits":{"instances":100}}`,
	"POST /v1/instances/start":               `{}`,
	"POST /v1/instances/stop":                `{"force":true}`,
	"PATCH /v1/networks/{id}":                `{"labels":{"a":"b"}}`,
	"PATCH /v1/tenants/{id}":                 `{"labels":{"a":"b"}}`,
	"POST /v1/operations/{id}/cancel":        ``,
	"POST /v1/sessions/oidc":                 `{"state":"a","code":"b","redirect_uri":"http://127.0.0.1:1/"}`,
	"POST /v1/sessions/oidc/start":           `{"redirect_uri":"http://127.0.0.1:1/"}`,
	"PUT /v1/users/{user}/identity":          `{"issuer":"https://issuer.example","subject":"s"}`,
	"PATCH /v1/quota":                        `{"limits":{"instances":100}}`,
	"POST /v1/tokens":                        `{"name":"new","role":"viewer","tenant":"ours","scope":"read"}`,
	"POST /v1/instances/{id}/stop":           `{}`,
	"POST /v1/instances/{id}/reboot":         `{}`,
	"POST /v1/instances/{id}/start":          `{}`,
	"DELETE /v1/tenants/{id}/members/{user}": ``,
}

// Every string of every body holds text that breaks out of something. It is
// refused with a code, or kept and given back letter by letter; nothing else
// happens.
func TestNastyTextInEveryString(t *testing.T) {
	for _, r := range api.Rules() {
		whole, listed := fullBodies[r.Method+" "+r.Path]
		if !listed && (r.Method == "POST" || r.Method == "PUT" || r.Method == "PATCH") {
			t.Errorf("%s %s has no body here; add it to fullBodies", r.Method, r.Path)
		}
		if whole == "" {
			continue
		}
		t.Run(r.Method+" "+r.Path, func(t *testing.T) {
			g := newGuarded(t)
			ids := g.objects()
			path, _ := g.reach(r, ids)
			var fields map[string]any
			if err := json.Unmarshal([]byte(whole), &fields); err != nil {
				t.Fatal(err)
			}
			for name, v := range fields {
				for _, text := range nasty {
					changed := map[string]any{}
					for k, v := range fields {
						if v != "" || k == name {
							changed[k] = v
						}
					}
					switch v.(type) {
					case string:
						changed[name] = text
					case []any:
						changed[name] = []string{text}
					case map[string]any:
						changed[name] = map[string]any{text: text}
					default:
						continue
					}
					body, err := json.Marshal(changed)
					if err != nil {
						t.Fatal(err)
					}
					rec := g.unchecked("operator", r.Method, path, string(body))
					switch {
					case rec.Code >= 500 || rec.Code >= 300 && rec.Code < 400:
						t.Errorf("%s %q: %d %s", name, text, rec.Code, rec.Body)
					case rec.Code >= 400:
						if f := failureOf(t, rec); f.Code == "" || !strings.HasSuffix(f.Detail, ".") {
							t.Errorf("%s %q: %s", name, text, rec.Body)
						}
					case rec.Code < 300 && rec.Body.Len() > 0:
						var got map[string]any
						if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
							t.Fatal(err)
						}
						if _, isText := v.(string); isText {
							if back, there := got[name]; there && back != text {
								t.Errorf("%s %q came back as %q", name, text, back)
							}
						}
						if at := rec.Header().Get("Location"); at != "" {
							again := g.unchecked("operator", "GET", at, "")
							var kept map[string]any
							if again.Code != 200 || json.Unmarshal(again.Body.Bytes(), &kept) != nil || kept[name] != got[name] && got[name] == text {
								t.Errorf("%s %q at %s: %d %s", name, text, at, again.Code, again.Body)
							}
						}
					}
					for header := range rec.Header() {
						if header == "X-Evil" {
							t.Errorf("%s %q made a header", name, text)
						}
					}
				}
			}
			// The rows of others are still there.
			g.as("operator", "GET", "/v1/instances/"+ids["instances"], "").want(200)
			g.as("operator", "GET", "/v1/images/"+ids["images"], "").want(200)
		})
	}
}

// The same in every parameter of every list.
func TestNastyTextInEveryParameter(t *testing.T) {
	g := newGuarded(t)
	ids := g.objects()
	for _, r := range api.Rules() {
		if r.Method != "GET" {
			continue
		}
		path, _ := g.reach(r, ids)
		for _, name := range []string{"tenant", "name", "state", "limit", "cursor", "after", "instance", "from", "to", "tail_bytes", "user", "label", "nosuch"} {
			for _, text := range nasty {
				req := httptest.NewRequest("GET", path, nil)
				q := req.URL.Query()
				q.Set(name, text)
				req.URL.RawQuery = q.Encode()
				req.Header.Set("Authorization", "Bearer "+g.tokens["operator"])
				rec := httptest.NewRecorder()
				g.ServeHTTP(rec, req)
				if rec.Code >= 500 && r.Path != "/readyz" || rec.Code >= 300 && rec.Code < 400 || !utf8.Valid(rec.Body.Bytes()) {
					t.Errorf("%s?%s=%q: %d %s", path, name, text, rec.Code, rec.Body)
				}
			}
		}
	}
}

// Nothing that a client puts into a header comes back as another header, or in
// bytes that are not text.
func TestHeadersAreNotInjected(t *testing.T) {
	g := newGuarded(t)
	for _, name := range []string{"X-Request-Id", "Idempotency-Key", "If-Match", "Authorization", "Content-Type", "Origin", "Accept-Encoding", "X-Forwarded-For", "Expect"} {
		for _, text := range append([]string{strings.Repeat("a", 10_000)}, nasty...) {
			req := httptest.NewRequest("POST", "/v1/flavors", strings.NewReader(`{"id":"x"}`))
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization", "Bearer "+g.tokens["operator"])
			req.Header[name] = []string{text}
			rec := httptest.NewRecorder()
			g.ServeHTTP(rec, req)
			if rec.Code < 400 || rec.Code >= 500 || !utf8.Valid(rec.Body.Bytes()) {
				t.Errorf("%s %q: %d %s", name, text, rec.Code, rec.Body)
			}
			for header, values := range rec.Header() {
				if strings.ContainsAny(header+strings.Join(values, ""), "\r\n\x00") || header == "X-Evil" {
					t.Errorf("%s %q: header %q %q", name, text, header, values)
				}
			}
			if id := rec.Header().Get("X-Request-Id"); id == "" || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
				t.Errorf("%s %q: request id %q", name, text, id)
			}
		}
	}
}

// Every refusal of somebody unknown is the same, whatever is asked for.
func TestNobodyLearnsWhatThereIs(t *testing.T) {
	g := newGuarded(t)
	ids := g.objects()
	for _, r := range api.Rules() {
		if r.Need == "" {
			continue
		}
		path, body := g.reach(r, ids)
		there := g.as("nobody", r.Method, path, body).failure()
		away := g.unchecked("nobody", r.Method, strings.NewReplacer("{id}", nobodysID, "{user}", "nobody").Replace(r.Path), "")
		if f := failureOf(t, away); away.Code != http.StatusUnauthorized || f.Detail != there.Detail || f.Code != there.Code {
			t.Errorf("%s %s: %q and %q", r.Method, r.Path, there.Detail, f.Detail)
		}
	}
}

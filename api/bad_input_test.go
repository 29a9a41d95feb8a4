package api_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"lodge/cloud"
)

const goodKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHcWDSWXxcPprVdbdlnZc7nPkT4BjOFVxqAA8eqSlzfO ops"

func TestBadInstancesAreRefused(t *testing.T) {
	long := strings.Repeat("a", 300)
	for _, tt := range []struct {
		name, body string
		status     int
		code       cloud.Code
		field      string
	}{
		{"unknown image", `{"name":"a","image":"debain"}`, 400, cloud.CodeInvalid, "image"},
		{"image of control characters", `{"name":"a","image":"a\u0000b"}`, 400, cloud.CodeInvalid, "image"},
		{"unknown flavor", `{"name":"a","flavor":"c9-m9"}`, 404, cloud.CodeNotFound, ""},
		{"flavor with a slash", `{"name":"a","flavor":"../x"}`, 400, cloud.CodeInvalid, "flavor"},
		{"unknown tenant", `{"name":"a","tenant":"nobody"}`, 404, cloud.CodeNotFound, ""},
		{"no name", `{}`, 400, cloud.CodeInvalid, "name"},
		{"name null", `{"name":null}`, 400, cloud.CodeInvalid, "name"},
		{"name with spaces", `{"name":"my web"}`, 400, cloud.CodeInvalid, "name"},
		{"name of 300 characters", `{"name":"` + long + `"}`, 400, cloud.CodeInvalid, "name"},
		{"name with capitals", `{"name":"Web"}`, 400, cloud.CodeInvalid, "name"},
		{"name with a line break", `{"name":"a\nb"}`, 400, cloud.CodeInvalid, "name"},
		{"name like an id", `{"name":"` + nobodysID + `"}`, 400, cloud.CodeInvalid, "name"},
		{"duplicate name", `{"name":"vm0"}`, 409, cloud.CodeNameTaken, ""},
		{"no vCPUs", `{"name":"a","vcpus":0}`, 400, cloud.CodeInvalid, "vcpus"},
		{"negative vCPUs", `{"name":"a","vcpus":-2}`, 400, cloud.CodeInvalid, "vcpus"},
		{"absurd vCPUs", `{"name":"a","vcpus":100000}`, 400, cloud.CodeInvalid, "vcpus"},
		{"half a vCPU", `{"name":"a","vcpus":0.5}`, 400, cloud.CodeMalformed, "vcpus"},
		{"vCPUs beyond an integer", `{"name":"a","vcpus":1e400}`, 400, cloud.CodeMalformed, "vcpus"},
		{"vCPUs as text", `{"name":"a","vcpus":"two"}`, 400, cloud.CodeMalformed, "vcpus"},
		{"no memory", `{"name":"a","memory_mib":0}`, 400, cloud.CodeInvalid, "memory_mib"},
		{"absurd memory", `{"name":"a","memory_mib":99999999999}`, 400, cloud.CodeInvalid, "memory_mib"},
		{"negative disk", `{"name":"a","disk_gib":-1}`, 400, cloud.CodeInvalid, "disk_gib"},
		{"absurd disk", `{"name":"a","disk_gib":1000000}`, 400, cloud.CodeInvalid, "disk_gib"},
		{"size that is none", `{"name":"a","size":"big"}`, 400, cloud.CodeInvalid, "size"},
		{"size without memory", `{"name":"a","size":"2 vCPU"}`, 400, cloud.CodeInvalid, "size"},
		{"size of nothing", `{"name":"a","size":"0 vCPU, 4GB"}`, 400, cloud.CodeInvalid, "size"},
		{"size and flavor", `{"name":"a","size":"c2-m4","flavor":"c1-m2"}`, 400, cloud.CodeInvalid, "size"},
		{"size and numbers", `{"name":"a","size":"c2-m4","vcpus":2}`, 400, cloud.CodeInvalid, "size"},
		{"two disks", `{"name":"a","size":"2c 4g 40gb disk","disk_gib":50}`, 400, cloud.CodeInvalid, "disk_gib"},
		{"user data over 64 KiB", `{"name":"a","user_data":"#!` + strings.Repeat("x", 64<<10) + `"}`, 400, cloud.CodeInvalid, "user_data"},
		{"user data cloud-init does not know", `{"name":"a","user_data":"hello"}`, 400, cloud.CodeInvalid, "user_data"},
		{"user data with a zero byte", `{"name":"a","user_data":"#!/bin/sh\u0000"}`, 400, cloud.CodeInvalid, "user_data"},
		{"malformed SSH key", `{"name":"a","ssh_keys":["` + goodKey + `","ssh-rsa nonsense"]}`, 400, cloud.CodeInvalid, "ssh_keys[1]"},
		{"SSH key that is empty", `{"name":"a","ssh_keys":[""]}`, 400, cloud.CodeInvalid, "ssh_keys[0]"},
		{"SSH key that is a comment", `{"name":"a","ssh_keys":["# key"]}`, 400, cloud.CodeInvalid, "ssh_keys[0]"},
		{"SSH key with options", `{"name":"a","ssh_keys":["command=\"id\" ` + goodKey + `"]}`, 400, cloud.CodeInvalid, "ssh_keys[0]"},
		{"two SSH keys in one", `{"name":"a","ssh_keys":["` + goodKey + `\n` + goodKey + `"]}`, 400, cloud.CodeInvalid, "ssh_keys[0]"},
		{"private SSH key", `{"name":"a","ssh_keys":["-----BEGIN OPENSSH PRIVATE KEY-----"]}`, 400, cloud.CodeInvalid, "ssh_keys[0]"},
		{"33 SSH keys", `{"name":"a","ssh_keys":["` + strings.Repeat(goodKey+`","`, 32) + goodKey + `"]}`, 400, cloud.CodeInvalid, "ssh_keys"},
		{"SSH keys as text", `{"name":"a","ssh_keys":"` + goodKey + `"}`, 400, cloud.CodeMalformed, "ssh_keys"},
		{"label with a bad key", `{"name":"a","labels":{"a b":"c"}}`, 400, cloud.CodeInvalid, `labels["a b"]`},
		{"label with a bad value", `{"name":"a","labels":{"a":"<b>"}}`, 400, cloud.CodeInvalid, `labels["a"]`},
		{"power that is none", `{"name":"a","power":"on"}`, 400, cloud.CodeInvalid, "power"},
		{"unknown field", `{"name":"a","vcpu":2}`, 400, cloud.CodeUnknownField, "vcpu"},
		{"field in other letters", `{"Name":"a"}`, 400, cloud.CodeUnknownField, "Name"},
		{"empty size", `{"name":"a","size":""}`, 400, cloud.CodeInvalid, "size"},
		{"empty flavor", `{"name":"a","flavor":""}`, 400, cloud.CodeInvalid, "flavor"},
		{"empty image", `{"name":"a","image":""}`, 400, cloud.CodeInvalid, "image"},
		{"empty power", `{"name":"a","power":""}`, 400, cloud.CodeInvalid, "power"},
		{"empty tenant", `{"name":"a","tenant":""}`, 400, cloud.CodeInvalid, "tenant"},
		{"a field twice", `{"name":"a","name":"b"}`, 400, cloud.CodeMalformed, "name"},
		{"a label twice", `{"name":"a","labels":{"x":"1","\u0078":"2"}}`, 400, cloud.CodeMalformed, `labels["x"]`},
		{"label that is null", `{"name":"a","labels":{"a":null}}`, 400, cloud.CodeMalformed, `labels["a"]`},
		{"half of a surrogate pair", `{"name":"a","user_data":"#!\ud800"}`, 400, cloud.CodeMalformed, ""},
		{"bytes that are not UTF-8", "{\"name\":\"a\",\"image\":\"\xff\"}", 400, cloud.CodeMalformed, ""},
		{"no JSON", `{"name":`, 400, cloud.CodeMalformed, ""},
		{"two documents", `{"name":"a"}{"name":"b"}`, 400, cloud.CodeMalformed, ""},
		{"a list", `["a"]`, 400, cloud.CodeMalformed, ""},
		{"null", `null`, 400, cloud.CodeMalformed, ""},
		{"nested without end", strings.Repeat(`{"name":`, 50000), 400, cloud.CodeMalformed, ""},
		{"2 MiB", `{"name":"` + strings.Repeat("a", 2<<20) + `"}`, 413, cloud.CodeTooLarge, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFront(t)
			f.store.fill(1)
			got := f.do("POST", "/v1/instances", tt.body).wantFailure(tt.status, tt.code)
			if tt.field != "" && (len(got.Errors) == 0 || got.Errors[0].Field != tt.field) {
				t.Errorf("errors %v do not name %q", got.Errors, tt.field)
			}
			if n := len(f.store.instances); n != 1 {
				t.Errorf("%d instances are left, want the one before", n)
			}
		})
	}
}

func TestSeveralWrongFieldsAreAllNamed(t *testing.T) {
	got := newFront(t).do("POST", "/v1/instances", `{"name":"A B","vcpus":0,"ssh_keys":["x"],"user_data":"x"}`).wantFailure(400, cloud.CodeInvalid)
	var fields []string
	for _, e := range got.Errors {
		fields = append(fields, e.Field)
	}
	if s := strings.Join(fields, " "); s != "name vcpus user_data ssh_keys[0]" || got.Detail != "4 fields are not valid." {
		t.Errorf("fields %q, detail %q", s, got.Detail)
	}
}

func TestMediaTypesAreChecked(t *testing.T) {
	f := newFront(t)
	id := f.store.fill(1)[0]
	for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json;;"} {
		f.do("POST", "/v1/instances", `{"name":"a"}`, "Content-Type", media).wantFailure(415, cloud.CodeMediaType)
		f.do("POST", "/v1/images", `{"name":"a"}`, "Content-Type", media).wantFailure(415, cloud.CodeMediaType)
		f.do("POST", "/v1/instances/"+id+"/stop", `{"force":true}`, "Content-Type", media).wantFailure(415, cloud.CodeMediaType)
	}
	f.do("POST", "/v1/tenants", `{"name":"a"}`, "Content-Type", "application/json; charset=utf-8").want(201)
	f.do("POST", "/v1/tenants", `{"name":"b"}`, "Content-Type", `application/json; charset="UTF-8"`).want(201)
	for _, charset := range []string{"utf-16", "utf-16le", "iso-8859-1", "us-ascii", `""`, "utf-8, utf-16", "x"} {
		f.do("POST", "/v1/tenants", `{"name":"c"}`, "Content-Type", "application/json; charset="+charset).wantFailure(415, cloud.CodeMediaType)
		f.do("PATCH", "/v1/instances/"+id, `{"labels":{"a":"b"}}`, "Content-Type", "application/merge-patch+json; charset="+charset).wantFailure(415, cloud.CodeMediaType)
	}
}

// endless counts what is read of it.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	e.read += len(p)
	return len(p), nil
}

func TestHugeBodiesAreNotRead(t *testing.T) {
	f := newFront(t)
	for _, length := range []int64{100 << 20, -1} { // told beforehand, and not
		body := &endless{}
		req := httptest.NewRequest("POST", "/v1/instances", io.LimitReader(body, 100<<20))
		req.ContentLength = length
		req.Header.Set("Content-Type", "application/json")
		f.send(req).wantFailure(http.StatusRequestEntityTooLarge, cloud.CodeTooLarge)
		if body.read > 2<<20 {
			t.Errorf("%d bytes were read", body.read)
		}
	}
}

func TestHugeBodyIsAnsweredOverARealConnection(t *testing.T) {
	f := newFront(t)
	srv := httptest.NewServer(f)
	defer srv.Close()
	for _, length := range []int64{100 << 20, -1} {
		req, err := http.NewRequest("POST", srv.URL+"/v1/instances", io.LimitReader(&endless{}, 100<<20))
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = length
		req.Header.Set("Content-Type", "application/json")
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
}

func TestIdsThatAreNoneAreNotFound(t *testing.T) {
	f := newFront(t)
	f.store.fill(1)
	for _, id := range []string{"vm0", nobodysID, strings.ToUpper(nobodysID), "1", "..", "%00", "%2e%2e%2f", "'%20OR%201=1--", strings.Repeat("9", 2000)} {
		for _, route := range []string{
			"GET /v1/instances/", "PATCH /v1/instances/", "DELETE /v1/instances/", "GET /v1/images/", "DELETE /v1/images/",
			"GET /v1/networks/", "GET /v1/tenants/", "DELETE /v1/tenants/", "GET /v1/flavors/", "DELETE /v1/flavors/",
		} {
			method, path, _ := strings.Cut(route, " ")
			body := ""
			if method == "PATCH" {
				body = "{}"
			}
			f.do(method, path+id, body).wantFailure(404, cloud.CodeNotFound)
		}
		for _, action := range []string{"start", "stop", "reboot"} {
			f.do("POST", "/v1/instances/"+id+"/"+action, "").wantFailure(404, cloud.CodeNotFound)
		}
		f.do("GET", "/v1/instances/"+id+"/console-log", "").wantFailure(404, cloud.CodeNotFound)
	}
}

func TestObjectsOfAnotherTenantAreNotFound(t *testing.T) {
	f := newFront(t)
	id := f.store.fill(1)[0]
	f.caller = cloud.Caller{TenantID: otherTenant, Role: cloud.RoleMember}
	for _, route := range []string{"GET ", "DELETE ", "POST /start", "POST /stop", "POST /reboot", "GET /console-log"} {
		method, rest, _ := strings.Cut(route, " ")
		f.do(method, "/v1/instances/"+id+rest, "").wantFailure(404, cloud.CodeNotFound)
	}
	f.do("PATCH", "/v1/instances/"+id, `{"vcpus":4}`).wantFailure(404, cloud.CodeNotFound)
	f.do("GET", "/v1/instances?tenant=default", "").wantFailure(404, cloud.CodeNotFound)
	f.do("POST", "/v1/instances?tenant=default", `{"name":"a"}`).wantFailure(404, cloud.CodeNotFound)
	f.do("GET", "/v1/usage?tenant=default", "").wantFailure(404, cloud.CodeNotFound)
	f.do("GET", "/v1/hosts", "").wantFailure(403, cloud.CodeForbidden)
	f.do("POST", "/v1/flavors", `{"id":"x","vcpus":1,"memory_mib":512,"disk_gib":5}`).wantFailure(403, cloud.CodeForbidden)
	f.do("POST", "/v1/tenants", `{"name":"x"}`).wantFailure(403, cloud.CodeForbidden)
	if got := f.do("GET", "/v1/instances", "").want(200); string(got.body) != `{"items":[]}` {
		t.Errorf("list of nothing: %s", got.body)
	}
}

func TestIdsMayBeWrittenInCapitals(t *testing.T) {
	f := newFront(t)
	id := f.store.fill(1)[0]
	loud := strings.ToUpper(id)
	for _, path := range []string{"/v1/instances/" + loud, "/v1/instances/" + loud + "/console-log", "/v1/events?instance=" + loud, "/v1/usage?instance=" + loud} {
		f.do("GET", path, "").want(200)
	}
	tenant := strings.ToUpper(f.store.instances[id].TenantID)
	f.do("GET", "/v1/tenants/"+tenant, "").want(200)
	f.do("GET", "/v1/instances?tenant="+tenant, "").want(200)
	f.do("POST", "/v1/instances", `{"name":"b","tenant":"`+tenant+`","image":"`+strings.ToUpper(f.store.instances[id].ImageID)+`"}`).want(202)
	f.do("DELETE", "/v1/instances/"+loud, "").want(202)
}

func TestLabelsMergedBeyondTheirLimitAreRefused(t *testing.T) {
	f := newFront(t)
	id := f.store.fill(1)[0]
	batch := func(from, n int) string {
		var pairs []string
		for i := range n {
			pairs = append(pairs, fmt.Sprintf(`"k%d":"v"`, from+i))
		}
		return `{"labels":{` + strings.Join(pairs, ",") + `}}`
	}
	f.do("PATCH", "/v1/instances/"+id, batch(0, 40)).want(200)
	got := f.do("PATCH", "/v1/instances/"+id, batch(40, 40)).wantFailure(400, cloud.CodeInvalid)
	if len(got.Errors) != 1 || got.Errors[0].Field != "labels" || !strings.Contains(got.Detail, "at most 64 labels") {
		t.Errorf("got %+v", got)
	}
}

func TestBadParametersAreRefused(t *testing.T) {
	f := newFront(t)
	id := f.store.fill(1)[0]
	for path, field := range map[string]string{
		"/v1/instances?limit=0": "limit", "/v1/instances?limit=501": "limit", "/v1/instances?limit=x": "limit",
		"/v1/instances?limit=1&limit=2": "limit", "/v1/instances?state=dead": "state", "/v1/images?state=running": "state",
		"/v1/events?after=-1": "after", "/v1/events?instance=vm0": "instance", "/v1/events?limit=99999999999999999999": "limit",
		"/v1/usage?from=yesterday": "from", "/v1/usage?to=2026-13": "to", "/v1/usage?from=2026-11-05&to=2026-11-05": "to",
		"/v1/usage?from=2026-12&to=2026-11": "to", "/v1/usage?instance=x": "instance", "/v1/usage?from=0001-01-01": "from",
		"/v1/instances?name=": "name", "/v1/instances?tenant=": "tenant", "/v1/instances?state": "state", "/v1/instances?limit=": "limit",
		"/v1/instances?limit=2&cursor=": "cursor", "/v1/images?name=": "name", "/v1/tenants?name=": "name", "/v1/networks?name=": "name",
		"/v1/events?after=": "after", "/v1/events?instance=": "instance", "/v1/usage?from=": "from", "/v1/usage?to=": "to",
		"/v1/usage?tenant=": "tenant", "/v1/instances/" + id + "/console-log?tail_bytes=": "tail_bytes",
		"/v1/instances/" + id + "/console-log?tail_bytes=0": "tail_bytes", "/v1/instances?limit=%zz": "query",
	} {
		got := f.do("GET", path, "").wantFailure(400, cloud.CodeInvalid)
		if len(got.Errors) != 1 || got.Errors[0].Field != field {
			t.Errorf("%s: errors %v", path, got.Errors)
		}
	}
	f.do("POST", "/v1/instances?tenant=", `{"name":"a"}`).wantFailure(400, cloud.CodeInvalid)
	f.do("POST", "/v1/images?name=a&sha256=", "x", "Content-Type", "application/octet-stream").wantFailure(400, cloud.CodeInvalid)
	for field, body := range map[string]string{"sha256": `"url":"https://example.org/x","sha256":""`, "url": `"url":""`, "tenant": `"url":"https://example.org/x","tenant":""`} {
		if got := f.do("POST", "/v1/images", `{"name":"a",`+body+`}`).wantFailure(400, cloud.CodeInvalid); len(got.Errors) != 1 || got.Errors[0].Field != field {
			t.Errorf("%s: errors %v", body, got.Errors)
		}
	}
	f.do("GET", "/v1/instances?cursor=x", "").wantFailure(400, cloud.CodeInvalid)
	f.do("DELETE", "/v1/instances/"+id+"?force=true", "").wantFailure(400, cloud.CodeUnknownField)
	for _, path := range []string{"/v1/instances?tennant=a", "/v1/instances/" + id + "?wait=1", "/v1/flavors?x=1", "/v1/tenants?state=x", "/v1/version?a=b"} {
		f.do("GET", path, "").wantFailure(400, cloud.CodeUnknownField)
	}
	f.do("POST", "/v1/instances?tenant=other", `{"name":"a","tenant":"default"}`).wantFailure(400, cloud.CodeInvalid)
	f.do("POST", "/v1/instances/"+id+"/start", `{"force":true}`).wantFailure(400, cloud.CodeInvalid)
}

func TestPathsAndMethodsThatAreNotThere(t *testing.T) {
	f := newFront(t)
	for _, path := range []string{"/", "/v1", "/v1/", "/v2/instances", "/v1/instances/", "//v1/instances", "/v1/./instances", "/v1/instances/" + nobodysID + "/"} {
		req := httptest.NewRequest("GET", "/", nil)
		req.URL.Path = path
		rec := httptest.NewRecorder()
		f.ServeHTTP(rec, req)
		a := &answer{t: t, Response: rec.Result(), body: rec.Body.Bytes()}
		a.wantFailure(404, cloud.CodeNotFound)
	}
	a := f.do("PUT", "/v1/instances", "{}")
	a.wantFailure(405, cloud.CodeMethod)
	if got := a.Header.Get("Allow"); got != "GET, HEAD, POST, DELETE" {
		t.Errorf("Allow: %q", got)
	}
	f.do("OPTIONS", "/v1/hosts", "").wantFailure(405, cloud.CodeMethod)
	f.do("POST", "/v1/instances/"+nobodysID, "{}").wantFailure(405, cloud.CodeMethod)
}

func TestURLsThatMustNotBeFetchedAreRefused(t *testing.T) {
	for _, url := range []string{
		"http://127.0.0.1/x", "http://localhost/x", "http://localhost.:80/", "http://[::1]/x", "http://169.254.169.254/latest", "http://[fe80::1%25eth0]/",
		"http://10.0.0.1/", "http://192.168.1.1/", "http://172.16.0.1/", "http://100.64.0.1/", "http://0.0.0.0/", "http://[::ffff:127.0.0.1]/",
		"http://[64:ff9b::7f00:1]/", "http://[fd00::1]/", "http://224.0.0.1/", "http://2130706433/", "http://0x7f000001/", "http://127.1/",
		"file:///etc/passwd", "ftp://example.org/x", "gopher://example.org/", "https://user:pass@example.org/x",
	} {
		f := newFront(t)
		f.do("POST", "/v1/images", fmt.Sprintf(`{"name":"a","url":%q}`, url)).wantFailure(400, cloud.CodeURLRefused)
		if len(f.store.images) != 1 {
			t.Errorf("%s left an image", url)
		}
	}
	for _, url := range []string{"", "x", "http://", "http:x", "/etc/passwd", "http://exa mple.org/", "https://example.org/" + strings.Repeat("a", 3000)} {
		newFront(t).do("POST", "/v1/images", fmt.Sprintf(`{"name":"a","url":%q}`, url)).wantFailure(400, cloud.CodeInvalid)
	}
}

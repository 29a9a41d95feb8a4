package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"

	"lodge/api"
	"lodge/api/wire"
	"lodge/cloud"
)

// front is the API over a fake store; every answer is checked against
// openapi.yaml.
type front struct {
	t     testing.TB
	store *fakeStore
	http.Handler
	options api.Options
	caller  cloud.Caller
	door    func(*http.Request) (cloud.Caller, error) // nil: everybody is caller
	// anyCode is for a store that fails in ways that the real one does not.
	anyCode bool
}

var operator = cloud.Caller{Operator: true, Role: cloud.RoleOperator, Via: "socket"}

func newFront(t testing.TB, change ...func(*api.Options)) *front {
	t.Helper()
	s := newFakeStore()
	f := &front{t: t, store: s, caller: operator}
	o := api.Options{
		Tenants: s, Flavors: s, Images: s, Uploads: s, Sink: s, Networks: s, Instances: s, Powers: s, Console: s,
		Events: s, Usage: s, Facts: s, Prices: s, Discounts: s, Invoices: s, Billing: s, Budgets: s, Webhooks: s, Schedules: s, Hosts: s, Health: s, Now: func() time.Time { return s.now }, NewID: s.newID,
		Caller: func(r *http.Request) (cloud.Caller, error) {
			if f.door != nil {
				return f.door(r)
			}
			return f.caller, nil
		},
		Version: wire.Version{Version: "1.2.3", Commit: "abc", Go: "go1"},
	}
	for _, c := range change {
		c(&o)
	}
	f.options, f.Handler = o, api.New(o)
	return f
}

// answer is what came back.
type answer struct {
	*http.Response
	t    testing.TB
	body []byte

	anyCode bool
}

func (f *front) do(method, path, body string, header ...string) *answer {
	f.t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req := httptest.NewRequest(method, path, r)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return f.send(req)
}

func (f *front) send(req *http.Request) *answer {
	f.t.Helper()
	if strings.HasPrefix(req.URL.Path, "/v1/events/stream") {
		// It has no end of its own; what it says at once is enough here.
		ctx, cancel := context.WithTimeout(req.Context(), 50*time.Millisecond)
		defer cancel()
		req = req.WithContext(ctx)
	}
	rec := httptest.NewRecorder()
	f.ServeHTTP(rec, req)
	a := &answer{Response: rec.Result(), t: f.t, body: rec.Body.Bytes(), anyCode: f.anyCode}
	a.check(req)
	return a
}

var contract = sync.OnceValues(func() (validator.Validator, []error) {
	doc, err := libopenapi.NewDocument(api.OpenAPI)
	if err != nil {
		return nil, []error{err}
	}
	return validator.NewValidator(doc)
})

// check compares an answer with openapi.yaml. Paths and methods that are not in
// it have an answer too: any Failure.
func (a *answer) check(req *http.Request) {
	a.t.Helper()
	v, errs := contract()
	if errs != nil {
		a.t.Fatal(errs)
	}
	if a.StatusCode == http.StatusNotFound && !strings.HasPrefix(req.URL.Path, "/v1/") || a.StatusCode == http.StatusMethodNotAllowed {
		a.failure()
		return
	}
	a.listed(req)
	resp := *a.Response
	resp.Body = io.NopCloser(bytes.NewReader(a.body))
	if ok, problems := v.ValidateHttpResponse(req, &resp); !ok {
		for _, p := range problems {
			if p.IsPathMissingError() {
				a.failure()
				continue
			}
			a.t.Errorf("%s %s -> %d is not what openapi.yaml says: %s %s %v\n%s", req.Method, req.URL, a.StatusCode, p.Message, p.Reason, p.SchemaValidationErrors, a.body)
		}
	}
}

func (a *answer) want(status int) *answer {
	a.t.Helper()
	if a.StatusCode != status {
		a.t.Fatalf("status %d, want %d: %s", a.StatusCode, status, a.body)
	}
	return a
}

// wantFailure checks status and code, and that there is a sentence.
func (a *answer) wantFailure(status int, code cloud.Code) wire.Failure {
	a.t.Helper()
	a.want(status)
	f := a.failure()
	if f.Code != string(code) {
		a.t.Errorf("code %q, want %q: %s", f.Code, code, a.body)
	}
	return f
}

func (a *answer) failure() wire.Failure {
	a.t.Helper()
	var f wire.Failure
	a.into(&f)
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		a.t.Errorf("Content-Type %q of a failure", got)
	}
	if f.Status != a.StatusCode || f.Type != "urn:lodge:error:"+f.Code || f.Title == "" {
		a.t.Errorf("failure does not agree with itself: %s", a.body)
	}
	if !strings.HasSuffix(f.Detail, ".") || len(f.Detail) > 600 {
		a.t.Errorf("detail is no sentence: %q", f.Detail)
	}
	if f.RequestID == "" || f.RequestID != a.Header.Get("X-Request-Id") {
		a.t.Errorf("request id %q in the body, %q in the header", f.RequestID, a.Header.Get("X-Request-Id"))
	}
	return f
}

func (a *answer) into(v any) {
	a.t.Helper()
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		a.t.Fatalf("%v in %s", err, a.body)
	}
}

func decoded[T any](a *answer) T {
	a.t.Helper()
	var v T
	a.into(&v)
	return v
}

// post sends a body without a look at the answer's shape.
func (f *front) post(path, query string, body []byte) int {
	req := httptest.NewRequest("POST", path, bytes.NewReader(body))
	req.URL.RawQuery = query
	req.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	f.ServeHTTP(rec, req)
	return rec.Code
}

// get gives the body of an answer, unchecked.
func (f *front) get(path string) []byte {
	rec := httptest.NewRecorder()
	f.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
	return rec.Body.Bytes()
}

package api_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/pb33f/libopenapi"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"

	"lodge/api"
	"lodge/api/client"
	"lodge/cloud"
)

// operation is what the file says of one route, with references followed.
type operation struct {
	*v3.Operation
	role   string
	errors []string
}

// operations of the file, by method and path: "GET /v1/instances".
func operations(t testing.TB) map[string]operation {
	t.Helper()
	doc, err := libopenapi.NewDocument(api.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	model, err := doc.BuildV3Model()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]operation{}
	for path, item := range model.Model.Paths.PathItems.FromOldest() {
		for method, op := range item.GetOperations().FromOldest() {
			o := operation{Operation: op}
			if n, ok := op.Extensions.Get("x-role"); ok {
				_ = n.Decode(&o.role)
			}
			if n, ok := op.Extensions.Get("x-errors"); ok {
				_ = n.Decode(&o.errors)
			}
			out[strings.ToUpper(method)+" "+path] = o
		}
	}
	return out
}

func TestEveryOperationSaysWhatItIs(t *testing.T) {
	roles := map[string]string{}
	for _, r := range api.Rules() {
		roles[r.Method+" "+r.Path] = string(r.Need)
		if r.Need == "" {
			roles[r.Method+" "+r.Path] = "open"
		}
	}
	var order []string
	for _, c := range cloud.Codes() {
		order = append(order, string(c))
	}
	seen := map[string]string{}
	for name, op := range operations(t) {
		if op.OperationId == "" || op.Summary == "" || op.Description == "" || len(op.Tags) != 1 {
			t.Errorf("%s: needs an operationId, a summary, a description and one tag", name)
		}
		if other := seen[op.OperationId]; other != "" {
			t.Errorf("%s and %s are both %s", name, other, op.OperationId)
		}
		seen[op.OperationId] = name
		if op.role != roles[name] {
			t.Errorf("%s: x-role is %q, and the route needs %s", name, op.role, roles[name])
		}
		at := -1
		for _, code := range op.errors {
			i := slices.Index(order, code)
			if i <= at {
				t.Errorf("%s: x-errors: %q is no code of cloud.Codes, or not in their order", name, code)
			}
			at = max(at, i)
		}
		if method, path, _ := strings.Cut(name, " "); method == http.MethodPost && !api.NotOnce(path) && !slices.Contains(op.errors, "idempotency_key_reused") {
			t.Errorf("%s: x-errors lacks idempotency_key_reused", name)
		}
		for _, code := range always(op) {
			if !slices.Contains(op.errors, code) {
				t.Errorf("%s: x-errors lacks %s", name, code)
			}
		}
	}
}

// always are the codes that each operation of its sort gives, whatever it does.
func always(op operation) []string {
	codes := []string{"invalid_request", "unknown_field", "rate_limited", "internal"}
	if op.role != "open" {
		codes = append(codes, "unauthorized", "locked_out", "forbidden", "not_found", "unavailable")
	}
	if op.RequestBody != nil {
		codes = append(codes, "malformed_json", "body_too_large", "unsupported_media_type")
	}
	return codes
}

// Every body, asked for or answered, has an example that its schema takes.
func TestEveryBodyHasAnExampleThatFits(t *testing.T) {
	check := exampleChecker(t)
	for name, op := range operations(t) {
		if op.RequestBody != nil {
			for media, m := range op.RequestBody.Content.FromOldest() {
				check(name+", request, "+media, m)
			}
		}
		if op.Responses.Default == nil {
			t.Errorf("%s: has no default answer", name)
		}
		for status, r := range op.Responses.Codes.FromOldest() {
			if r.Content == nil && status != "204" {
				t.Errorf("%s, %s: has no body", name, status)
			}
			if r.Content == nil {
				continue
			}
			for media, m := range r.Content.FromOldest() {
				check(name+", "+status+", "+media, m)
			}
		}
	}
}

// exampleChecker validates the examples of a body against its schema.
func exampleChecker(t *testing.T) func(where string, m *v3.MediaType) {
	t.Helper()
	var doc any
	b, err := yaml.YAMLToJSON(api.OpenAPI)
	if err == nil {
		doc, err = jsonschema.UnmarshalJSON(strings.NewReader(string(b)))
	}
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("file:///openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	return func(where string, m *v3.MediaType) {
		t.Helper()
		if m.Examples == nil || m.Examples.Len() == 0 {
			t.Errorf("%s: has no example", where)
			return
		}
		for name, ex := range m.Examples.FromOldest() {
			var v any
			if err := ex.Value.Decode(&v); err != nil {
				t.Errorf("%s, example %s: %v", where, name, err)
				continue
			}
			if m.Schema == nil || m.Schema.GetReference() == "" {
				continue // text and bytes
			}
			b, err := json.Marshal(v)
			if err != nil {
				t.Fatalf("%s, example %s: %v", where, name, err)
			}
			value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(b)))
			if err != nil {
				t.Fatal(err)
			}
			s, err := c.Compile("file:///openapi.json" + m.Schema.GetReference())
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Validate(value); err != nil {
				t.Errorf("%s, example %s: %v", where, name, err)
			}
		}
	}
}

// An example of a failure is one that lodge gives: code, status and title agree.
func TestExamplesOfFailuresAgreeWithTheTable(t *testing.T) {
	for name, ex := range openAPI(t).Components.Examples {
		if !strings.HasPrefix(name, "Failure") {
			continue
		}
		var f struct {
			Type, Title, Code string
			Status            int
		}
		if err := json.Unmarshal(ex.Value, &f); err != nil {
			t.Fatal(err)
		}
		front := newFront(t)
		front.anyCode = true
		front.store.broken = cloud.Errorf(cloud.Code(f.Code), "A sentence.")
		got := front.do("GET", "/v1/instances/"+nobodysID, "").failure()
		if got.Type != f.Type || got.Title != f.Title || got.Status != f.Status || got.Code != f.Code {
			t.Errorf("%s: %+v, and lodge says %+v", name, f, got)
		}
	}
}

// methods are the client's methods that have another name than the operation.
var methods = map[string]string{
	"getConsoleLog": "ConsoleLog", "createImage": "ImportImage", "getOpenAPIAtRoot": "OpenAPI",
	"getHealth": "Healthy", "getReadiness": "Ready",
}

// Every operation has a method of the Go client: createTenant CreateTenant,
// getTenant Tenant, listTenants Tenants.
func TestTheClientHasAMethodForEveryOperation(t *testing.T) {
	c := reflect.TypeFor[*client.Client]()
	ops := operations(t)
	for _, route := range slices.Sorted(maps.Keys(ops)) {
		id := ops[route].OperationId
		name := methods[id]
		if name == "" {
			name = id
			for _, verb := range []string{"get", "list"} {
				if rest, ok := strings.CutPrefix(id, verb); ok {
					name = rest
				}
			}
			name = strings.ToUpper(name[:1]) + name[1:]
		}
		if _, ok := c.MethodByName(name); !ok {
			t.Errorf("%s (%s): the client has no method %s", id, route, name)
		}
	}
}

// listed checks that the file lists the code of a refusal for the route.
func (a *answer) listed(req *http.Request) {
	a.t.Helper()
	if a.anyCode || a.StatusCode < 400 || a.StatusCode == http.StatusMethodNotAllowed {
		return
	}
	op, ok := operationOf(a.t, req)
	if !ok {
		return
	}
	if code := a.failure().Code; !slices.Contains(op.errors, code) {
		a.t.Errorf("%s %s gave %s, which x-errors of %s does not list", req.Method, req.URL.Path, code, op.OperationId)
	}
}

var (
	operationsOnce sync.Once
	allOperations  map[string]operation
)

func operationOf(t testing.TB, req *http.Request) (operation, bool) {
	operationsOnce.Do(func() { allOperations = operations(t) })
	best, found := "", false
	for _, r := range api.Rules() {
		if r.Method == req.Method && fits(r.Path, req.URL.Path) && (!found || strings.Count(r.Path, "{") < strings.Count(best, "{")) {
			best, found = r.Path, true
		}
	}
	return allOperations[req.Method+" "+best], found
}

func fits(template, path string) bool {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	return slices.EqualFunc(want, got, func(w, g string) bool { return w == g || strings.HasPrefix(w, "{") && g != "" })
}

// What these routes refuse is in the file; each answer is compared with it.
func TestSeldomRefusalsAreInTheFile(t *testing.T) {
	g := newGuarded(t)
	g.objects()
	cancel := func() string {
		return g.as("ours member", "POST", "/v1/instances", `{"name":"kept`+uuid.NewString()[:8]+`","protected":true}`).want(202).Header.Get("Operation-Location") + "/cancel"
	}
	g.as("ours member", "POST", cancel(), "").wantFailure(409, cloud.CodeProtected)
	g.as("ours member", "POST", cancel(), `{"x":1}`).wantFailure(400, cloud.CodeUnknownField)
	g.as("ours member", "POST", cancel(), `{`).wantFailure(400, cloud.CodeMalformed)
	g.do("POST", cancel(), "force", "Authorization", "Bearer "+g.tokens["ours member"], "Content-Type", "text/plain").wantFailure(415, cloud.CodeMediaType)
	for _, do := range []string{"start", "stop"} {
		g.as("ours member", "POST", "/v1/instances/"+do+"?all=true&expect=99", "").wantFailure(412, cloud.CodePrecondition)
	}
	for _, path := range []string{"/v1/instances/stop?all=true", "/v1/instances/start?all=true", cancel()} {
		key := []string{"Authorization", "Bearer " + g.tokens["ours member"], "Idempotency-Key", "one"}
		g.do("POST", "/v1/instances/stop?label=a", "", key...).want(202)
		g.do("POST", path, "", key...).wantFailure(422, cloud.CodeKeyReused)
	}
	def, err := g.db.Tenant(t.Context(), operator, cloud.DefaultTenantName)
	if err != nil {
		t.Fatal(err)
	}
	g.as("operator", "DELETE", "/v1/tenants/"+def.ID, "").wantFailure(409, cloud.CodeConflict)
}

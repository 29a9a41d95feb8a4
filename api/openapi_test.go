package api_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"lodge/api"
	"lodge/api/wire"
	"lodge/cloud"
)

type document struct {
	Paths      map[string]map[string]json.RawMessage
	Components struct {
		Schemas map[string]struct {
			Enum       []string
			Properties map[string]any
		}
		Examples map[string]struct{ Value json.RawMessage }
	}
}

func openAPI(t *testing.T) (d document) {
	t.Helper()
	if err := yaml.Unmarshal(api.OpenAPI, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestEveryRouteIsInTheFileAndTheReverse(t *testing.T) {
	var said []string
	for path, methods := range openAPI(t).Paths {
		for m := range methods {
			if slices.Contains([]string{"get", "post", "put", "patch", "delete"}, m) {
				said = append(said, strings.ToUpper(m)+" "+path)
			}
		}
	}
	slices.Sort(said)
	if diff := cmp.Diff(said, api.Routes()); diff != "" {
		t.Errorf("openapi.yaml (-) and the router (+) differ:\n%s", diff)
	}
}

func TestFileIsAValidDocument(t *testing.T) {
	v, errs := contract()
	if errs != nil {
		t.Fatal(errs)
	}
	if ok, problems := v.ValidateDocument(); !ok {
		for _, p := range problems {
			t.Error(p.Message, p.Reason, p.SchemaValidationErrors)
		}
	}
}

func TestFileHasTheClosedListOfCodes(t *testing.T) {
	var codes []string
	for _, c := range cloud.Codes() {
		codes = append(codes, string(c))
	}
	if diff := cmp.Diff(codes, openAPI(t).Components.Schemas["ErrorCode"].Enum); diff != "" {
		t.Errorf("cloud.Codes (-) and openapi.yaml (+) differ:\n%s", diff)
	}
}

func TestEveryCodeHasAMeaning(t *testing.T) {
	for _, c := range cloud.Codes() {
		f := newFront(t)
		f.anyCode = true
		f.store.broken = cloud.Errorf(c, "A sentence.")
		a := f.do("GET", "/v1/instances/"+nobodysID, "")
		if got := a.failure(); got.Code != string(c) || got.Detail != "A sentence." {
			t.Errorf("code %s became %s %q", c, got.Code, got.Detail)
		}
	}
}

func TestFieldsOfTheFileAreThoseOfTheWire(t *testing.T) {
	schemas := openAPI(t).Components.Schemas
	for name, v := range map[string]any{
		"Instance": wire.Instance{}, "CreateInstance": wire.CreateInstance{}, "UpdateInstance": wire.UpdateInstance{},
		"PowerRequest": wire.PowerRequest{}, "Image": wire.Image{}, "ImportImage": wire.ImportImage{}, "Flavor": wire.Flavor{},
		"CreateFlavor": wire.CreateFlavor{}, "Network": wire.Network{}, "Tenant": wire.Tenant{}, "CreateTenant": wire.CreateTenant{},
		"Event": wire.Event{}, "Usage": wire.Usage{}, "Host": wire.Host{}, "Version": wire.Version{}, "Failure": wire.Failure{},
		"Problem": wire.Problem{}, "Port": wire.Port{}, "Status": wire.Status{}, "UpdateImage": wire.UpdateImage{},
		"User": wire.User{}, "CreateUser": wire.CreateUser{}, "SetPassword": wire.SetPassword{}, "Membership": wire.Membership{},
		"SetMember": wire.SetMember{}, "Token": wire.Token{}, "CreateToken": wire.CreateToken{}, "Login": wire.Login{},
		"Session": wire.Session{}, "Whoami": wire.Whoami{}, "AuditEntry": wire.AuditEntry{}, "Quota": wire.Quota{}, "SetQuotas": wire.SetQuotas{},
		"Operation": wire.Operation{}, "OperationResource": wire.OperationResource{}, "OperationProgress": wire.OperationProgress{},
		"OperationError": wire.OperationError{}, "OperationCreator": wire.OperationCreator{},
		"UpdateLabels": wire.UpdateLabels{}, "BulkResult": wire.BulkResult{}, "BulkItem": wire.BulkItem{}, "BulkSkipped": wire.BulkSkipped{},
		"DryRun": wire.DryRun{}, "Estimate": wire.Estimate{}, "QuotaEstimate": wire.QuotaEstimate{},
		"Price": wire.Price{}, "CreatePrice": wire.CreatePrice{}, "EndPrice": wire.EndPrice{}, "Discount": wire.Discount{},
		"CreateDiscount": wire.CreateDiscount{}, "CreateEstimate": wire.CreateEstimate{}, "SizeEstimate": wire.SizeEstimate{},
		"PriceEstimate": wire.PriceEstimate{}, "EstimateLine": wire.EstimateLine{}, "InstanceCost": wire.InstanceCost{},
		"Invoice": wire.Invoice{}, "InvoiceLine": wire.InvoiceLine{}, "CreateInvoice": wire.CreateInvoice{}, "UsageSink": wire.UsageSink{}, "ChainLink": wire.ChainLink{},
		"Cost": wire.Cost{}, "CostLine": wire.CostLine{}, "CostForecast": wire.CostForecast{},
	} {
		said := slices.Sorted(maps.Keys(schemas[name].Properties))
		fields := api.KnownFields(v)
		slices.Sort(fields)
		if diff := cmp.Diff(said, fields); diff != "" {
			t.Errorf("%s: openapi.yaml (-) and package wire (+) differ:\n%s", name, diff)
		}
	}
}

// The examples are sent or compared as if they were real.
func TestExamplesAreWhatTheAPITakesAndGives(t *testing.T) {
	ex := openAPI(t).Components.Examples
	f := newFront(t)
	create := func(path, name string) {
		t.Helper()
		if a := f.do("POST", path, string(ex[name].Value)); a.StatusCode >= 300 {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
	f.store.mu.Lock()
	f.store.images = map[string]cloud.Image{debianImage: f.store.images[debianImage]}
	f.store.mu.Unlock()
	create("/v1/instances", "CreateInstanceWords")
	create("/v1/instances", "CreateInstanceNumbers")
	id := f.store.fill(1)[0]
	f.do("PATCH", "/v1/instances/"+id, string(ex["UpdateInstance"].Value)).want(http.StatusOK)
	f.do("POST", "/v1/images?tenant=other", string(ex["ImportImage"].Value)) // the fake store knows the name only by tenant

	for name, path := range map[string]string{
		"Instance": "/v1/instances/" + nobodysID, "InstanceRequested": "/v1/instances/" + nobodysID, "InstanceList": "/v1/instances",
		"Image": "/v1/images/" + nobodysID, "Network": "/v1/networks/" + nobodysID, "EventList": "/v1/events", "Usage": "/v1/usage",
		"Operation": "/v1/operations/" + nobodysID, "OperationList": "/v1/operations",
	} {
		a := &answer{t: t, body: ex[name].Value, Response: &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}}}
		if len(a.body) == 0 {
			t.Fatalf("no example %s", name)
		}
		a.check(httptest.NewRequest("GET", path, nil))
	}
}

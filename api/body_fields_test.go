package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"lodge/api"
)

// bodyField is a place in the body of a request: of a text that must not be empty,
// or of an object.
type bodyField struct {
	path   []any // names, and 0 for the first of a list
	object []string
}

// bodySchemas are the fields of the bodies in openapi.yaml, by route.
func bodySchemas(t *testing.T) map[string][]bodyField {
	t.Helper()
	var doc map[string]any
	if err := yaml.Unmarshal(api.OpenAPI, &doc); err != nil {
		t.Fatal(err)
	}
	resolve := func(v any) map[string]any {
		for {
			m, _ := v.(map[string]any)
			ref, ok := m["$ref"].(string)
			if !ok {
				return m
			}
			v = any(doc)
			for _, part := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
				v = v.(map[string]any)[part]
			}
		}
	}
	var walk func(schema map[string]any, at []any) []bodyField
	walk = func(schema map[string]any, at []any) (out []bodyField) {
		for _, part := range asList(schema["allOf"]) {
			out = append(out, walk(resolve(part), at)...)
		}
		if properties, ok := schema["properties"].(map[string]any); ok {
			var names []string
			for name, of := range properties {
				names = append(names, name)
				out = append(out, walk(resolve(of), append(append([]any{}, at...), name))...)
			}
			out = append(out, bodyField{at, names})
		}
		if items, ok := schema["items"]; ok {
			out = append(out, walk(resolve(items), append(append([]any{}, at...), 0))...)
		}
		least, _ := schema["minLength"].(float64)
		if fmt.Sprint(schema["type"]) == "string" && (least >= 1 || schema["enum"] != nil || schema["pattern"] != nil || schema["format"] != nil) {
			out = append(out, bodyField{path: at})
		}
		return out
	}
	found := map[string][]bodyField{}
	for path, methods := range doc["paths"].(map[string]any) {
		for method, op := range methods.(map[string]any) {
			m, _ := op.(map[string]any)
			body := resolve(m["requestBody"])
			content, _ := body["content"].(map[string]any)
			if media, ok := content["application/json"].(map[string]any); ok {
				found[strings.ToUpper(method)+" "+path] = walk(resolve(media["schema"]), nil)
			}
		}
	}
	return found
}

func asList(v any) []any { l, _ := v.([]any); return l }

// with is a body that has a value at a place, and what leads there.
func with(body any, path []any, value any) any {
	if len(path) == 0 {
		return value
	}
	if name, ok := path[0].(string); ok {
		out := map[string]any{}
		if m, ok := body.(map[string]any); ok {
			for k, v := range m {
				out[k] = v
			}
		}
		out[name] = with(out[name], path[1:], value)
		return out
	}
	list := append([]any{}, asList(body)...)
	if len(list) == 0 {
		list = []any{nil}
	}
	list[0] = with(list[0], path[1:], value)
	return list
}

// Every body refuses a field that it does not know, and one in other letters, at
// every depth; and "" for a text that openapi.yaml says is never empty.
func TestBodiesAreReadExactlyAtEveryDepth(t *testing.T) {
	g, _ := signingOn(t)
	ids := g.objects()
	schemas := bodySchemas(t)
	objects, texts := 0, 0
	for _, r := range api.Rules() {
		whole := fullBodies[r.Method+" "+r.Path]
		fields, has := schemas[r.Method+" "+r.Path]
		if !has || whole == "" {
			continue
		}
		path, _ := g.reach(r, ids)
		if strings.HasPrefix(r.Path, "/v1/instances/st") { // of many
			path = inQuery(path, "tenant=ours")
			if !strings.Contains(path, "all=") {
				path = inQuery(path, "all=true")
			}
		}
		var good any
		if err := json.Unmarshal([]byte(whole), &good); err != nil {
			t.Fatal(err)
		}
		for name, v := range good.(map[string]any) {
			if v == "" {
				delete(good.(map[string]any), name)
			}
		}
		refused := func(code string, at []any, value any) {
			t.Helper()
			body, err := json.Marshal(with(good, at, value))
			if err != nil {
				t.Fatal(err)
			}
			rec := g.unchecked("operator", r.Method, path, string(body))
			if rec.Code != 400 || code != "" && failureOf(t, rec).Code != code {
				t.Errorf("%s %s %s: %d %s", r.Method, r.Path, body, rec.Code, rec.Body)
			}
		}
		for _, f := range fields {
			if f.object == nil {
				texts++
				refused("", f.path, "")
				continue
			}
			objects++
			refused("unknown_field", append(append([]any{}, f.path...), "no_such_field"), 1)
			for _, name := range f.object {
				refused("unknown_field", append(append([]any{}, f.path...), strings.ToUpper(name[:1])+name[1:]), "x")
			}
		}
	}
	if objects < 20 || texts < 40 {
		t.Errorf("only %d objects and %d texts were looked at", objects, texts)
	}
}

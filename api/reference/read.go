package reference

import (
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v2"
)

// node is a mapping of the file in the order it is written in.
type node yaml.MapSlice

// document is a file that was read.
type document struct{ root node }

func read(b []byte) (document, error) {
	var root yaml.MapSlice
	if err := yaml.Unmarshal(b, &root); err != nil {
		return document{}, fmt.Errorf("read the OpenAPI file: %w", err)
	}
	d := document{node(root)}
	if !strings.HasPrefix(d.root.text("openapi"), "3.1") {
		return document{}, fmt.Errorf("openapi is %q and not 3.1", d.root.text("openapi"))
	}
	return d, nil
}

// get is the value of a key; nil when there is none.
func (n node) get(key string) any {
	for _, it := range n {
		if fmt.Sprint(it.Key) == key {
			return it.Value
		}
	}
	return nil
}

func (n node) text(key string) string {
	if v := n.get(key); v != nil {
		return fmt.Sprint(v)
	}
	return ""
}

func (n node) node(key string) node {
	m, _ := n.get(key).(yaml.MapSlice)
	return node(m)
}

func (n node) list(key string) []any {
	l, _ := n.get(key).([]any)
	return l
}

func (n node) words(key string) (out []string) {
	for _, v := range n.list(key) {
		out = append(out, fmt.Sprint(v))
	}
	return out
}

// follow gives what a node refers to, and the last word of the reference.
func (d document) follow(n node) (node, string, error) {
	ref := n.text("$ref")
	if ref == "" {
		return n, "", nil
	}
	at := d.root
	parts := strings.Split(strings.TrimPrefix(ref, "#/"), "/")
	for _, p := range parts {
		at = at.node(p)
	}
	if at == nil {
		return nil, "", fmt.Errorf("the OpenAPI file refers to %s, which it does not have", ref)
	}
	return at, parts[len(parts)-1], nil
}

// pretty is a value as JSON, in the file's order.
func pretty(v any, indent string) string {
	switch v := v.(type) {
	case yaml.MapSlice:
		if len(v) == 0 {
			return "{}"
		}
		rows := make([]string, len(v))
		for i, it := range v {
			rows[i] = pretty(fmt.Sprint(it.Key), "") + ": " + pretty(it.Value, indent+"  ")
		}
		return wrap("{", rows, "}", indent)
	case []any:
		if len(v) == 0 {
			return "[]"
		}
		rows := make([]string, len(v))
		for i, it := range v {
			rows[i] = pretty(it, indent+"  ")
		}
		return wrap("[", rows, "]", indent)
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// wrap puts rows on one line where they fit.
func wrap(open string, rows []string, end, indent string) string {
	one := open + " " + strings.Join(rows, ", ") + " " + end
	if open == "[" {
		one = open + strings.Join(rows, ", ") + end
	}
	if len(one)+len(indent) <= 76 && !strings.Contains(one, "\n") {
		return one
	}
	return open + "\n" + indent + "  " + strings.Join(rows, ",\n"+indent+"  ") + "\n" + indent + end
}

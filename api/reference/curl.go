package reference

import (
	"strings"

	"go.yaml.in/yaml/v2"
)

// stands are what the examples have in place of the parameters in a path.
var stands = strings.NewReplacer("/v1/flavors/{id}", "/v1/flavors/c2-m4", "{id}", "0192f0c4-7a52-7c1e-9f3a-3a1f6f0d2b11", "{user}", "ada")

// curl is a request of the operation for a shell.
func curl(op operation) string {
	var b strings.Builder
	b.WriteString("curl")
	if op.Method != "GET" {
		b.WriteString(" -X " + op.Method)
	}
	if op.Role != "open" {
		b.WriteString(` -H "Authorization: Bearer $LODGE_TOKEN"`)
	}
	b.WriteString(` "$LODGE_URL` + stands.Replace(op.Path) + `"`)
	if len(op.Bodies) > 0 && len(op.Bodies[0].Examples) > 0 {
		in := op.Bodies[0]
		b.WriteString(" \\\n  -H 'Content-Type: " + in.Media + "' \\\n  -d " + quoted(in.Examples[0]))
	}
	return b.String()
}

// quoted is one word of a shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// asNode is a mapping, or nothing.
func asNode(v any) node {
	m, _ := v.(yaml.MapSlice)
	return node(m)
}

package reference

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// view is what the page shows.
type view struct {
	Title, Summary, About, Version string
	Tags                           []tag
	Schemas                        []schema
	Codes                          []Code
}

type tag struct {
	Name, About string
	Operations  []operation
}

type operation struct {
	ID, Method, Path, Summary, About, Role string
	Parameters                             []field
	Bodies                                 []body // that may be sent
	Answers                                []answer
	Errors                                 []string
	Curl                                   string
}

type answer struct {
	Status, About string
	Bodies        []body
}

type body struct {
	Media, Schema string // Schema: its name, "" without one
	Examples      []string
}

type field struct {
	Name, In, Type, Schema, About string
	Required                      bool
}

type schema struct {
	Name, Type, About string
	Fields            []field
}

var verbs = []string{"get", "post", "put", "patch", "delete"}

func (d document) view(codes []Code) (*view, error) {
	info := d.root.node("info")
	v := &view{Title: info.text("title"), Summary: info.text("summary"), About: info.text("description"), Version: info.text("version"), Codes: codes}
	at := map[string]int{}
	for _, t := range d.root.list("tags") {
		n := asNode(t)
		at[n.text("name")] = len(v.Tags)
		v.Tags = append(v.Tags, tag{Name: n.text("name"), About: n.text("description")})
	}
	for _, p := range d.root.node("paths") {
		path, item := fmt.Sprint(p.Key), asNode(p.Value)
		for _, verb := range verbs {
			n := item.node(verb)
			if n == nil {
				continue
			}
			op, err := d.operation(verb, path, item, n)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", verb, path, err)
			}
			i, ok := at[strings.Join(n.words("tags"), " ")]
			if !ok {
				return nil, fmt.Errorf("%s %s: its tag is none of the file's", verb, path)
			}
			v.Tags[i].Operations = append(v.Tags[i].Operations, op)
		}
	}
	for _, s := range d.root.node("components").node("schemas") {
		v.Schemas = append(v.Schemas, d.schema(fmt.Sprint(s.Key), asNode(s.Value)))
	}
	return v, nil
}

func (d document) operation(verb, path string, item, n node) (operation, error) {
	op := operation{
		ID: n.text("operationId"), Method: strings.ToUpper(verb), Path: path, Summary: n.text("summary"),
		About: n.text("description"), Role: n.text("x-role"), Errors: n.words("x-errors"),
	}
	for _, p := range slices.Concat(item.list("parameters"), n.list("parameters")) {
		f, _, err := d.follow(asNode(p))
		if err != nil {
			return op, err
		}
		kind, name := d.typeOf(f.node("schema"))
		op.Parameters = append(op.Parameters, field{Name: f.text("name"), In: f.text("in"), Type: kind, Schema: name, About: f.text("description"), Required: f.text("required") == "true"})
	}
	var err error
	if op.Bodies, err = d.bodies(n.node("requestBody")); err != nil {
		return op, err
	}
	for _, r := range n.node("responses") {
		a, _, err := d.follow(asNode(r.Value))
		if err != nil {
			return op, err
		}
		// Failures look all alike; their codes say more than their examples.
		status := fmt.Sprint(r.Key)
		if code, err := strconv.Atoi(status); err != nil || code >= 400 {
			continue
		}
		bodies, err := d.bodies(a)
		if err != nil {
			return op, err
		}
		op.Answers = append(op.Answers, answer{Status: status, About: a.text("description"), Bodies: bodies})
	}
	op.Curl = curl(op)
	return op, nil
}

func (d document) bodies(n node) (out []body, err error) {
	for _, c := range n.node("content") {
		m := asNode(c.Value)
		b := body{Media: fmt.Sprint(c.Key)}
		_, b.Schema, err = d.follow(m.node("schema"))
		if err != nil {
			return nil, err
		}
		for _, e := range m.node("examples") {
			ex, _, err := d.follow(asNode(e.Value))
			if err != nil {
				return nil, err
			}
			value := ex.get("value")
			s, isText := value.(string)
			if !isText || strings.HasSuffix(b.Media, "json") {
				s = pretty(value, "")
			}
			b.Examples = append(b.Examples, strings.TrimRight(s, "\n"))
		}
		out = append(out, b)
	}
	return out, nil
}

func (d document) schema(name string, n node) schema {
	kind, _ := d.typeOf(n)
	s := schema{Name: name, Type: kind, About: n.text("description")}
	required := n.words("required")
	for _, p := range n.node("properties") {
		pn := asNode(p.Value)
		kind, ref := d.typeOf(pn)
		key := fmt.Sprint(p.Key)
		s.Fields = append(s.Fields, field{Name: key, Type: kind, Schema: ref, About: pn.text("description"), Required: slices.Contains(required, key)})
	}
	return s
}

// typeOf says what a value is, with its bounds, and the schema it links to.
func (d document) typeOf(n node) (kind, ref string) {
	if r := n.text("$ref"); r != "" {
		name := r[strings.LastIndex(r, "/")+1:]
		return name, name
	}
	kind = n.text("type")
	if types := n.words("type"); len(types) > 0 {
		kind = strings.Join(types, " or ")
	}
	if kind == "array" {
		of, ref := d.typeOf(n.node("items"))
		return "list of " + of, ref
	}
	if kind == "object" && n.node("additionalProperties") != nil {
		of, _ := d.typeOf(n.node("additionalProperties"))
		return "map to " + of, ""
	}
	for _, b := range []struct{ key, say string }{
		{"format", " (%s)"}, {"const", ", always %s"}, {"minimum", ", from %s"}, {"maximum", " to %s"}, {"maxLength", ", at most %s characters"}, {"default", ", default %s"},
	} {
		if v := n.text(b.key); v != "" {
			kind += fmt.Sprintf(b.say, v)
		}
	}
	if enum := n.words("enum"); len(enum) > 0 && n.get("properties") == nil {
		kind += ": " + strings.Join(enum, ", ")
	}
	return kind, ""
}

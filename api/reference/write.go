package reference

import (
	"fmt"
	"html"
	"strings"
)

// markup is HTML already; every other text is escaped where it is written.
type markup string

// writer writes HTML. html/template would do it too, but it calls methods by
// their names, so that the linker keeps every method of every type: 3.4 MB more
// of lodged.
type writer struct{ strings.Builder }

// put writes a format of HTML with escaped arguments.
func (w *writer) put(format string, args ...any) {
	for i, a := range args {
		if m, is := a.(markup); is {
			args[i] = string(m)
			continue
		}
		args[i] = html.EscapeString(fmt.Sprint(a))
	}
	fmt.Fprintf(w, format+"\n", args...)
}

func (w *writer) page(v *view) {
	w.put(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%s API reference</title>
<style>%s</style>
</head>
<body>`, v.Title, markup(pageCSS))
	w.contents(v)
	w.put(`<main>
<h1 id="top">%s</h1>
<p class="dim">API %s. %s The same for programs: <a href="/v1/openapi.yaml">openapi.yaml</a>.</p>
%s
<p>The examples take <code>LODGE_URL</code> and <code>LODGE_TOKEN</code> from the environment. On lodge's own machine no token is
needed: <code>curl --unix-socket /run/lodge/lodge.sock http://lodge/v1/instances</code>.</p>`, v.Title, v.Version, v.Summary, text(v.About))
	for _, t := range v.Tags {
		w.put("<section>\n<h2 id=\"tag-%s\">%s</h2>\n%s", t.Name, t.Name, text(t.About))
		for _, op := range t.Operations {
			w.operation(op)
		}
		w.put("</section>")
	}
	w.codes(v.Codes)
	w.put("<section>\n<h2 id=\"schemas\">Objects</h2>")
	for _, s := range v.Schemas {
		w.schema(s)
	}
	w.put("</section>\n</main>\n</body>\n</html>")
}

func (w *writer) contents(v *view) {
	w.put(`<nav aria-label="Contents"><details open><summary>Contents</summary>
<ul><li><a href="#top">Beginning</a></li><li><a href="#codes">Error codes</a></li><li><a href="#schemas">Objects</a></li></ul>`)
	for _, t := range v.Tags {
		w.put(`<b><a href="#tag-%s">%s</a></b><ul>`, t.Name, t.Name)
		for _, op := range t.Operations {
			w.put(`<li><a href="#%s">%s</a></li>`, op.ID, op.Summary)
		}
		w.put("</ul>")
	}
	w.put("</details></nav>")
}

func (w *writer) operation(op operation) {
	role := "needs " + op.Role
	if op.Role == "open" {
		role = "open to everybody"
	}
	w.put(`<article id="%s">
<h3><a href="#%s">%s</a></h3>
<p class="route"><span class="verb">%s</span> %s <span class="role">%s</span></p>
%s`, op.ID, op.ID, op.Summary, op.Method, op.Path, role, text(op.About))
	if len(op.Parameters) > 0 {
		w.put(`<h4>Parameters</h4>
<div class="table"><table><thead><tr><th>Name</th><th>In</th><th>Type</th><th>Meaning</th></tr></thead><tbody>`)
		for _, f := range op.Parameters {
			w.put(`<tr><td><code>%s</code>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>`, f.Name, mark(f.Required, "required"), f.In, f.link(), text(f.About))
		}
		w.put("</tbody></table></div>")
	}
	if len(op.Bodies) > 0 {
		w.put("<h4>Body</h4>")
		w.bodies(op.Bodies)
	}
	w.put("<h4>Try it</h4>\n<pre tabindex=\"0\">%s</pre>", op.Curl)
	for _, a := range op.Answers {
		w.put("<h4>%s</h4>\n<p>%s</p>", a.Status, inline(a.About))
		w.bodies(a.Bodies)
	}
	w.put("<h4>Error codes</h4>\n<p class=\"errors\">")
	for _, e := range op.Errors {
		w.put(`<a href="#code-%s"><code>%s</code></a>`, e, e)
	}
	w.put("</p>\n</article>")
}

func (w *writer) bodies(all []body) {
	for _, b := range all {
		of := markup("")
		if b.Schema != "" {
			of = ": " + field{Type: b.Schema, Schema: b.Schema}.link()
		}
		w.put(`<p class="dim">%s%s</p>`, b.Media, of)
		for _, e := range b.Examples {
			w.put(`<pre tabindex="0">%s</pre>`, e)
		}
	}
}

func (w *writer) codes(all []Code) {
	w.put(`<section>
<h2 id="codes">Error codes</h2>
<p>A refusal is <code>application/problem+json</code> (<a href="#schema-Failure">Failure</a>). The list is closed.</p>
<div class="table"><table><thead><tr><th>Code</th><th>Status</th><th>Meaning</th></tr></thead><tbody>`)
	for _, c := range all {
		w.put(`<tr id="code-%s"><td><code>%s</code></td><td>%s</td><td>%s</td></tr>`, c.Code, c.Code, c.Status, c.Title)
	}
	w.put("</tbody></table></div>\n</section>")
}

func (w *writer) schema(s schema) {
	w.put(`<article id="schema-%s">
<h3><a href="#schema-%s">%s</a></h3>`, s.Name, s.Name, s.Name)
	if len(s.Fields) == 0 {
		w.put(`<p class="dim">%s</p>`, s.Type)
	}
	if s.About != "" {
		w.put("%s", text(s.About))
	}
	if len(s.Fields) > 0 {
		w.put(`<div class="table"><table><thead><tr><th>Field</th><th>Type</th><th>Meaning</th></tr></thead><tbody>`)
		for _, f := range s.Fields {
			w.put(`<tr><td><code>%s</code>%s</td><td>%s</td><td>%s</td></tr>`, f.Name, mark(f.Required, "always"), f.link(), text(f.About))
		}
		w.put("</tbody></table></div>")
	}
	w.put("</article>")
}

// link is the type, with a link to its schema where it has one.
func (f field) link() markup {
	name := markup(html.EscapeString(f.Type))
	if f.Schema == "" {
		return name
	}
	return `<a href="#schema-` + markup(html.EscapeString(f.Schema)) + `">` + name + `</a>`
}

func mark(is bool, word string) markup {
	if !is {
		return ""
	}
	return ` <span class="dim">` + markup(word) + `</span>`
}

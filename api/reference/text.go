package reference

import (
	"html"
	"strings"
)

// text renders what descriptions use of Markdown: paragraphs, lists of lines
// that begin with a hyphen, and `code`.
func text(s string) markup {
	var b strings.Builder
	if s == "" {
		return ""
	}
	for _, part := range strings.Split(strings.TrimSpace(s), "\n\n") {
		items := list(part)
		if items == nil {
			b.WriteString("<p>" + string(inline(part)) + "</p>\n")
			continue
		}
		b.WriteString("<ul>\n")
		for _, it := range items {
			b.WriteString("<li>" + string(inline(it)) + "</li>\n")
		}
		b.WriteString("</ul>\n")
	}
	return markup(b.String())
}

// list gives the items of a paragraph that is a list; a line that does not begin
// with a hyphen goes on with the one before.
func list(part string) (items []string) {
	for _, line := range strings.Split(part, "\n") {
		it, begins := strings.CutPrefix(line, "- ")
		switch {
		case begins:
			items = append(items, it)
		case len(items) == 0:
			return nil
		default:
			items[len(items)-1] += " " + strings.TrimSpace(line)
		}
	}
	return items
}

// inline escapes everything but `code`.
func inline(s string) markup {
	var b strings.Builder
	for i, part := range strings.Split(s, "`") {
		esc := html.EscapeString(part)
		if i%2 == 1 {
			esc = "<code>" + esc + "</code>"
		}
		b.WriteString(esc)
	}
	return markup(b.String())
}

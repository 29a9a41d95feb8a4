package store

import (
	"strings"

	"lodge/cloud"
)

// listSpan is spanOf for a list of which the whole filter counts. The tenant is
// the one that the list was narrowed to, whoever said so.
func listSpan(p cloud.Page, list, tenantID string, f cloud.Filter) (span, error) {
	f.TenantID = tenantID
	return spanOf(p, list, f.Words()...)
}

// filter puts the conditions of a filter on a list of objects of a kind, but for
// those that only some lists know: tenant and state. The prefix is the alias of the listed table with its dot.
func (w *where) filter(kind cloud.Kind, prefix string, f cloud.Filter) {
	w.named(prefix, f)
	w.born(prefix+"created_at", f)
	for _, t := range f.Labels {
		w.label(kind, prefix+"id", t)
	}
}

func (w *where) equal(column, value string) {
	if value != "" {
		w.and(column+" = ?", value)
	}
}

// named narrows by name. The range is what an index can be asked for, and takes
// upper and lower case for different letters, which LIKE does not.
func (w *where) named(prefix string, f cloud.Filter) {
	w.equal(prefix+"name", f.Name)
	if f.NamePrefix != "" {
		w.and(prefix+"name >= ? AND "+prefix+"name < ?", f.NamePrefix, f.NamePrefix+"\U0010FFFF")
	}
}

// born narrows by the moment of creation.
func (w *where) born(column string, f cloud.Filter) {
	if !f.After.IsZero() {
		w.and(column+" > ?", stamp(f.After))
	}
	if !f.Before.IsZero() {
		w.and(column+" < ?", stamp(f.Before))
	}
}

// label is one term of a selector, looked up for the object whose id is in the
// column.
func (w *where) label(kind cloud.Kind, id string, t cloud.Term) {
	not, value, args := "", "", []any{string(kind), t.Key}
	if t.Op == cloud.TermNotIn || t.Op == cloud.TermHasNot {
		not = "NOT "
	}
	if len(t.Values) > 0 {
		in, values := valuesOf(t)
		value, args = " AND l.value IN ("+in+")", append(args, values...)
	}
	w.and(not+`EXISTS (SELECT 1 FROM label l WHERE l.kind = ? AND l.object_id = `+id+` AND l.key = ?`+value+`)`, args...)
}

// valuesOf is "?, ?" for the values of a term, and the values as arguments.
func valuesOf(t cloud.Term) (string, []any) {
	args := make([]any, len(t.Values))
	for i, v := range t.Values {
		args[i] = v
	}
	return strings.TrimSuffix(strings.Repeat("?, ", len(args)), ", "), args
}

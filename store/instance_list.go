package store

import (
	"strings"

	"lodge/cloud"
)

// often is how many objects with a label are too many to be sorted for each page.
const often = 1000

// route is how a list of instances is walked: by its order, or by the objects of
// one term of the selector.
type route struct {
	term int // of the selector; -1: by the order of the list
}

// needsCounts reports whether counting the objects of each term would help to
// choose a route.
func needsCounts(sel cloud.Selector, sort cloud.Sort) bool {
	only := -1
	for i, t := range sel {
		if t.Positive() {
			if only >= 0 {
				return true
			}
			only = i
		}
	}
	return only >= 0 && !ordered(sel[only], sort)
}

// ordered reports whether the objects of a term come in the order of the list:
// those of one value stand by age in the table of labels.
func ordered(t cloud.Term, sort cloud.Sort) bool {
	return t.Op == cloud.TermIn && len(t.Values) == 1 && !sort.ByName()
}

// chooseRoute chooses how to walk. found is about how many objects each term
// finds, counted up to often. The rarest one is taken: its objects are few enough
// to be sorted, or stand in the order of the list already. Where every term is
// found often, so is each along the order of the list.
func chooseRoute(sel cloud.Selector, sort cloud.Sort, found []int) route {
	best := route{term: -1}
	for i, t := range sel {
		if !t.Positive() || (found[i] >= often && !ordered(t, sort)) {
			continue
		}
		if best.term < 0 || found[i] < found[best.term] {
			best.term = i
		}
	}
	return best
}

// countTerms counts the objects of each positive term, up to often.
func countTerms(s source, tenantID string, f cloud.Filter, sort cloud.Sort) ([]int, error) {
	found := make([]int, len(f.Labels))
	if !needsCounts(f.Labels, sort) {
		return found, nil
	}
	for i, t := range f.Labels {
		if !t.Positive() {
			continue
		}
		var w where
		w.walkTerm(tenantID, t)
		w.args = append(w.args, often)
		if err := s.row(`SELECT COUNT(*) FROM (SELECT 1 FROM label l`+w.String()+` LIMIT ?)`, w.args...).Scan(&found[i]); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// walkTerm finds the objects of a term by the index of values.
func (w *where) walkTerm(tenantID string, t cloud.Term) {
	w.and("l.kind = ?", string(cloud.KindInstance))
	w.equal("l.tenant_id", tenantID)
	w.and("l.key = ?", t.Key)
	switch len(t.Values) {
	case 0:
	case 1:
		w.and("l.value = ?", t.Values[0])
	default:
		in, args := valuesOf(t)
		w.and("l.value IN ("+in+")", args...)
	}
}

// instanceRows are the instances of a list in words of SQL: tables and
// conditions, and the columns that its order is in.
type instanceRows struct {
	where
	from              string
	created, name, id string
}

// instancesOf says how the instances of a filter are found. wanted narrows it
// further, to what a bulk change has to do with; it may be empty.
func instancesOf(r route, tenantID string, f cloud.Filter, wanted string) *instanceRows {
	q := &instanceRows{from: " FROM instance i", created: "i.created_at", name: "i.name", id: "i.id"}
	if r.term >= 0 {
		// CROSS JOIN keeps SQLite to this order of the tables. The moment is taken
		// from the label: that is where the order is.
		q.from = " FROM label l CROSS JOIN instance i ON i.id = l.object_id"
		q.created, q.id = "l.created_at", "l.object_id"
		q.walkTerm(tenantID, f.Labels[r.term])
	}
	q.and("i.gone_at IS NULL")
	q.equal("i.tenant_id", tenantID)
	q.named("i.", f)
	q.equal("i.state", f.State)
	q.equal("i.image_id", f.ImageID)
	q.equal("i.flavor_id", f.FlavorID)
	q.equal("i.host_id", f.HostID)
	q.born(q.created, f)
	for n, t := range f.Labels {
		if n != r.term {
			q.label(cloud.KindInstance, "i.id", t)
		}
	}
	if wanted = strings.TrimSpace(wanted); wanted != "" {
		q.and(wanted)
	}
	return q
}

// page is the query for one part of the list, as revisions reads it.
func (q *instanceRows) page(s span) string {
	columns, key := "i.id, i.revision, "+q.created, q.created
	if s.sort.ByName() {
		columns, key = columns+", "+q.name, q.name
	}
	tail := s.by(&q.where, key, q.id)
	return "SELECT " + columns + q.from + tail
}

package api

import (
	"net/http"
	"reflect"
	"slices"
	"strings"

	"lodge/cloud"
)

// listOf says what the list of a noun can be asked for.
type listOf struct {
	params []string     // beside those of every list
	states []string     // with the parameter state
	item   reflect.Type // of package wire; its fields are what an item can be cut down to
}

// listing is what was asked of a list.
type listing struct {
	cloud.Filter
	cloud.Page
	fields []string // what to show of each item, in its own order; nil: everything
}

// everyList are the parameters of every list.
var everyList = []string{"tenant", "name", "name_prefix", "created_after", "created_before", "sort", "fields", "limit", "cursor"}

// readList reads what was asked of a list. A tenant or image that is named is
// looked up, so that an unknown one is said and not an empty list.
func (s *server) readList(r *http.Request, c cloud.Caller, of listOf) (listing, error) {
	l := listing{Page: cloud.Page{Limit: defaultLimit}}
	if r.URL.RawQuery == "" {
		return l, nil
	}
	q := parseQuery(r, append(slices.Clone(everyList), of.params...)...)
	l.Filter = s.readFilter(r, c, &q, of)
	l.Page = q.page()
	l.Sort = cloud.Sort(q.oneOf("sort", sorts()...))
	l.fields = q.fieldsOf(of.item)
	return l, q.err
}

// readFilter reads what narrows a list.
func (s *server) readFilter(r *http.Request, c cloud.Caller, q *query, of listOf) cloud.Filter {
	f := cloud.Filter{
		Name: q.Get("name"), NamePrefix: q.Get("name_prefix"), State: q.oneOf("state", of.states...),
		Labels: q.selector("label"), FlavorID: q.Get("flavor"), HostID: q.id("host"),
	}
	if q.Has("created_after") {
		f.After = q.instant("created_after", f.After)
	}
	if q.Has("created_before") {
		f.Before = q.instant("created_before", f.Before)
	}
	if f.HostID != "" && !c.Operator {
		q.fail(cloud.Errorf(cloud.CodeForbidden, "Only an operator narrows a list by host; leave the host out."))
	}
	if q.err == nil {
		f.TenantID, q.err = s.narrow(r, c, q.Get("tenant"))
	}
	if image := q.Get("image"); image != "" && q.err == nil {
		var img cloud.Image
		img, q.err = s.Images.Image(r.Context(), c, lowerID(image), f.TenantID)
		f.ImageID = img.ID
	}
	return f
}

func sorts() []string {
	out := make([]string, 0, len(cloud.Sorts()))
	for _, s := range cloud.Sorts() {
		out = append(out, string(s))
	}
	return out
}

// selector reads a selector of labels; nil when the parameter is not there.
func (q *query) selector(name string) cloud.Selector {
	if !q.Has(name) || q.err != nil {
		return nil
	}
	sel, err := cloud.ParseSelector(q.Get(name))
	if err != nil {
		q.fail(err)
	}
	return sel
}

// fieldsOf reads which fields of an item are shown, and puts them in the order
// of the item.
func (q *query) fieldsOf(item reflect.Type) []string {
	if !q.Has("fields") || q.err != nil {
		return nil
	}
	known := knownFields(item)
	asked := strings.Split(q.Get("fields"), ",")
	for n, name := range asked {
		asked[n] = strings.TrimSpace(name)
		if !slices.Contains(known, asked[n]) {
			q.fail(invalid("fields", "There is no field %s to show; the fields are %s.", quote(asked[n]), strings.Join(known, ", ")))
			return nil
		}
	}
	return slices.DeleteFunc(known, func(name string) bool { return !slices.Contains(asked, name) })
}

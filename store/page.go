package store

import (
	"encoding/base64"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"

	"lodge/cloud"
)

// How long a list is when the caller does not say, and at most.
const (
	defaultLimit = 100
	maxLimit     = 500
)

// span is a page as a query needs it: rows after (key, id), limit+1 of them, so
// that the one too many tells that there is more.
type span struct {
	limit int
	sort  cloud.Sort
	key   any // what the list is sorted by: milliseconds or a name
	id    string
	set   bool
	list  string // which list of which filter in which order the page is of
}

// place is where an object stands in a list.
type place struct {
	created  time.Time
	name, id string
}

// spanOf reads a page of the list that is named, narrowed by the words of its
// filter, always in the same order. Returns CodeInvalid for an unknown sort, and
// for a cursor that this list with this filter and sort did not give.
func spanOf(p cloud.Page, list string, filter ...string) (span, error) {
	s := span{limit: p.Limit, sort: p.Sort}
	if s.sort == "" {
		s.sort = cloud.SortCreated
	}
	if !slices.Contains(cloud.Sorts(), s.sort) {
		return s, invalid("sort", "There is no order %q.", s.sort)
	}
	s.list = listMark(list, append(filter, string(s.sort)))
	if s.limit <= 0 {
		s.limit = defaultLimit
	}
	s.limit = min(s.limit, maxLimit)
	if p.Cursor == "" {
		return s, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	if err != nil {
		return s, badCursor()
	}
	part := strings.SplitN(string(raw), ":", 4) // the key is last: a name may hold anything
	if len(part) != 4 || part[0] != "v3" || part[1] != s.list || part[2] == "" {
		return s, badCursor()
	}
	s.id, s.key, s.set = part[2], part[3], true
	if !s.sort.ByName() {
		if s.key, err = strconv.ParseInt(part[3], 10, 64); err != nil {
			return s, badCursor()
		}
	}
	return s, nil
}

// listMark is a short mark of a list and its filter. It is no secret: a cursor
// opens nothing that its list would not show.
func listMark(list string, filter []string) string {
	h := fnv.New64a()
	for _, word := range append([]string{list}, filter...) {
		_, _ = fmt.Fprintf(h, "%d:%s", len(word), word)
	}
	return strconv.FormatUint(h.Sum64(), 36)
}

func badCursor() error {
	e := cloud.Errorf(cloud.CodeInvalid, "The cursor was not made by this list with this filter and sort; leave it out to start from the beginning.")
	e.Fields = []cloud.FieldError{{Field: "cursor", Message: "Use the cursor of the page before as it was given, with the same filter and sort."}}
	return e
}

func (s span) cursor(at place) string {
	key := at.name
	if !s.sort.ByName() {
		key = strconv.FormatInt(at.created.UnixMilli(), 10)
	}
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "v3:%s:%s:%s", s.list, at.id, key))
}

// cut drops the row too many and gives the cursor of the next page.
func cut[T any](s span, items []T, at func(*T) place) ([]T, string) {
	if len(items) <= s.limit {
		return items, ""
	}
	items = items[:s.limit]
	return items, s.cursor(at(&items[s.limit-1]))
}

// where collects the conditions of a query; all of them have to hold.
type where struct {
	conds []string
	args  []any
}

func (w *where) and(cond string, args ...any) {
	w.conds = append(w.conds, cond)
	w.args = append(w.args, args...)
}

// in puts the page's conditions and its order behind the others. The prefix is
// the alias of the listed table with its dot, or empty.
func (s span) in(w *where, prefix string) string {
	key := prefix + "created_at"
	if s.sort.ByName() {
		key = prefix + "name"
	}
	return s.by(w, key, prefix+"id")
}

// by is in for columns of other names, of which key is what the list is sorted by.
func (s span) by(w *where, key, id string) string {
	after, order := ">", ""
	if s.sort.Descending() {
		after, order = "<", " DESC"
	}
	if s.set {
		w.and(fmt.Sprintf("(%s, %s) %s (?, ?)", key, id, after), s.key, s.id)
	}
	w.args = append(w.args, s.limit+1)
	return w.String() + fmt.Sprintf(" ORDER BY %s%s, %s%s LIMIT ?", key, order, id, order)
}

func (w *where) String() string {
	if len(w.conds) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conds, " AND ")
}

// scope is the tenant that a list is narrowed to: "" is all of them, for an
// operator only. Returns CodeNotFound for a tenant that the caller may not see.
func scope(c cloud.Caller, tenantID string) (string, error) {
	if c.Operator {
		return tenantID, nil
	}
	if tenantID == "" {
		tenantID = c.TenantID
	}
	if !c.Sees(tenantID) {
		return "", noTenant(tenantID)
	}
	return tenantID, nil
}

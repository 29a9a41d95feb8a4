package store

import (
	"encoding/base64"
	"fmt"
	"hash/fnv"
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

// span is a page as a query needs it: rows after (created, id), limit+1 of them,
// so that the one too many tells that there is more.
type span struct {
	limit   int
	created int64
	id      string
	set     bool
	list    string // which list of which filter the page is of
}

// spanOf reads a page of the list that is named, narrowed by the words of its
// filter, always in the same order. Returns CodeInvalid for a cursor that this
// list with this filter did not give.
func spanOf(p cloud.Page, list string, filter ...string) (span, error) {
	s := span{limit: p.Limit, list: listMark(list, filter)}
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
	part := strings.SplitN(string(raw), ":", 4)
	if len(part) != 4 || part[0] != "v2" || part[1] != s.list || part[3] == "" {
		return s, badCursor()
	}
	if s.created, err = strconv.ParseInt(part[2], 10, 64); err != nil {
		return s, badCursor()
	}
	s.id, s.set = part[3], true
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
	e := cloud.Errorf(cloud.CodeInvalid, "The cursor was not made by this list with this filter; leave it out to start from the beginning.")
	e.Fields = []cloud.FieldError{{Field: "cursor", Message: "Use the cursor of the page before as it was given, with the same filter."}}
	return e
}

func (s span) cursor(created time.Time, id string) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "v2:%s:%d:%s", s.list, created.UnixMilli(), id))
}

// cut drops the row too many and gives the cursor of the next page.
func cut[T any](s span, items []T, meta func(*T) (time.Time, string)) ([]T, string) {
	if len(items) <= s.limit {
		return items, ""
	}
	items = items[:s.limit]
	return items, s.cursor(meta(&items[s.limit-1]))
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
	if s.set {
		w.and(fmt.Sprintf("(%screated_at, %sid) > (?, ?)", prefix, prefix), s.created, s.id)
	}
	w.args = append(w.args, s.limit+1)
	return w.String() + fmt.Sprintf(" ORDER BY %screated_at, %sid LIMIT ?", prefix, prefix)
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

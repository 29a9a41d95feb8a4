package api

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gorilla/mux"

	"lodge/cloud"
)

// The length of a part of a list.
const (
	defaultLimit = 50
	maxLimit     = 500
)

// query is the query string of a request, with the first thing wrong in it.
type query struct {
	url.Values
	err error
}

// parseQuery refuses parameters that the route does not know, and empty ones:
// neither a slip nor a variable without a value may widen what is meant.
func parseQuery(r *http.Request, known ...string) query {
	if r.URL.RawQuery == "" {
		return query{}
	}
	v, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return query{err: invalid("query", "The query string is not well formed.")}
	}
	for name, values := range v {
		if !slices.Contains(known, name) {
			msg := "There is no parameter " + quote(name) + " here; the parameters are " + strings.Join(known, ", ") + "."
			if len(known) == 0 {
				msg = "There is no parameter " + quote(name) + " here; this route takes none."
			}
			return query{err: &cloud.Error{Code: cloud.CodeUnknownField, Message: msg, Fields: []cloud.FieldError{{Field: cut(name), Message: msg}}}}
		}
		if len(values) > 1 {
			return query{err: invalid(name, "The parameter %s is given more than once.", name)}
		}
		if !utf8.ValidString(values[0]) {
			return query{err: invalid(name, "The parameter %s is not UTF-8.", name)}
		}
		if values[0] == "" {
			return query{err: invalid(name, "The parameter %s is empty; give it a value or leave it out.", name)}
		}
	}
	return query{Values: v}
}

func (q *query) fail(err error) {
	if q.err == nil {
		q.err = err
	}
}

// integer gives a whole number from least to most, or the default when the
// parameter is not there.
func (q *query) integer(name string, missing, least, most int64) int64 {
	text := q.Get(name)
	if text == "" {
		return missing
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		q.fail(invalid(name, "The parameter %s is a whole number from %d to %d, not %s.", name, least, most, quote(text)))
		return missing
	}
	return n
}

// flag gives a truth value; not there is false.
func (q *query) flag(name string) bool {
	switch text := q.Get(name); text {
	case "", "false", "0":
		return false
	case "true", "1":
		return true
	default:
		q.fail(invalid(name, "The parameter %s is true or false, not %s.", name, quote(text)))
		return false
	}
}

// duration gives a time as "30s", at most so long; not there is 0.
func (q *query) duration(name string, most time.Duration) time.Duration {
	text := q.Get(name)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > most {
		q.fail(invalid(name, "The parameter %s is a time of at most %d seconds with its unit, as 30s, not %s.", name, int(most.Seconds()), quote(text)))
		return 0
	}
	return d
}

// page reads limit and cursor.
func (q *query) page() cloud.Page {
	return cloud.Page{Limit: int(q.integer("limit", defaultLimit, 1, maxLimit)), Cursor: q.Get("cursor")}
}

// oneOf gives a value of a closed list, or "".
func (q *query) oneOf(name string, values ...string) string {
	text := q.Get(name)
	if text != "" && !slices.Contains(values, text) {
		q.fail(invalid(name, "The parameter %s is one of %s, not %s.", name, strings.Join(values, ", "), quote(text)))
	}
	return text
}

// listQuery reads what every list of a tenant's objects takes. A tenant that
// is named is looked up, so that an unknown one is said and not an empty list.
func (s *server) listQuery(r *http.Request, c cloud.Caller, states ...string) (f cloud.Filter, p cloud.Page, err error) {
	if r.URL.RawQuery == "" {
		return f, cloud.Page{Limit: defaultLimit}, nil
	}
	known := []string{"tenant", "name", "state", "limit", "cursor"}
	if len(states) == 0 {
		known = slices.DeleteFunc(known, func(n string) bool { return n == "state" })
	}
	q := parseQuery(r, known...)
	p = q.page()
	f.Name, f.State = q.Get("name"), q.oneOf("state", states...)
	if q.err == nil {
		f.TenantID, q.err = s.narrow(r, c, q.Get("tenant"))
	}
	return f, p, q.err
}

// tenantFor is the tenant that a new object belongs to: the one named in the
// query or the body, or the caller's own, or for an operator the default one.
func (s *server) tenantFor(w http.ResponseWriter, r *http.Request, c cloud.Caller, inQuery, inBody string) (string, error) {
	if inQuery != "" && inBody != "" && inQuery != inBody {
		return "", invalid("tenant", "The query names the tenant %s and the body %s.", quote(inQuery), quote(inBody))
	}
	name := inQuery + inBody
	if inQuery == inBody {
		name = inQuery
	}
	if name == "" && c.TenantID != "" {
		return c.TenantID, nil
	}
	if name == "" {
		name = cloud.DefaultTenantName
	}
	t, err := s.Tenants.Tenant(r.Context(), c, lowerID(name))
	about(w, t.ID)
	return t.ID, err
}

// narrow is the id of the tenant that is named, "" for none.
func (s *server) narrow(r *http.Request, c cloud.Caller, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	t, err := s.Tenants.Tenant(r.Context(), c, lowerID(name))
	return t.ID, err
}

// ofLedger are the routes whose tenant may have been deleted: what it used stays.
var ofLedger = map[string]bool{
	"/v1/usage": true, "/v1/cost": true, "/v1/export/focus": true, "/v1/invoices": true, "/v1/invoices/draft": true, "/v1/invoices/{id}": true,
}

// account is narrow where usage is asked for: for an operator also the id of a
// tenant that was deleted. Its name may be another tenant's by now, and is never
// taken for it.
func (s *server) account(r *http.Request, c cloud.Caller, name string) (string, error) {
	id, err := s.narrow(r, c, name)
	if deleted := lowerID(name); cloud.CodeOf(err) == cloud.CodeNotFound && c.Operator && cloud.IsUUID(deleted) {
		accounts, failed := s.Billing.BillingAccounts(r.Context(), c, deleted)
		if failed != nil {
			return "", failed
		}
		if len(accounts) > 0 {
			return deleted, nil
		}
	}
	return id, err
}

// id gives a parameter that is a UUID, or "".
func (q *query) id(name string) string {
	text := lowerID(q.Get(name))
	if text != "" && !cloud.IsUUID(text) {
		q.fail(invalid(name, "The parameter %s is an id of 36 characters, not %s.", name, quote(text)))
	}
	return text
}

// lowerID writes a UUID as lodge does; RFC 9562 lets people write capitals. What
// is no UUID stays as it is.
func lowerID(text string) string {
	if id := strings.ToLower(text); cloud.IsUUID(id) {
		return id
	}
	return text
}

// pathID is the id in the path. What is no id is one that nobody has.
func pathID(r *http.Request, kind cloud.Kind) (string, error) {
	id := lowerID(mux.Vars(r)["id"])
	if !cloud.IsUUID(id) {
		return "", notFound(kind, id)
	}
	return id, nil
}

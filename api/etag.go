package api

import (
	"net/http"
	"strings"

	"lodge/cloud"
)

// unbound are the routes that change or end one object and take no If-Match, each
// with the reason. Every other PATCH, PUT and DELETE of one object takes it.
var unbound = map[string]string{
	"DELETE /v1/sessions/current":   "it ends the token that it shows, and nothing was read of it",
	"PUT /v1/users/{user}/password": "a password is never read, and the one before it is the condition",
	"DELETE /v1/instances":          "it is of many instances; expect says of how many",
}

// boundPosts are the POSTs that change one object and take If-Match, beside those
// of instances.
var boundPosts = map[string]bool{"/v1/prices/{id}/end": true, "/v1/discounts/{id}/end": true, "/v1/webhooks/{id}/secret": true}

// takesIfMatch reports whether a change by the route can be bound to what was
// read.
func takesIfMatch(rt route) bool {
	if _, not := unbound[rt.method+" "+rt.path]; not {
		return false
	}
	switch rt.method {
	case http.MethodPatch, http.MethodPut, http.MethodDelete:
		return true
	}
	return strings.HasPrefix(rt.path, "/v1/instances/{id}/") || boundPosts[rt.path] // its power, and others
}

// etag sends the tag of an object as its entity tag: RFC 9110 section 8.8.3.
func etag(w http.ResponseWriter, tag string) {
	w.Header()["Etag"] = []string{`"` + tag + `"`}
}

// ifMatch reads the tags of which the object must still have one; nil for any
// object, also for one that is not there yet.
func ifMatch(r *http.Request, rt route) ([]string, error) {
	values := r.Header["If-Match"]
	if len(values) == 0 || rt.method == http.MethodGet {
		return nil, nil
	}
	if !takesIfMatch(rt) {
		// A condition that is not looked at must not look as if it held.
		return nil, invalid("If-Match", "This route takes no If-Match.")
	}
	text := strings.Join(values, ",") // RFC 9110 section 5.2: as if it were one
	if strings.TrimSpace(text) == cloud.AnyTag {
		return []string{cloud.AnyTag}, nil
	}
	tags, ok := strongTags(text)
	if !ok || len(tags) == 0 {
		return nil, cloud.Errorf(cloud.CodePrecondition, "The If-Match is none of lodge's; give the ETag of the object as it was given.")
	}
	return tags, nil
}

// strongTags reads a list of entity tags, and leaves out what cannot be the same
// as any of lodge's: weak ones, for here only the strong comparison counts, and
// a quoted asterisk, which is no asterisk.
func strongTags(text string) (tags []string, ok bool) {
	for {
		text = strings.TrimLeft(text, " \t,")
		if text == "" {
			return tags, true
		}
		quoted, weak := strings.CutPrefix(text, "W/")
		inner, opened := strings.CutPrefix(quoted, `"`)
		tag, rest, closed := strings.Cut(inner, `"`)
		rest = strings.TrimLeft(rest, " \t")
		if !opened || !closed || rest != "" && rest[0] != ',' {
			return nil, false
		}
		if !weak && tag != cloud.AnyTag {
			tags = append(tags, strings.TrimSuffix(tag, gzipTag)) // other bytes of the same version
		}
		text = rest
	}
}

package api

import (
	"net/http"
	"strconv"
	"strings"

	"lodge/cloud"
)

// tagged are the nouns whose changes can be bound to what was read.
var tagged = []string{"/v1/instances/{id}", "/v1/images/{id}"}

// etag is the revision as an entity tag: RFC 9110 section 8.8.3.
func etag(w http.ResponseWriter, revision int64) {
	w.Header()["Etag"] = []string{`"` + strconv.FormatInt(revision, 10) + `"`}
}

// ifMatch reads the revision that an object must still be at; 0 for any.
func ifMatch(r *http.Request, rt route) (int64, error) {
	values := r.Header["If-Match"]
	if len(values) == 0 || rt.method == http.MethodGet {
		return 0, nil
	}
	takes := false
	for _, path := range tagged {
		takes = takes || strings.HasPrefix(rt.path, path)
	}
	if !takes {
		// A condition that is not looked at must not look as if it held.
		return 0, invalid("If-Match", "This route takes no If-Match.")
	}
	if len(values) == 1 && values[0] == "*" {
		return 0, nil
	}
	text := strings.Trim(values[0], `"`)
	whole := values[0] == `"`+text+`"`
	text = strings.TrimSuffix(text, gzipTag) // other bytes of the same revision
	n, err := strconv.ParseInt(text, 10, 64)
	if len(values) > 1 || err != nil || n <= 0 || !whole || text[0] == '+' || text[0] == '0' {
		return 0, cloud.Errorf(cloud.CodePrecondition, "The If-Match is none of lodge's; give the ETag of the object as it was given.")
	}
	return n, nil
}

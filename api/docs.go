package api

import (
	"net/http"
	"sync"

	"lodge/api/reference"
	"lodge/cloud"
)

// page is the reference for people. It is made when it is first asked for: most
// daemons never are.
var page = sync.OnceValues(func() (reference.Page, error) {
	var codes []reference.Code
	for _, c := range cloud.Codes() {
		codes = append(codes, reference.Code{Code: string(c), Status: meanings[c].status, Title: meanings[c].title})
	}
	return reference.Render(OpenAPI, codes)
})

var typeHTML = []string{"text/html; charset=utf-8"}

// docs answers with the reference, which says nothing of this installation.
func (s *server) docs(w http.ResponseWriter, r *http.Request, _ cloud.Caller) error {
	if q := parseQuery(r); q.err != nil {
		return q.err
	}
	p, err := page()
	if err != nil {
		return err
	}
	h := w.Header()
	h["Content-Security-Policy"] = []string{p.Policy}
	h["Referrer-Policy"] = []string{"no-referrer"}
	write(w, http.StatusOK, typeHTML, p.HTML)
	return nil
}

package api

import (
	_ "embed"
	"net/http"

	"lodge/cloud"
)

// OpenAPI is the description of /v1, as it is served.
//
//go:embed openapi.yaml
var OpenAPI []byte

func (s *server) version(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	if q := parseQuery(r); q.err != nil {
		return q.err
	}
	return reply(w, http.StatusOK, s.Version)
}

func (s *server) openAPI(w http.ResponseWriter, r *http.Request, _ cloud.Caller) error {
	if q := parseQuery(r); q.err != nil {
		return q.err
	}
	write(w, http.StatusOK, typeYAML, OpenAPI)
	return nil
}

package api

import (
	"reflect"
	"slices"

	"github.com/gorilla/mux"
)

// Routes lists the routes as the router has them.
func Routes() (out []string) {
	s := &server{}
	err := s.router().Walk(func(r *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err := r.GetPathTemplate()
		if err != nil {
			return err
		}
		methods, err := r.GetMethods()
		for _, m := range methods {
			out = append(out, m+" "+path)
		}
		return err
	})
	if err != nil {
		panic(err)
	}
	slices.Sort(out)
	return out
}

// KnownFields are the JSON names of v's fields.
func KnownFields(v any) []string { return knownFields(reflect.TypeOf(v)) }

// DecodeBytes is what every JSON body goes through.
func DecodeBytes(body []byte, out any) error { return decodeBytes(body, out) }

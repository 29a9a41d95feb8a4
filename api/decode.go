package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"lodge/cloud"
)

// decode reads the body of r into out, a pointer to a struct of package wire.
// Returns CodeMediaType, CodeTooLarge, CodeMalformed, CodeUnknownField, or
// CodeInvalid for a field that is empty or null.
func decode(w http.ResponseWriter, r *http.Request, out any) error {
	if err := wantJSON(r); err != nil {
		return err
	}
	defer bodyDone(r)
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	if err := decodeBytes(body, out); err != nil {
		return err
	}
	return refuseEmpty(body, reflect.TypeOf(out).Elem(), true)
}

// typeMerge is what a PATCH is, besides application/json: RFC 7396.
const typeMerge = "application/merge-patch+json"

// decodePatch is decode for a PATCH, which merges as RFC 7396 says: what is not
// there stays, null takes away. It returns the fields that are null, of those
// that may be taken away. Returns CodeInvalid for any other: an object always has
// it.
func decodePatch(w http.ResponseWriter, r *http.Request, out any, removable ...string) (nulls []string, err error) {
	if err := wantType(r, "application/json", typeMerge); err != nil {
		return nil, err
	}
	defer bodyDone(r)
	body, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	if err := decodeBytes(body, out); err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, malformed(body, err, nil)
	}
	var bad []cloud.FieldError
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		switch {
		case string(fields[name]) != "null":
		case slices.Contains(removable, name):
			nulls = append(nulls, name)
		default:
			bad = append(bad, cloud.FieldError{Field: name, Message: "The field " + name + " cannot be taken away; give it another value or leave it out."})
		}
	}
	if err := cloud.Invalid(bad); err != nil {
		return nil, err
	}
	return nulls, refuseEmpty(body, reflect.TypeOf(out).Elem(), false)
}

// decodeOptional is decode for a route whose body may be left out.
func decodeOptional(w http.ResponseWriter, r *http.Request, out any) error {
	if r.ContentLength == 0 {
		return nil
	}
	defer bodyDone(r)
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	if err := wantJSON(r); err != nil {
		return err
	}
	if err := decodeBytes(body, out); err != nil {
		return err
	}
	return refuseEmpty(body, reflect.TypeOf(out).Elem(), true)
}

func mediaType(r *http.Request) string {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return media
}

func wantJSON(r *http.Request) error { return wantType(r, "application/json") }

// wantType refuses a body that is of none of the types of JSON, or in another
// encoding than the only one that JSON has: RFC 8259 section 8.1.
func wantType(r *http.Request, types ...string) error {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset, said := params["charset"]
	if err == nil && slices.Contains(types, media) {
		if !said || strings.EqualFold(charset, "utf-8") {
			return nil
		}
		return cloud.Errorf(cloud.CodeMediaType, "JSON is sent as UTF-8, not as %s; leave the charset out.", quote(charset))
	}
	return cloud.Errorf(cloud.CodeMediaType, "The body must be sent as Content-Type: application/json, not %s.", quote(r.Header.Get("Content-Type")))
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	b, counts := r.Body.(*counted)
	if !counts {
		return nil, nil // there is no body
	}
	most := b.most
	tooLarge := func() error {
		// What is left of the body is not read.
		w.Header().Set("Connection", "close")
		return cloud.Errorf(cloud.CodeTooLarge, "The body has more than %d bytes, the most this route takes.", most)
	}
	if r.ContentLength > most {
		return nil, tooLarge()
	}
	body, err := b.whole(r.Context(), r.ContentLength)
	if cloud.CodeOf(err) == cloud.CodeUnavailable {
		w.Header().Set("Connection", "close")
		return nil, err
	}
	if err != nil {
		return nil, &cloud.Error{Code: cloud.CodeMalformed, Message: "The body did not arrive whole.", Cause: err}
	}
	if int64(len(body)) > most {
		return nil, tooLarge()
	}
	bodyArrived(w)
	if b.begin != nil {
		return body, b.begin(r.Context())
	}
	return body, nil
}

// decodeBytes reads exactly one JSON object whose fields are all known, spelled
// as the API spells them.
func decodeBytes(body []byte, out any) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil || fields == nil {
		return malformed(body, err, nil)
	}
	if err := ambiguous(body); err != nil {
		return err
	}
	if err := unknownFields(body, reflect.TypeOf(out).Elem()); err != nil {
		return err
	}
	if err := json.Unmarshal(body, out); err != nil {
		return malformed(body, err, reflect.TypeOf(out).Elem())
	}
	return nullTexts(fields, reflect.TypeOf(out).Elem())
}

// malformed says where the JSON is not what was expected: a struct of type t, or
// any object when t is nil.
func malformed(body []byte, err error, t reflect.Type) error {
	var typeErr *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &typeErr) && typeErr.Field != "" && isMap(t, typeErr.Field) && typeErr.Type.Kind() != reflect.Map:
		e := cloud.Errorf(cloud.CodeMalformed, "The values of %s must be %s, not %s.", quote(typeErr.Field), kindText(typeErr.Type), valueText(typeErr.Value))
		e.Fields = []cloud.FieldError{{Field: cut(typeErr.Field), Message: e.Message}}
		return e
	case errors.As(err, &typeErr) && typeErr.Field != "":
		e := cloud.Errorf(cloud.CodeMalformed, "The field %s must be %s, not %s.", quote(typeErr.Field), kindText(typeErr.Type), valueText(typeErr.Value))
		e.Fields = []cloud.FieldError{{Field: cut(typeErr.Field), Message: e.Message}}
		return e
	case len(bytes.TrimSpace(body)) == 0:
		return cloud.Errorf(cloud.CodeMalformed, "The body is empty; a JSON object is expected.")
	case errors.As(err, &syntax):
		e := cloud.Errorf(cloud.CodeMalformed, "The body is not one JSON document: it goes wrong at byte %d.", syntax.Offset)
		e.Cause = err
		return e
	}
	return &cloud.Error{Code: cloud.CodeMalformed, Message: "The body must be a JSON object.", Cause: err}
}

// isMap reports whether the field of struct t is a map, so that a wrong type is
// that of one of its values.
func isMap(t reflect.Type, field string) bool {
	if t == nil {
		return false
	}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name == field {
			return t.Field(i).Type.Kind() == reflect.Map
		}
	}
	return false
}

func kindText(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	case reflect.Pointer:
		return kindText(t.Elem())
	}
	return "something else"
}

// valueText names what was there, from the words of encoding/json.
func valueText(v string) string {
	switch v {
	case "array":
		return "a list"
	case "object":
		return "an object"
	case "bool":
		return "true or false"
	case "string", "number":
		return "a " + v
	}
	return "the " + cut(v) // "number 1.5"
}

func cut(s string) string {
	if r := []rune(s); len(r) > 64 {
		return string(r[:64]) + "…"
	}
	return s
}

// knownFields are the JSON names of a struct's fields.
func knownFields(t reflect.Type) []string {
	out := make([]string, 0, t.NumField())
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		out = append(out, name)
	}
	return out
}

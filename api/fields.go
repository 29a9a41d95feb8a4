package api

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"lodge/cloud"
)

// What is wrong with the fields of a body is looked for at every depth: a field
// that is misspelt within a threshold means as much as one beside it.

// mayBeEmpty are the text fields whose value may be "". In every other one it
// would mean the same as no field, or more than was meant: it comes from a
// variable without a value more often than from a wish.
var mayBeEmpty = []string{"user_data"}

// fieldsOfBody are the JSON names of a struct's fields with their types; those of
// an embedded struct are its own.
func fieldsOfBody(t reflect.Type) (names []string, types map[string]reflect.Type) {
	types = map[string]reflect.Type{}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct {
			in, of := fieldsOfBody(f.Type)
			names = append(names, in...)
			for k, v := range of {
				types[k] = v
			}
			continue
		}
		names, types[name] = append(names, name), f.Type
	}
	return names, types
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// eachField calls f with every field of every object of a type that has fields;
// at is its place, such as thresholds[0].percent, and field its type, nil for one
// that is not known. It looks no further where raw is of another type than it
// should be: that is for encoding/json to say.
func eachField(raw json.RawMessage, t reflect.Type, at string, f func(at string, raw json.RawMessage, field reflect.Type, known []string)) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(unmarshaler) {
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		var values map[string]json.RawMessage
		if json.Unmarshal(raw, &values) != nil {
			return
		}
		if at != "" {
			at += "."
		}
		known, types := fieldsOfBody(t)
		for name, value := range values {
			f(at+name, value, types[name], known)
			if types[name] != nil {
				eachField(value, types[name], at+name, f)
			}
		}
	case reflect.Slice:
		var values []json.RawMessage
		if json.Unmarshal(raw, &values) != nil {
			return
		}
		for i, value := range values {
			eachField(value, t.Elem(), at+"["+strconv.Itoa(i)+"]", f)
		}
	}
}

// unknownFields refuses fields that are not known, at any depth, spelled as the
// API spells them.
func unknownFields(body []byte, t reflect.Type) error {
	var unknown []cloud.FieldError
	eachField(body, t, "", func(at string, _ json.RawMessage, field reflect.Type, known []string) {
		if field != nil {
			return
		}
		msg := "There is no field " + quote(at) + "; the fields are " + strings.Join(known, ", ") + "."
		unknown = append(unknown, cloud.FieldError{Field: cut(at), Message: msg})
	})
	if len(unknown) == 0 {
		return nil
	}
	slices.SortFunc(unknown, func(a, b cloud.FieldError) int { return strings.Compare(a.Field, b.Field) })
	unknown = unknown[:min(len(unknown), 16)]
	return &cloud.Error{Code: cloud.CodeUnknownField, Message: unknown[0].Message, Fields: unknown}
}

// refuseEmpty refuses "", and within a list null too, where it would mean the same
// as no field.
func refuseEmpty(body []byte, t reflect.Type, nulls bool) error {
	var bad []cloud.FieldError
	eachField(body, t, "", func(at string, raw json.RawMessage, field reflect.Type, _ []string) {
		last := at[strings.LastIndexByte(at, '.')+1:]
		switch {
		case string(raw) == `""` && !slices.Contains(mayBeEmpty, last):
			bad = append(bad, cloud.FieldError{Field: cut(at), Message: "The field " + cut(at) + " is empty; give it a value or leave it out."})
		case string(raw) == "null" && (nulls || at != last):
			bad = append(bad, cloud.FieldError{Field: cut(at), Message: "The field " + cut(at) + " is null; give it a value or leave it out."})
		}
	})
	slices.SortFunc(bad, func(a, b cloud.FieldError) int { return strings.Compare(a.Field, b.Field) })
	return cloud.Invalid(bad)
}

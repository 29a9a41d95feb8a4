package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"lodge/cloud"
)

// encoding/json takes the last of two equal keys, an empty text for null, and
// U+FFFD for what is no character. Each would be a guess at what was meant.

// ambiguous refuses a valid JSON document that has a key twice in one object, or
// text that is not Unicode.
func ambiguous(body []byte) error {
	if at := notUTF8(body); at >= 0 {
		return cloud.Errorf(cloud.CodeMalformed, "The body must be UTF-8 text; what stands at byte %d is no character.", at+1)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	_, err := repeated(d, "", 0)
	var told *cloud.Error
	if err != nil && !errors.As(err, &told) {
		return malformed(body, err, nil)
	}
	return err
}

// notUTF8 gives the place of the first byte that is not UTF-8, or of the first
// escaped surrogate that stands alone; -1 for none.
func notUTF8(body []byte) int {
	for i := 0; i < len(body); {
		if body[i] == '\\' {
			n := escape(body[i:])
			if n == 0 {
				return i
			}
			i += n
			continue
		}
		r, n := utf8.DecodeRune(body[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
	return -1
}

// escape gives the length of the escape that b begins with, 0 for half of a
// surrogate pair.
func escape(b []byte) int {
	switch r := escapedUnit(b); {
	case r < 0:
		return 2
	case r < 0xD800 || r > 0xDFFF:
		return 6
	case r < 0xDC00:
		if low := escapedUnit(b[6:]); low >= 0xDC00 && low <= 0xDFFF {
			return 12
		}
	}
	return 0
}

// escapedUnit reads "\uXXXX", -1 when b begins with something else.
func escapedUnit(b []byte) int64 {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseInt(string(b[2:6]), 16, 32)
	if err != nil {
		return -1
	}
	return n
}

// repeated reads one value and refuses an object that has a key twice. at is the
// field that the value belongs to.
func repeated(d *json.Decoder, at string, depth int) (json.Token, error) {
	tok, err := d.Token()
	if err != nil {
		return nil, err
	}
	if tok != json.Delim('{') && tok != json.Delim('[') {
		return tok, nil
	}
	seen := map[string]bool{}
	for d.More() {
		field := at
		if tok == json.Delim('{') {
			t, err := d.Token()
			if err != nil {
				return nil, err
			}
			key, _ := t.(string)
			switch depth {
			case 0:
				field = key
			case 1:
				field += "[" + quote(key) + "]"
			}
			if seen[key] {
				e := cloud.Errorf(cloud.CodeMalformed, "The key %s is given twice in one object.", quote(key))
				e.Fields = []cloud.FieldError{{Field: cut(field), Message: e.Message}}
				return nil, e
			}
			seen[key] = true
		}
		if _, err := repeated(d, field, depth+1); err != nil {
			return nil, err
		}
	}
	return d.Token()
}

// nullTexts refuses null as a value of a map of texts.
func nullTexts(fields map[string]json.RawMessage, t reflect.Type) error {
	for f := range t.Fields() {
		if f.Type.Kind() != reflect.Map || f.Type.Elem().Kind() != reflect.String {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		var values map[string]*string
		if len(fields[name]) == 0 || json.Unmarshal(fields[name], &values) != nil {
			continue
		}
		var null []string
		for k, v := range values {
			if v == nil {
				null = append(null, k)
			}
		}
		if len(null) > 0 {
			field := name + "[" + quote(slices.Min(null)) + "]"
			e := cloud.Errorf(cloud.CodeMalformed, "The field %s must be a string, not null.", field)
			e.Fields = []cloud.FieldError{{Field: field, Message: e.Message}}
			return e
		}
	}
	return nil
}

package api

import (
	"encoding/json"
	"net/http"
	"slices"

	"lodge/api/wire"
)

// replyListing writes a part of a list, cut down to the fields that were asked
// for.
func replyListing[T, W any](w http.ResponseWriter, l listing, items []T, next string, render func(T) W) error {
	if l.fields == nil {
		return replyList(w, items, next, render)
	}
	out := wire.List[json.RawMessage]{Items: make([]json.RawMessage, 0, len(items)), Next: next, Fields: l.fields}
	for _, it := range items {
		b, err := json.Marshal(render(it))
		if err != nil {
			return err
		}
		out.Items = append(out.Items, trim(nil, b, l.fields))
	}
	return reply(w, http.StatusOK, out)
}

// trim appends to out the object of b with only the named fields, in its order.
// b is what json.Marshal made of a struct: valid, without spaces, and with names
// that need no escapes. So nothing is decoded: an item that is kept is cut in
// less time than it takes to render it anew.
func trim(out, b []byte, fields []string) []byte {
	start := len(out)
	out = append(out, '{')
	for i := 1; i < len(b) && b[i] == '"'; {
		from := i
		i = endOfString(b, i)
		name := b[from+1 : i-1]
		i = endOfValue(b, i+1) // behind the colon
		if slices.Contains(fields, string(name)) {
			if len(out) > start+1 {
				out = append(out, ',')
			}
			out = append(out, b[from:i]...)
		}
		i++ // the comma, or the end
	}
	return append(out, '}')
}

// endOfString is the place behind the string that begins at i.
func endOfString(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// endOfValue is the place behind the value that begins at i.
func endOfValue(b []byte, i int) int {
	for depth := 0; ; i++ {
		switch b[i] {
		case '"':
			i = endOfString(b, i) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
}

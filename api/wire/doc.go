// Package wire holds the JSON of /v1 as Go types, for the server and for its
// clients. It imports the standard library only and holds no rules: what a
// value may be is said by openapi.yaml and checked by the server.
//
// Times are RFC 3339 in UTC with milliseconds; sizes carry their unit in the
// name; lists and maps are never null.
package wire

import (
	"encoding/json"
	"fmt"
	"time"
)

// timeLayout is RFC 3339 with exactly three decimals.
const timeLayout = "2006-01-02T15:04:05.000Z"

// Time is a time.Time that is written in UTC with milliseconds.
type Time struct{ time.Time }

// MarshalJSON writes the time.
func (t Time) MarshalJSON() ([]byte, error) {
	return t.UTC().AppendFormat(make([]byte, 0, len(timeLayout)+2), `"`+timeLayout+`"`), nil
}

// UnmarshalJSON reads any RFC 3339 time; null is the zero time.
func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		t.Time = time.Time{}
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return fmt.Errorf("%q is not an RFC 3339 time", s)
	}
	t.Time = at.UTC()
	return nil
}

// List is one part of a list. Next, when not empty, is the cursor of the part
// that follows.
type List[T any] struct {
	Items  []T      `json:"items"`
	Next   string   `json:"next,omitempty"`
	Fields []string `json:"fields,omitempty"` // what the items were cut down to; none: they are whole
}

// Failure is an answer that says what went wrong: problem details of RFC 9457.
type Failure struct {
	Type      string       `json:"type"`             // "urn:lodge:error:" and the code
	Title     string       `json:"title"`            // what the code means
	Status    int          `json:"status"`           // as in the answer's head
	Code      string       `json:"code"`             // for programs; the list is closed
	Detail    string       `json:"detail"`           // a sentence for people
	Errors    []FieldError `json:"errors,omitempty"` // what is wrong with which field
	RequestID string       `json:"request_id"`       // the log of lodged has it too

	// Of quota_exceeded.
	Resource string `json:"resource,omitempty"`
	Limit    *int64 `json:"limit,omitempty"`
	Used     *int64 `json:"used,omitempty"`
	Asked    *int64 `json:"asked,omitempty"`
}

// FieldError says what is wrong with one field of a request.
type FieldError struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Problem is what keeps an object from being as its owner wants it.
type Problem struct {
	Code     string `json:"code"`
	Message  string `json:"message"`
	Since    Time   `json:"since"`
	RetryAt  Time   `json:"retry_at,omitzero"` // absent: lodge waits for a change
	Attempts int    `json:"attempts"`
}

// Version is the answer of GET /v1/version.
type Version struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
	API     string `json:"api"` // "v1"
}

// Status is the answer of the probes.
type Status struct {
	Status string `json:"status"` // "ok"
}

package daemon

import (
	"errors"
	"strings"

	"lodge/cloud"
)

// Plain is the text of an error without the codes in it, which are for programs
// that ask the API.
func Plain(err error) string {
	text := err.Error()
	var e *cloud.Error
	for rest := err; errors.As(rest, &e); rest = e.Cause {
		text = strings.Replace(text, string(e.Code)+": "+e.Message+": ", strings.TrimSuffix(e.Message, ".")+": ", 1)
		text = strings.Replace(text, string(e.Code)+": "+e.Message, e.Message, 1)
	}
	return text
}

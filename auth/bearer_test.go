package auth

import (
	"net/http"
	"strings"
	"testing"

	"lodge/cloud"
)

// A header is a secret or CodeUnauthorized; the secret is a part of the header and
// never a part of the refusal.
func FuzzBearer(f *testing.F) {
	good := NewSecret()
	for _, h := range []string{"Bearer " + good, "bearer " + good, "Bearer", "Bearer ", "Basic YTpi", good, "Bearer  " + good + " ", "Bearer " + good[:70], "\x00"} {
		f.Add(h)
	}
	f.Fuzz(func(t *testing.T, h string) {
		r := &http.Request{Header: http.Header{"Authorization": {h}}}
		secret, err := bearer(r)
		if err != nil {
			if cloud.CodeOf(err) != cloud.CodeUnauthorized || len(h) > 12 && strings.Contains(err.Error(), h) {
				t.Errorf("%q: %v", h, err)
			}
			return
		}
		if !strings.Contains(h, secret) || !strings.EqualFold(h[:7], "Bearer ") {
			t.Errorf("%q gives %q", h, secret)
		}
		r.Header["Authorization"] = []string{h, h}
		if _, err := bearer(r); err == nil {
			t.Errorf("two of %q are taken", h)
		}
	})
}

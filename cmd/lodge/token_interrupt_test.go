package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"lodge/api/wire"
)

// A token whose making is interrupted is made in lodged and printed nowhere: it is
// ended.
func TestAnInterruptedTokenIsRevoked(t *testing.T) {
	for name, revoked := range map[string]bool{"revoked": true, "not": false} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var mu sync.Mutex
			var keys, ended []string
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				mu.Lock()
				defer mu.Unlock()
				if r.Method == "DELETE" {
					ended = append(ended, r.URL.Path)
					if revoked {
						write(w, nil)
					} else {
						write(w, problem{Status: 503, Code: "unavailable", Detail: "Later."})
					}
					return
				}
				if keys = append(keys, r.Header.Get("Idempotency-Key")); len(keys) == 1 {
					cancel()
					mu.Unlock()
					<-r.Context().Done() // the client has gone
					mu.Lock()
					return
				}
				write(w, wire.Token{ID: web1ID, Name: "ci", Secret: secretToken})
			}))
			defer srv.Close()
			b := newBench(t)
			delete(b.env, "LODGE_SOCKET")
			b.env["LODGE_URL"], b.env["LODGE_TOKEN"] = srv.URL, secretToken
			code := b.app.run(ctx, []string{"token", "create", "ci"})
			said := b.err.String()
			if code != exitInterrupted || len(keys) != 2 || keys[0] != keys[1] || len(keys[0]) < 32 || strings.Join(ended, " ") != "/v1/tokens/"+web1ID {
				t.Errorf("exit %d, keys %q, ended %q: %s", code, keys, ended, said)
			}
			if strings.Contains(said, "was revoked") != revoked || strings.Contains(said, "lodge token revoke ci") == revoked || b.out.Len() > 0 {
				t.Errorf("%s%s", b.out.String(), said)
			}
		})
	}
}

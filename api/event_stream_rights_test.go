package api_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"lodge/api/wire"
	"lodge/cloud"
)

func TestAStreamEndsWithTheRightToSeeIt(t *testing.T) {
	for name, end := range map[string]struct {
		actor string
		take  func(*guarded) error
		code  cloud.Code
	}{
		"token revoked": {"token", func(g *guarded) error {
			return g.db.RevokeToken(context.Background(), operator, g.store.now, g.as("token", "GET", "/v1/whoami", "").token())
		}, cloud.CodeUnauthorized},
		"session ended": {"ours viewer", func(g *guarded) error {
			g.as("ours viewer", "DELETE", "/v1/sessions/current", "").want(204)
			return nil
		}, cloud.CodeUnauthorized},
		"user deleted": {"ours viewer", func(g *guarded) error {
			return g.db.DeleteUser(context.Background(), operator, g.store.now, "ours-viewer")
		}, cloud.CodeUnauthorized},
		"membership removed": {"ours viewer", func(g *guarded) error {
			return g.db.RemoveMember(context.Background(), operator, g.store.now, g.tenants["ours"].ID, "ours-viewer")
		}, cloud.CodeNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, quiet := range []bool{true, false} {
				g := newGuarded(t)
				g.tokens["token"] = decoded[wire.Token](g.as("ours admin", "POST", "/v1/tokens", `{"name":"ci","role":"viewer"}`).want(201)).Secret
				srv := g.listen()
				came := messages(g.open(t.Context(), srv.URL, end.actor, "").Body)
				nextMessage(t, came)
				g.happen("ours", 1)
				if m := nextMessage(t, came); !strings.Contains(m, "image.created") {
					t.Fatalf("got %q", m)
				}
				if err := end.take(g); err != nil {
					t.Fatal(err)
				}
				since := time.Now()
				if !quiet {
					g.happen("ours", 1) // nothing of it may be sent
				}
				m := nextMessage(t, came)
				data, ok := strings.CutPrefix(m, "event: end\ndata: ")
				var f wire.Failure
				if err := json.Unmarshal([]byte(data), &f); !ok || err != nil || f.Code != string(end.code) || !strings.HasSuffix(f.Detail, ".") {
					t.Errorf("it ends with %q", m)
				}
				if took := time.Since(since); took > 5*time.Second {
					t.Errorf("it took %s", took)
				}
				if m, open := <-came; open {
					t.Errorf("after the end comes %q", m)
				}
			}
		})
	}
}

// token is the id of the token in an answer of whoami.
func (a *answer) token() string { return decoded[wire.Whoami](a.want(200)).TokenID }

func TestJoiningAnotherTenantEndsNoStream(t *testing.T) {
	g := newGuarded(t)
	srv := g.listen()
	came := messages(g.open(t.Context(), srv.URL, "ours viewer", "").Body)
	nextMessage(t, came)
	if _, err := g.db.SetMember(t.Context(), operator, g.store.now, g.tenants["theirs"].ID, "ours-viewer", cloud.RoleAdmin); err != nil {
		t.Fatal(err)
	}
	g.happen("theirs", 1)
	g.happen("ours", 1)
	if m := nextMessage(t, came); !strings.Contains(m, g.tenants["ours"].ID) {
		t.Errorf("got %q", m)
	}
}

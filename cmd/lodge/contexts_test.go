package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"lodge/api/wire"
)

// keep writes contexts as a login would have.
func (b *bench) keep(t *testing.T, current string, all map[string]*place) {
	t.Helper()
	err := b.app.changeContexts(func(f *contexts) error {
		f.Current, f.Contexts = current, all
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (b *bench) kept(t *testing.T) *contexts {
	t.Helper()
	f, err := b.app.readContexts()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// two puts the fake behind a current context, beside one that has ended.
func two(t *testing.T) func(*bench) {
	return func(b *bench) {
		b.overTCP(t)
		b.keep(t, "here", map[string]*place{
			"here": {URL: "http://" + b.addr, Tenant: "acme", User: "ada", Token: secretToken, ExpiresAt: ago(-12 * time.Hour)},
			"old":  {URL: "http://" + b.addr, User: "bob", Token: secretToken, ExpiresAt: ago(time.Hour)},
			"out":  {URL: "http://" + b.addr, User: "eve"},
			"ci":   {URL: "http://" + b.addr, Tenant: "acme", Token: secretToken},
		})
	}
}

func TestContextsAreKept(t *testing.T) {
	runGolden(t, []golden{
		{"context-list", "context list", two(t)},
		{"context-list-json", "context list -o json", two(t)},
		{"context-list-none", "context list -o json", nil},
		{"context-show", "context show", two(t)},
		{"context-show-yaml", "context show old -o yaml", two(t)},
		{"context-show-none", "context show", nil},
		{"context-show-missing", "context show nobody", two(t)},
		{"context-use", "context use old", two(t)},
		{"context-use-missing", "context use nobody", two(t)},
		{"context-delete", "context delete here", two(t)},
		{"context-rename", "context rename here there", two(t)},
		{"context-rename-taken", "context rename here old", two(t)},
		{"context-rename-bad", "context rename here a/b", two(t)},
		{"context-complete", "__complete context use ~", two(t)},
		{"context-broken", "list", func(b *bench) {
			delete(b.env, "LODGE_SOCKET")
			b.put(t, ".config/lodge/config.yaml", "contexts:\n  a:\n    tokn: "+secretToken+"\n")
		}},
	})
}

func TestAContextIsUsed(t *testing.T) {
	gone := problem{Status: 401, Code: "unauthorized", Detail: "The token is unknown or was revoked; log in again, or use another one."}
	env := func(b *bench) {
		b.overTCP(t)
		b.env["LODGE_URL"], b.env["LODGE_TOKEN"] = "http://"+b.addr, secretToken
	}
	runGolden(t, []golden{
		{"context-list-instances", "list", two(t)},
		{"context-named", "list --context ci --tenant other", two(t)},
		{"context-env", "list", func(b *bench) { two(t)(b); b.env["LODGE_CONTEXT"] = "old"; b.on("GET /v1/instances", gone) }},
		{"context-unauthorized", "list", func(b *bench) { two(t)(b); b.on("GET /v1/instances", gone) }},
		{"context-unauthorized-other", "list --context ci", func(b *bench) { two(t)(b); b.on("GET /v1/instances", gone) }},
		{"context-logged-out", "list --context out", two(t)},
		{"context-unknown", "list --context nobody", two(t)},
		{"context-socket", "list", func(b *bench) { two(t)(b); b.env["LODGE_SOCKET"] = filepath.Join(b.dir, "s") }},
		{"context-and-socket", "list --context ci --socket x.sock", two(t)},
		{"context-unreachable", "list --context gone", func(b *bench) {
			b.overTCP(t)
			b.keep(t, "", map[string]*place{"gone": {URL: "http://127.0.0.1:1", Token: secretToken}})
		}},
		{"context-plain", "list --context far", func(b *bench) {
			b.overTCP(t)
			b.keep(t, "", map[string]*place{"far": {URL: "http://lodge.example", Token: secretToken}})
		}},
		{"context-no-url", "list --context bare", func(b *bench) {
			b.overTCP(t)
			b.keep(t, "", map[string]*place{"bare": {Token: secretToken}})
		}},
		{"context-bad-ca", "list --context torn", func(b *bench) {
			b.overTCP(t)
			b.keep(t, "", map[string]*place{"torn": {URL: "https://lodge.example", CA: "-----BEGIN", Token: secretToken}})
		}},
		{"context-none-current", "list", func(b *bench) {
			b.app.real = b.env["LODGE_SOCKET"]
			delete(b.env, "LODGE_SOCKET")
			b.keep(t, "", map[string]*place{"far": {URL: "https://lodge.example", Token: secretToken}})
		}},
		{"env-url", "list", env},
		{"env-url-unauthorized", "list", func(b *bench) { env(b); b.on("GET /v1/instances", gone) }},
		{"env-url-no-token", "list", func(b *bench) { env(b); delete(b.env, "LODGE_TOKEN") }},
		{"env-url-broken-token", "list", func(b *bench) { env(b); b.env["LODGE_TOKEN"] = secretToken + "\nsecond line" }},
		{"env-url-bad-ca", "list", func(b *bench) { env(b); b.env["LODGE_CA"] = filepath.Join(b.dir, "none.pem") }},
		{"env-context-first", "list", func(b *bench) { two(t)(b); b.env["LODGE_URL"], b.env["LODGE_CONTEXT"] = "http://127.0.0.1:1", "ci" }},
	})
}

func TestLoginsAreKept(t *testing.T) {
	acme, home := inTenant(acmeID, "acme", "admin"), inTenant(homeID, "default", "viewer")
	tcp := func(answer any, in string) func(*bench) {
		return func(b *bench) {
			b.overTCP(t)
			b.in.Reset(in)
			b.on("POST /v1/sessions", answer).on("DELETE /v1/sessions/current", nil)
		}
	}
	wrong := problem{Status: 401, Code: "unauthorized", Detail: "The user name or the password is wrong."}
	me := wire.Whoami{UserName: "ada", TenantID: acmeID, Role: "admin", Scope: "all", Via: "token", Memberships: []wire.Membership{acme, home}}
	runGolden(t, []golden{
		{"login", "login http://ADDR --user ada --password-stdin", tcp(session(ada(acme)), "correct horse battery\n")},
		{"login-json", "login http://ADDR/ --user ada --password-stdin --context prod -o json", tcp(session(ada(acme)), "correct horse battery\n")},
		{"login-asks", "login http://ADDR", func(b *bench) {
			tcp(session(ada(acme)), "ada\n")(b)
			b.app.ttyIn, b.secrets = true, []string{"correct horse battery"}
		}},
		{"login-unasked", "login http://ADDR --user ada", tcp(nil, "")},
		{"login-nobody", "login http://ADDR --password-stdin", tcp(nil, "x\n")},
		{"login-wrong", "login http://ADDR --user ada --password-stdin", tcp(wrong, "x\n")},
		{"login-tenants", "login http://ADDR --user ada --password-stdin", tcp(session(ada(acme, home)), "x\n")},
		{"login-tenant", "login http://ADDR --user ada --password-stdin --tenant default", tcp(session(ada(acme, home)), "x\n")},
		{"login-tenant-not", "login http://ADDR --user ada --password-stdin --tenant other", tcp(session(ada(acme)), "x\n")},
		{"login-no-tenant", "login http://ADDR --user ada --password-stdin", tcp(session(ada()), "x\n")},
		{"login-again", "login http://ADDR --user ada --password-stdin --context here", func(b *bench) {
			two(t)(b)
			b.in.Reset("x\n")
			b.on("POST /v1/sessions", session(ada(acme, home)))
		}},
		{"login-elsewhere", "login http://127.0.0.1:1 --context here --user ada --password-stdin", two(t)},
		{"login-hidden", "login http://ADDR --user ada --password-stdin", func(b *bench) {
			tcp(session(ada(acme)), "x\n")(b)
			b.env["LODGE_URL"] = "http://127.0.0.1:1"
		}},
		{"login-token", "login http://ADDR --context ci --token-stdin", func(b *bench) { tcp(nil, secretToken+"\n")(b); b.on("GET /v1/whoami", me) }},
		{"login-token-bad", "login http://ADDR --context ci --token-stdin", func(b *bench) {
			tcp(nil, secretToken+"\n")(b)
			b.on("GET /v1/whoami", problem{Status: 401, Code: "unauthorized", Detail: "The token is unknown or was revoked; log in again, or use another one."})
		}},
		{"login-stranger", "login http://ADDR --user ada --password-stdin", tcp(map[string]any{}, "x\n")},
		{"login-token-stranger", "login http://ADDR --context ci --token-stdin", func(b *bench) { tcp(nil, secretToken+"\n")(b); b.on("GET /v1/whoami", map[string]any{}) }},
		{"login-token-blank", "login http://ADDR --context ci --token-stdin", tcp(nil, "two words\n")},
		{"login-token-user", "login http://ADDR --token-stdin --user ada", tcp(nil, "")},
		{"login-plain", "login http://lodge.example --user ada", nil},
		{"login-no-url", "login lodge.example:8443", nil},
		{"login-userinfo", "login https://ada:pw@lodge.example", nil},
		{"login-fingerprint-bad", "login https://lodge.example --fingerprint aa:bb", nil},
		{"logout", "logout", func(b *bench) { two(t)(b); b.on("DELETE /v1/sessions/current", nil) }},
		{"logout-ended", "logout --context old", func(b *bench) { two(t)(b); b.on("DELETE /v1/sessions/current", wrong) }},
		{"logout-given", "logout --context ci", two(t)},
		{"logout-out", "logout --context out", two(t)},
		{"logout-bad-ca", "logout", func(b *bench) {
			b.overTCP(t)
			b.keep(t, "torn", map[string]*place{"torn": {URL: "https://lodge.example", CA: "-----BEGIN", Token: secretToken, ExpiresAt: ago(-12 * time.Hour)}})
		}},
		{"logout-socket", "logout", nil},
		{"logout-late", "logout", func(b *bench) {
			two(t)(b)
			b.on("DELETE /v1/sessions/current", problem{Status: 503, Code: "unavailable", Detail: "lodged is stopping; try again."})
		}},
		{"whoami", "whoami", func(b *bench) { two(t)(b); b.on("GET /v1/whoami", me) }},
		{"whoami-socket", "whoami -o json", func(b *bench) {
			b.on("GET /v1/whoami", wire.Whoami{Role: "operator", Scope: "all", Operator: true, Via: "socket", Memberships: []wire.Membership{}})
		}},
	})
}

func TestALoginAndALogoutChangeTheFile(t *testing.T) {
	b := newBench(t)
	b.overTCP(t)
	b.on("POST /v1/sessions", session(ada(inTenant(acmeID, "acme", "admin")))).on("DELETE /v1/sessions/current", nil)
	b.in.Reset("correct horse battery\n")
	if code := b.run("login", "http://"+b.addr, "--user", "ada", "--password-stdin"); code != exitOK {
		t.Fatalf("exit %d: %s", code, b.err.String())
	}
	f := b.kept(t)
	if c := f.Contexts[f.Current]; f.Current != b.addr || c == nil || c.Token != secretToken || c.Tenant != "acme" || c.User != "ada" || c.ExpiresAt.IsZero() {
		t.Fatalf("kept %q %+v", f.Current, c)
	}
	path := b.app.contextFile()
	for p, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if st, err := os.Stat(p); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", p, st.Mode().Perm(), err, want)
		}
	}
	if code := b.run("logout"); code != exitOK {
		t.Fatalf("exit %d: %s", code, b.err.String())
	}
	if raw, err := os.ReadFile(path); err != nil || strings.Contains(string(raw), secretToken) {
		t.Errorf("after the logout the file is\n%s\n%v", raw, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) != 1 {
		t.Errorf("files left: %v", left)
	}
}

func TestARefusedLoginKeepsNothingAndEndsItsSession(t *testing.T) {
	b := newBench(t)
	b.overTCP(t)
	b.on("POST /v1/sessions", session(ada(inTenant(acmeID, "acme", "admin"), inTenant(homeID, "default", "viewer")))).on("DELETE /v1/sessions/current", nil)
	b.in.Reset("correct horse battery\n")
	if code := b.run("login", "http://"+b.addr, "--user", "ada", "--password-stdin"); code != exitUsage || len(b.kept(t).Contexts) != 0 {
		t.Errorf("exit %d: %s", code, b.err.String())
	}
	if last := b.asked[len(b.asked)-1]; last != "DELETE /v1/sessions/current?tenant="+acmeID {
		t.Errorf("last asked %s", last)
	}
}

func TestALoginThatCannotBeKeptOpensNoSession(t *testing.T) {
	b := newBench(t)
	b.overTCP(t)
	b.on("POST /v1/sessions", session(ada(inTenant(acmeID, "acme", "admin")))).on("DELETE /v1/sessions/current", nil)
	b.put(t, ".config", "a file where the folder goes")
	b.in.Reset("correct horse battery\n")
	if code := b.run("login", "http://"+b.addr, "--user", "ada", "--password-stdin"); code != exitError || len(b.asked) != 0 {
		t.Errorf("exit %d, asked %q: %s", code, b.asked, b.err.String())
	}
	// What cannot be foreseen ends the session.
	if err := os.Remove(filepath.Join(b.dir, ".config")); err != nil {
		t.Fatal(err)
	}
	b.app.ttyIn = true
	b.app.secret = func(context.Context, string) (string, error) {
		dir := filepath.Dir(b.app.contextFile())
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
		return "correct horse battery", os.WriteFile(dir, nil, 0o600)
	}
	code := b.run("login", "http://"+b.addr, "--user", "ada")
	if last := b.asked[len(b.asked)-1]; code != exitError || last != "DELETE /v1/sessions/current?tenant=acme" {
		t.Errorf("exit %d, last asked %s: %s", code, last, b.err.String())
	}
}

func TestContextsChangeOneAtATime(t *testing.T) {
	b := newBench(t)
	b.app.getenv = func(string) string { return "" }
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			err := b.app.changeContexts(func(f *contexts) error {
				f.Contexts[string(rune('a'+i))] = &place{URL: "https://lodge.example"}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(b.kept(t).Contexts); n != 20 {
		t.Errorf("%d of 20 contexts are kept", n)
	}
}

func TestTheContextsAreWhereXDGWantsThem(t *testing.T) {
	b := newBench(t)
	b.env["XDG_CONFIG_HOME"] = "/etc/xdg"
	if got := b.app.contextFile(); got != "/etc/xdg/lodge/config.yaml" {
		t.Errorf("got %s", got)
	}
	b.env["XDG_CONFIG_HOME"] = "not/absolute"
	if got, want := b.app.contextFile(), filepath.Join(b.dir, ".config/lodge/config.yaml"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestATokenIsNeverPrinted(t *testing.T) {
	for _, args := range []string{
		"context list", "context show", "context show -o json", "context list -o yaml", "whoami -o json", "list", "version", "logout", "login --help",
		"context use old", "context rename here there", "user list", "token list -o json", "audit", "list --context old", "__complete context show here",
	} {
		b := newBench(t)
		two(t)(b)
		b.run(strings.Fields(args)...)
		if strings.Contains(b.out.String()+b.err.String(), secretToken) {
			t.Errorf("lodge %s prints the token:\n%s%s", args, b.out.String(), b.err.String())
		}
	}
}

func TestAQuestionEndsWithAnInterrupt(t *testing.T) {
	b := newBench(t)
	b.overTCP(t)
	in, feed := io.Pipe()
	defer feed.Close()
	b.app.in, b.app.ttyIn = in, true
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	code := b.app.run(ctx, []string{"login", "http://" + b.addr})
	if got := b.err.String(); code != exitInterrupted || got != "User: \nlodge: Interrupted; nothing was changed.\n" {
		t.Errorf("exit %d: %q", code, got)
	}
}

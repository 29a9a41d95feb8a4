package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lodge/cloud"
)

func TestSettingsOfSingleSignOnFitTogether(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		name  string
		flags oidcFlags
		words string // "": it is taken
	}{
		{"nothing", oidcFlags{}, ""},
		{"public client", oidcFlags{issuer: "https://id.example", clientID: "lodge"}, ""},
		{"secret", oidcFlags{issuer: "https://id.example", clientID: "lodge", secretFile: write("good", "s3cret\n")}, ""},
		{"no issuer", oidcFlags{clientID: "lodge"}, "--oidc-issuer is missing"},
		{"create for nobody", oidcFlags{allowCreate: true}, "--oidc-issuer is missing"},
		{"domains of nobody", oidcFlags{domains: []string{"example.com"}}, "--oidc-issuer is missing"},
		{"no client", oidcFlags{issuer: "https://id.example"}, "--oidc-client-id is missing"},
		{"no file", oidcFlags{issuer: "https://id.example", clientID: "lodge", secretFile: filepath.Join(dir, "none")}, "no such file"},
		{"empty file", oidcFlags{issuer: "https://id.example", clientID: "lodge", secretFile: write("empty", "\n")}, "one line"},
		{"two lines", oidcFlags{issuer: "https://id.example", clientID: "lodge", secretFile: write("two", "a\nb\n")}, "one line"},
		{"long file", oidcFlags{issuer: "https://id.example", clientID: "lodge", secretFile: write("long", strings.Repeat("a", 4<<10+1))}, "one line"},
		{"directory", oidcFlags{issuer: "https://id.example", clientID: "lodge", secretFile: dir}, "is a directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.flags.config()
			if c.words == "" {
				if err != nil || (got == nil) != (c.flags.issuer == "") {
					t.Fatalf("%+v, %v", got, err)
				}
				if c.flags.secretFile != "" && got.Options.ClientSecret != "s3cret" {
					t.Errorf("the secret is %q", got.Options.ClientSecret)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.words) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestTheIssuerIsJudged(t *testing.T) {
	const issuer = "https://id.example"
	away := cloud.Wrap(cloud.CodeUnavailable, errors.New("dial tcp: connection refused"), "It is away.")
	checkVerdicts(t, []verdict{
		{"linked", judgeOIDC(oidcFacts{issuer: issuer}), levelOK, "an operator has linked"},
		{"created", judgeOIDC(oidcFacts{issuer: issuer, allowCreate: true}), levelOK, "whoever has an account there"},
		{"domains", judgeOIDC(oidcFacts{issuer: issuer, allowCreate: true, domains: true}), levelOK, "allowed domains"},
		{"away", judgeOIDC(oidcFacts{issuer: issuer, err: away}), levelWarn, "connection refused"},
		{"http", judgeOIDC(probeOIDC(t.Context(), &oidcFlags{issuer: "http://id.example", clientID: "lodge"})), levelFail, "not https"},
		{"nobody there", judgeOIDC(probeOIDC(t.Context(), &oidcFlags{issuer: "http://127.0.0.1:1", clientID: "lodge"})), levelWarn, "refused"},
	})
	if len(checks(&flags{})) != len(checks(&flags{oidc: oidcFlags{issuer: issuer}}))-1 {
		t.Error("doctor asks for an issuer that nobody set, or not for one that is")
	}
}

package auth

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"lodge/cloud"
)

func TestATokenIsVerifiedInEveryRespect(t *testing.T) {
	p := startProvider(t, "127.0.0.1:0")
	o := newOIDC(t, p.options())
	now := time.Now()
	type m = map[string]any
	for _, c := range []struct {
		name    string
		changes m
		want    cloud.Code
	}{
		{"good", nil, ""},
		{"one audience in a list", m{"aud": []string{publicClient}}, ""},
		{"two audiences, given to lodge", m{"aud": []string{publicClient, "x"}, "azp": publicClient}, ""},
		{"expired a moment ago", m{"exp": now.Add(-clockSkew + time.Second).Unix()}, ""},
		{"expired", m{"exp": now.Add(-clockSkew - 2*time.Second).Unix()}, cloud.CodeUnauthorized},
		{"no expiry", m{"exp": nil}, cloud.CodeUnauthorized},
		{"not yet valid", m{"nbf": now.Add(10 * time.Minute).Unix()}, cloud.CodeUnauthorized},
		{"wrong audience", m{"aud": "x"}, cloud.CodeUnauthorized},
		{"no audience", m{"aud": nil}, cloud.CodeUnauthorized},
		{"two audiences, given to nobody", m{"aud": []string{publicClient, "x"}}, cloud.CodeUnauthorized},
		{"given to another", m{"azp": "x"}, cloud.CodeUnauthorized},
		{"wrong issuer", m{"iss": "https://id.example"}, cloud.CodeUnauthorized},
		{"issuer with a slash", m{"iss": p.url + "/"}, cloud.CodeUnauthorized},
		{"wrong nonce", m{"nonce": "m"}, cloud.CodeUnauthorized},
		{"no nonce", m{"nonce": nil}, cloud.CodeUnauthorized},
		{"no subject", m{"sub": nil}, cloud.CodeUnauthorized},
		{"a long subject", m{"sub": strings.Repeat("s", maxSubject+1)}, cloud.CodeUnauthorized},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := o.VerifyIDToken(t.Context(), now, p.sign(t, p.good(now, c.changes)), "n")
			wantCode(t, err, c.want)
			if err == nil && (got.Subject != "id-alice" || got.Issuer != p.url) {
				t.Errorf("%+v", got)
			}
			if err != nil && got.Subject != "" {
				t.Errorf("%+v beside an error", got)
			}
		})
	}
}

func TestATokenWithoutANonceNeverPasses(t *testing.T) {
	p := startProvider(t, "127.0.0.1:0")
	now := time.Now()
	raw := p.sign(t, p.good(now, map[string]any{"nonce": nil}))
	_, err := newOIDC(t, p.options()).VerifyIDToken(t.Context(), now, raw, "")
	wantCode(t, err, cloud.CodeUnauthorized)
}

func TestOnlyTheIssuersSignatureCounts(t *testing.T) {
	p := startProvider(t, "127.0.0.1:0")
	o := newOIDC(t, p.options())
	now := time.Now()
	claims := p.good(now, nil)
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	own := p.key.Key().(*rsa.PrivateKey)
	public, err := x509.MarshalPKIXPublicKey(&own.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := p.sign(t, claims)
	parts := strings.Split(good, ".")
	b64 := base64.RawURLEncoding.EncodeToString
	for name, raw := range map[string]string{
		"alg none":                   b64([]byte(`{"alg":"none"}`)) + "." + b64(payload) + ".",
		"alg none, with a signature": b64([]byte(`{"alg":"none"}`)) + "." + parts[1] + "." + parts[2],
		"no alg":                     b64([]byte(`{}`)) + "." + parts[1] + "." + parts[2],
		"the public key as a secret": signed(t, jose.HS256, jose.JSONWebKey{Key: public, KeyID: p.key.ID()}, claims),
		"the client secret":          signed(t, jose.HS256, []byte(strings.Repeat("s", 32)), claims),
		"another key":                signed(t, jose.RS256, stranger, claims),
		"another key, same id":       signed(t, jose.RS256, jose.JSONWebKey{Key: stranger, KeyID: p.key.ID()}, claims),
		"another payload":            parts[0] + "." + b64([]byte(strings.Replace(string(payload), "alice", "bobby", 1))) + "." + parts[2],
		"no signature":               parts[0] + "." + parts[1] + ".",
		"two parts":                  parts[0] + "." + parts[1],
		"nothing":                    "",
		"noise":                      "a.b.c",
		"too long":                   good + strings.Repeat("A", maxIDToken),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := o.VerifyIDToken(t.Context(), now, raw, "n")
			wantCode(t, err, cloud.CodeUnauthorized)
		})
	}
	_, err = o.VerifyIDToken(t.Context(), now, good, "n")
	wantCode(t, err, "")
}

func TestNoAlgorithmNeedsASharedSecret(t *testing.T) {
	for _, a := range algorithms {
		if a == "none" || strings.HasPrefix(a, "HS") {
			t.Error(a)
		}
	}
}

func TestAPersonIsReadFromTheClaims(t *testing.T) {
	type m = map[string]any
	for _, c := range []struct {
		name   string
		claims m
		opt    OIDCOptions
		want   Person
	}{
		{"nothing", m{}, OIDCOptions{}, Person{}},
		{"preferred name", m{"preferred_username": "al", "email": "a@b.c"}, OIDCOptions{}, Person{Name: "al", Email: "a@b.c"}},
		{"verified email", m{"email": "a@b.c", "email_verified": true}, OIDCOptions{}, Person{Name: "a@b.c", Email: "a@b.c", EmailVerified: true}},
		{"verified in a word", m{"email": "a@b.c", "email_verified": "true"}, OIDCOptions{}, Person{Name: "a@b.c", Email: "a@b.c", EmailVerified: true}},
		{"email is no name unless verified", m{"email": "a@b.c"}, OIDCOptions{NameClaim: "email"}, Person{Email: "a@b.c"}},
		{"nothing verified", m{"email_verified": true}, OIDCOptions{}, Person{}},
		{"another claim", m{"preferred_username": "al", "nick": "ally"}, OIDCOptions{NameClaim: "nick"}, Person{Name: "ally"}},
		{"another claim is missing", m{"preferred_username": "al"}, OIDCOptions{NameClaim: "nick"}, Person{}},
		{"a name that is none", m{"preferred_username": 7}, OIDCOptions{}, Person{}},
		{"a name of two lines", m{"preferred_username": "a\nb"}, OIDCOptions{}, Person{}},
		{"a name written backwards", m{"preferred_username": "a\u202eb"}, OIDCOptions{}, Person{}},
		{"a long name", m{"preferred_username": strings.Repeat("a", maxClaimText+1)}, OIDCOptions{}, Person{}},
		{"groups", m{"g": []any{"b", "a", "b", 7, ""}}, OIDCOptions{GroupsClaim: "g"}, Person{Groups: []string{"b", "a"}}},
		{"one group", m{"g": "b"}, OIDCOptions{GroupsClaim: "g"}, Person{Groups: []string{"b"}}},
		{"groups that nobody asked for", m{"g": "b"}, OIDCOptions{}, Person{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := (&OIDC{o: c.opt}).person("", claims(c.claims))
			if d := cmp.Diff(c.want, got); d != "" || err != nil {
				t.Error(d, err)
			}
		})
	}
}

func TestOnlyAllowedDomainsLogIn(t *testing.T) {
	o := &OIDC{o: OIDCOptions{AllowedDomains: []string{"example.com"}}}
	for email, verified := range map[string]bool{
		"": true, "alice@example.com": false, "alice@example.com.evil.net": true, "alice@sub.example.com": true,
		"alice@notexample.com": true, "example.com": true, "@example.com": true, "alice@example.com@evil.net": true,
	} {
		p, err := o.person("s", claims{"email": email, "email_verified": verified, "preferred_username": "a@example.com"})
		wantCode(t, err, cloud.CodeForbidden)
		if p.Subject != "" {
			t.Errorf("%+v beside an error", p)
		}
	}
	_, err := o.person("s", claims{"email": "alice@EXAMPLE.com", "email_verified": true})
	wantCode(t, err, "")
}

func TestTheMarkOfAnEmailStaysWithIt(t *testing.T) {
	token, info := claims{"email": "chosen@example.com"}, claims{"email": "real@example.com", "email_verified": true, "name": "A"}
	if got := token.with(info); got.verified() || got.text("email") != "chosen@example.com" || got.text("name") != "A" {
		t.Errorf("%v", got)
	}
	marked := claims{"email_verified": true}
	if got := marked.with(claims{"email": "chosen@example.com"}); got.verified() {
		t.Errorf("%v", got)
	}
	if got := (claims{}).with(info); !got.verified() {
		t.Errorf("%v", got)
	}
}

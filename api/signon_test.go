package api_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"lodge/api"
	"lodge/api/wire"
	"lodge/cloud"
)

// fakeSignOn answers what it was told to.
type fakeSignOn struct {
	k     cloud.Token
	still *cloud.SignOn
	err   error
	asked []string
	from  cloud.Caller
}

func (f *fakeSignOn) Provider() (issuer, clientID string) { return "https://id.example", "lodge" }

func (f *fakeSignOn) StartSignOn(_ context.Context, c cloud.Caller, now time.Time, redirectURI string) (cloud.SignOn, error) {
	f.asked, f.from = append(f.asked, redirectURI), c
	if redirectURI == "" {
		return cloud.SignOn{Login: "l", URL: "https://id.example/device", WholeURL: "https://id.example/device?c", UserCode: "ABCD", Interval: 5 * time.Second, ExpiresAt: now}, f.err
	}
	return cloud.SignOn{Login: "l", State: "s", URL: "https://id.example/auth", ExpiresAt: now}, f.err
}

func (f *fakeSignOn) FinishSignOn(_ context.Context, c cloud.Caller, _ time.Time, login, state, code string) (string, cloud.Token, *cloud.SignOn, error) {
	f.asked, f.from = append(f.asked, login+" "+state+" "+code), c
	if f.err != nil || f.still != nil {
		return "", cloud.Token{}, f.still, f.err
	}
	return "lodge_secret", f.k, nil, nil
}

// signingOn is a house with an identity provider that knows ours-viewer.
func signingOn(t *testing.T) (*guarded, *fakeSignOn) {
	f := &fakeSignOn{}
	g := newGuarded(t, func(o *api.Options) { o.SignOn = f })
	u, err := g.db.User(context.Background(), operator, "ours-viewer")
	if err != nil {
		t.Fatal(err)
	}
	f.k = cloud.Token{Meta: cloud.Meta{ID: nobodysID}, UserID: u.ID, ExpiresAt: g.store.now.Add(time.Hour)}
	return g, f
}

func TestALoginAtAnIdentityProviderOnTheWire(t *testing.T) {
	g, f := signingOn(t)
	if p := decoded[wire.SignOnProvider](g.as("nobody", "GET", "/v1/sessions/oidc", "").want(200)); p.Issuer != "https://id.example" || p.ClientID != "lodge" {
		t.Errorf("%+v", p)
	}
	here := decoded[wire.SignOn](g.as("nobody", "POST", "/v1/sessions/oidc/start", `{"redirect_uri":"http://127.0.0.1:1/callback"}`).want(200))
	if here.Login != "l" || here.State != "s" || here.URL == "" || here.UserCode != "" || here.IntervalSeconds != 0 {
		t.Errorf("%+v", here)
	}
	if f.from.RequestID == "" || f.from.Address == "" || f.from.UserID != "" {
		t.Errorf("it comes from %+v", f.from)
	}
	there := decoded[wire.SignOn](g.as("nobody", "POST", "/v1/sessions/oidc/start", `{"device":true}`).want(200))
	if there.UserCode != "ABCD" || there.WholeURL == "" || there.IntervalSeconds != 5 || there.State != "" {
		t.Errorf("%+v", there)
	}
	f.still = &cloud.SignOn{Login: "m", Interval: 10 * time.Second, ExpiresAt: g.store.now}
	if again := decoded[wire.SignOn](g.as("nobody", "POST", "/v1/sessions/oidc", `{"login":"l"}`).want(202)); again.Login != "m" || again.IntervalSeconds != 10 {
		t.Errorf("%+v", again)
	}
	f.still = nil
	s := decoded[wire.Session](g.as("nobody", "POST", "/v1/sessions/oidc", `{"login":"l","state":"s","code":"c"}`).want(201))
	if s.Token != "lodge_secret" || s.User.Name != "ours-viewer" || len(s.User.Memberships) != 1 {
		t.Errorf("%+v", s)
	}
	for code, status := range map[cloud.Code]int{
		cloud.CodeUnauthorized: 401, cloud.CodeForbidden: 403, cloud.CodeNameTaken: 409, cloud.CodeUnavailable: 503, cloud.CodeLockedOut: 429,
	} {
		f.err = cloud.Errorf(code, "No.")
		g.as("nobody", "POST", "/v1/sessions/oidc", `{"login":"l","state":"s","code":"c"}`).wantFailure(status, code)
		g.as("nobody", "POST", "/v1/sessions/oidc/start", `{"device":true}`).wantFailure(status, code)
	}
	// Who refuses a login writes it down; a second line would tell of it twice.
	entries, err := g.db.Audit(context.Background(), operator, cloud.AuditFilter{Refused: true})
	if err != nil || len(entries) != 0 {
		t.Errorf("%+v, %v", entries, err)
	}
}

func TestBadLoginsAtAnIdentityProviderAreRefusedHere(t *testing.T) {
	g, f := signingOn(t)
	for _, c := range []struct {
		path, body string
		code       cloud.Code
	}{
		{"/v1/sessions/oidc/start", `{}`, cloud.CodeInvalid},
		{"/v1/sessions/oidc/start", `{"redirect_uri":"http://127.0.0.1:1/callback","device":true}`, cloud.CodeInvalid},
		{"/v1/sessions/oidc/start", `{"redirect":"x"}`, cloud.CodeUnknownField},
		{"/v1/sessions/oidc/start?x=1", `{"device":true}`, cloud.CodeUnknownField},
		{"/v1/sessions/oidc/start", `[]`, cloud.CodeMalformed},
		{"/v1/sessions/oidc", `{"state":"s","code":"c"}`, cloud.CodeInvalid},
		{"/v1/sessions/oidc", `{"login":"l","state":"s"}`, cloud.CodeInvalid},
		{"/v1/sessions/oidc", `{"login":"l","code":"c"}`, cloud.CodeInvalid},
		{"/v1/sessions/oidc", `{"login":"l","id_token":"e.y.J"}`, cloud.CodeUnknownField},
	} {
		if a := g.as("nobody", "POST", c.path, c.body); a.StatusCode != 400 || !strings.Contains(string(a.body), string(c.code)) {
			t.Errorf("%s %s: %d %s", c.path, c.body, a.StatusCode, a.body)
		}
	}
	for path, body := range map[string]string{
		"/v1/sessions": `{"user":"a","password":"b"}`, "/v1/sessions/oidc": `{"login":"l"}`, "/v1/sessions/oidc/start": `{"device":true}`,
	} {
		g.do("POST", path, body, "Idempotency-Key", "k").wantFailure(400, cloud.CodeInvalid)
	}
	if len(f.asked) != 0 {
		t.Errorf("it was asked %q", f.asked)
	}
}

func TestWithoutAnIdentityProviderThereIsNothing(t *testing.T) {
	g := newGuarded(t)
	g.as("nobody", "GET", "/v1/sessions/oidc", "").wantFailure(404, cloud.CodeNotFound)
	g.as("nobody", "POST", "/v1/sessions/oidc/start", `{"device":true}`).wantFailure(404, cloud.CodeNotFound)
	g.as("nobody", "POST", "/v1/sessions/oidc", `{"login":"l"}`).wantFailure(404, cloud.CodeNotFound)
}

func TestAUserIsLinkedAndUnlinked(t *testing.T) {
	g := newGuarded(t)
	const path = "/v1/users/ours-viewer/identity"
	u := decoded[wire.User](g.as("operator", "PUT", path, `{"issuer":"https://id.example/realm","subject":"a b"}`).want(200))
	if u.Issuer != "https://id.example/realm" || u.Subject != "a b" || len(u.Memberships) != 1 {
		t.Errorf("%+v", u)
	}
	g.as("operator", "PUT", "/v1/users/theirs-viewer/identity", `{"issuer":"https://id.example/realm","subject":"a b"}`).wantFailure(409, cloud.CodeConflict)
	g.as("operator", "PUT", "/v1/users/nobody/identity", `{"issuer":"https://id.example","subject":"s"}`).wantFailure(404, cloud.CodeNotFound)
	for _, bad := range []string{
		`{"issuer":"","subject":"s"}`, `{"issuer":"https://id.example"}`, `{"subject":"s"}`, `{"issuer":"id.example","subject":"s"}`,
		`{"issuer":"https://id.example?x","subject":"s"}`, `{"issuer":"https://a:b@id.example","subject":"s"}`,
		`{"issuer":"https://id.example/` + strings.Repeat("x", 512) + `","subject":"s"}`, `{"issuer":"https://id.example","subject":"a\u0000b"}`,
		`{"issuer":"https://id.example","subject":"ä"}`, `{"issuer":"https://id.example","subject":"` + strings.Repeat("s", 256) + `"}`,
	} {
		if a := g.as("operator", "PUT", path, bad); a.StatusCode != 400 {
			t.Errorf("%.80s: %d %s", bad, a.StatusCode, a.body)
		}
	}
	if u := decoded[wire.User](g.as("ours viewer", "GET", "/v1/users/ours-viewer", "").want(200)); u.Subject != "a b" {
		t.Errorf("whom it is about is not told: %+v", u)
	}
	g.as("operator", "DELETE", path, "").want(204)
	g.as("operator", "DELETE", path, "").want(204)
	if u := decoded[wire.User](g.as("operator", "GET", "/v1/users/ours-viewer", "").want(200)); u.Subject != "" || u.Issuer != "" {
		t.Errorf("%+v", u)
	}
}

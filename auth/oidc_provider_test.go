package auth

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"

	"lodge/cloud"
)

const (
	publicClient = "lodge"
	secretClient = "lodge-web"
	clientSecret = "a secret/with+signs"
	webRedirect  = "https://lodge.example/callback"
	cliRedirect  = "http://127.0.0.1:41234/callback"
)

// provider is a whole OpenID provider on a loopback port: zitadel's, with a
// browser that logs in there.
type provider struct {
	url   string
	op    *op.Provider
	store *storage.Storage
	key   op.SigningKey
}

type people map[string]*storage.User

func (p people) GetUserByID(id string) *storage.User { return p[id] }
func (p people) ExampleClientID() string             { return "nobody" }

func (p people) GetUserByUsername(name string) *storage.User {
	for _, u := range p {
		if u.Username == name {
			return u
		}
	}
	return nil
}

// startProvider serves at addr; "127.0.0.1:0" takes any port.
func startProvider(t *testing.T, addr string) *provider {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{url: "http://" + l.Addr().String()}
	p.store = storage.NewStorageWithClients(people{
		"id-alice": {ID: "id-alice", Username: "alice", Password: "very secure", Email: "alice@example.com", EmailVerified: true},
		"id-bob":   {ID: "id-bob", Username: "bob", Password: "very secure", Email: "bob@example.com"},
	}, map[string]*storage.Client{
		publicClient: storage.NativeClient(publicClient, "http://localhost/callback"),
		secretClient: storage.WebClient(secretClient, clientSecret, webRedirect),
	})
	if p.key, err = p.store.SigningKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	devices := op.DeviceAuthorizationConfig{Lifetime: 5 * time.Minute, PollInterval: 5 * time.Second, UserFormPath: "/device", UserCode: op.UserCodeBase20}
	p.op, err = op.NewProvider(&op.Config{CodeMethodS256: true, AuthMethodPost: true, CryptoKey: [32]byte{1}, DeviceAuthorization: devices}, deviceStore{p.store}, op.StaticIssuer(p.url),
		op.WithAllowInsecure(), op.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(p.op)
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return p
}

// browse opens the login page, logs in, and gives the URL that the browser is
// sent to.
func (p *provider) browse(t *testing.T, authURL, name string) *url.URL {
	t.Helper()
	page := hop(t, authURL)
	id := page.Query().Get("authRequestID")
	if err := p.store.CheckUsernamePassword(name, "very secure", id); err != nil {
		t.Fatalf("log in as %s after %s: %v", name, page, err)
	}
	return hop(t, op.AuthCallbackURL(p.op)(op.ContextWithIssuer(context.Background(), p.url), id))
}

func hop(t *testing.T, from string) *url.URL {
	t.Helper()
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.Get(from)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	to, err := resp.Location()
	if err != nil {
		t.Fatalf("%s answered %s without a redirect", from, resp.Status)
	}
	return to
}

// sign makes a token with the provider's own key.
func (p *provider) sign(t *testing.T, claims map[string]any) string {
	t.Helper()
	return signed(t, p.key.SignatureAlgorithm(), jose.JSONWebKey{Key: p.key.Key(), KeyID: p.key.ID()}, claims)
}

func signed(t *testing.T, alg jose.SignatureAlgorithm, key any, claims map[string]any) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// good are the claims of a token that passes, with changes: nil takes one away.
func (p *provider) good(now time.Time, changes map[string]any) map[string]any {
	c := map[string]any{
		"iss": p.url, "sub": "id-alice", "aud": publicClient, "nonce": "n",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	for k, v := range changes {
		if c[k] = v; v == nil {
			delete(c, k)
		}
	}
	return c
}

func testKey() []byte { return []byte(strings.Repeat("k", stateKeyBytes)) }

func (p *provider) options() OIDCOptions {
	return OIDCOptions{Issuer: p.url, ClientID: publicClient, StateKey: testKey()}
}

func newOIDC(t *testing.T, o OIDCOptions) *OIDC {
	t.Helper()
	made, err := NewOIDC(o)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// begin goes as far as the browser's return.
func begin(t *testing.T, p *provider, o *OIDC, now time.Time, redirect, name string) (pend Pending, state, code string) {
	t.Helper()
	authURL, pend, err := o.Start(t.Context(), now, redirect)
	if err != nil {
		t.Fatal(err)
	}
	back := p.browse(t, authURL, name)
	if got := back.Scheme + "://" + back.Host + back.Path; got != redirect {
		t.Fatalf("the browser was sent to %s", back)
	}
	return pend, back.Query().Get("state"), back.Query().Get("code")
}

func wantCode(t *testing.T, err error, code cloud.Code) {
	t.Helper()
	if cloud.CodeOf(err) != code {
		t.Errorf("got %v (%s), want %q", err, cloud.CodeOf(err), code)
	}
}

// tamper changes the provider's answers to the paths that it has a function for;
// nil breaks the connection.
type tamper map[string]func(*http.Response)

func (m tamper) RoundTrip(r *http.Request) (*http.Response, error) {
	change, ok := m[r.URL.Path]
	if ok && change == nil {
		return nil, &net.OpError{Op: "dial", Err: net.ErrClosed}
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && ok {
		change(resp)
	}
	return resp, err
}

// tampering gives one path's answers another status and body.
func tampering(path string, code int, body string) *http.Client {
	return &http.Client{Transport: tamper{path: func(r *http.Response) {
		r.StatusCode, r.Body = code, io.NopCloser(strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
	}}}
}

package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const (
	issuerClient   = "lodge"
	issuerPassword = "very secure"
)

// issuer is a whole OpenID provider with its pages, zitadel's, on a loopback port.
type issuer struct {
	url   string
	store *issuerStore
	stop  func()
}

// issuerStore is zitadel's in memory, with keys that change and a client that may
// log in devices.
type issuerStore struct {
	*storage.Storage
	mu   sync.Mutex
	keys []op.SigningKey // the last one signs
	show int             // how many of the last are shown
}

// rsaKey is a private key; publicKey shows the other half of it.
type rsaKey struct {
	id  string
	key *rsa.PrivateKey
}

func (k rsaKey) ID() string                                  { return k.id }
func (k rsaKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k rsaKey) Key() any                                    { return k.key }

type publicKey struct{ rsaKey }

func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k publicKey) Use() string                        { return "sig" }
func (k publicKey) Key() any                           { return &k.key.PublicKey }

// rotate signs with a new key from now on, and shows the last few.
func (s *issuerStore) rotate(t *testing.T, show int) {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys, s.show = append(s.keys, rsaKey{rand.Text(), k}), show
}

func (s *issuerStore) SigningKey(context.Context) (op.SigningKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys[len(s.keys)-1], nil
}

func (s *issuerStore) KeySet(context.Context) (out []op.Key, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys[max(0, len(s.keys)-s.show):] {
		out = append(out, publicKey{k.(rsaKey)})
	}
	return out, nil
}

type deviceClient struct{ op.Client }

func (deviceClient) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeDeviceCode}
}

func (s *issuerStore) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	c, err := s.Storage.GetClientByClientID(ctx, id)
	if err != nil {
		return nil, err
	}
	return deviceClient{c}, nil
}

// CompleteDeviceAuthorization takes the name that somebody typed; the subject is
// the same as in a browser's login.
func (s *issuerStore) CompleteDeviceAuthorization(ctx context.Context, userCode, login string) error {
	return s.Storage.CompleteDeviceAuthorization(ctx, userCode, "id-"+login)
}

// crowd are the people there, by what they type to log in: the name that they
// chose to be called is another word.
type crowd map[string]*storage.User

func (c crowd) GetUserByID(id string) *storage.User         { return c[strings.TrimPrefix(id, "id-")] }
func (c crowd) GetUserByUsername(name string) *storage.User { return c[name] }
func (c crowd) ExampleClientID() string                     { return "nobody" }

func (c crowd) add(login, called string) {
	c[login] = &storage.User{ID: "id-" + login, Username: called, Password: issuerPassword, Email: login + "@example.com", EmailVerified: true}
}

func startIssuer(t *testing.T) *issuer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	people := crowd{}
	for _, login := range []string{"alice", "bob", "carol"} {
		people.add(login, login)
	}
	people.add("mallory", "alice")  // calls herself so
	people.add("eve", "operator")   // and she too
	people.add("nameless", "no ha") // whom no user can be called
	is := &issuer{url: "http://" + l.Addr().String()}
	is.store = &issuerStore{Storage: storage.NewStorageWithClients(people, map[string]*storage.Client{
		issuerClient: storage.NativeClient(issuerClient, "http://localhost/callback"),
		"other":      storage.NativeClient("other", "http://localhost/callback"),
	})}
	is.store.rotate(t, 1)
	s := httptest.NewUnstartedServer(exampleop.SetupServer(is.url, is.store, slog.New(slog.DiscardHandler), false))
	s.Listener.Close()
	s.Listener = l
	s.Start()
	is.stop = s.Close
	t.Cleanup(s.Close)
	return is
}

// browser is what a person has: it follows redirects and keeps cookies.
type browser struct {
	*http.Client
	t *testing.T
}

func (is *issuer) browser(t *testing.T) browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return browser{&http.Client{Jar: jar}, t}
}

// page gives where a request ended, and what is there. It may run beside the test.
func (b browser) page(resp *http.Response, err error) (where *url.URL, text string) {
	b.t.Helper()
	if err != nil {
		b.t.Errorf("browser: %v", err)
		return &url.URL{}, ""
	}
	defer resp.Body.Close()
	text2, _ := io.ReadAll(resp.Body)
	return resp.Request.URL, string(text2)
}

// logIn opens the page, types a name and the password, and goes where it is sent.
func (is *issuer) logIn(t *testing.T, page, login string) (where *url.URL, text string) {
	t.Helper()
	b := is.browser(t)
	form, _ := b.page(b.Get(page))
	return b.page(b.PostForm(is.url+"/login/username", url.Values{
		"id": {form.Query().Get("authRequestID")}, "username": {login}, "password": {issuerPassword},
	}))
}

// answer types the code of a device, logs in and allows it or not.
func (is *issuer) answer(t *testing.T, userCode, login, action string) {
	t.Helper()
	b := is.browser(t)
	b.page(b.Get(is.url + "/device?user_code=" + url.QueryEscape(userCode)))
	b.page(b.PostForm(is.url+"/device/login", url.Values{"user_code": {userCode}, "username": {login}, "password": {issuerPassword}}))
	if _, text := b.page(b.Get(is.url + "/device/confirm?action=" + action)); !strings.Contains(text, action) && text == "" {
		t.Errorf("the device page says %q", text)
	}
}

package auth

import (
	"bytes"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lodge/cloud"
)

func TestALoginTellsWhoSomebodyIs(t *testing.T) {
	p := startProvider(t, "127.0.0.1:0")
	o := newOIDC(t, p.options())
	pend, state, code := begin(t, p, o, time.Now(), cliRedirect, "alice")
	if state != pend.State || code == "" {
		t.Fatalf("state %q, code %q", state, code)
	}
	got, err := o.Finish(t.Context(), time.Now(), pend.Sealed, state, code)
	if err != nil {
		t.Fatal(err)
	}
	want := Person{Issuer: p.url, Subject: "id-alice", Name: "alice", Email: "alice@example.com", EmailVerified: true}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestTheCommandLineHearsTheCodeOnALoopbackPort(t *testing.T) {
	p := startProvider(t, "127.0.0.1:0")
	o := newOIDC(t, p.options())
	heard := make(chan url.Values, 1)
	cli := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == CallbackPath {
			heard <- r.URL.Query()
		}
	}))
	defer cli.Close()
	authURL, pend, err := o.Start(t.Context(), time.Now(), cli.URL+CallbackPath)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(p.browse(t, authURL, "alice").String())
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	back := <-heard
	if _, err := o.Finish(t.Context(), time.Now(), pend.Sealed, back.Get("state"), back.Get("code")); err != nil {
		t.Error(err)
	}
}

func TestAClientWithASecretLogsIn(t *testing.T) {
	p := startProvider(t, "127.0.0.1:0")
	opt := p.options()
	opt.ClientID, opt.ClientSecret, opt.RedirectURL = secretClient, clientSecret, webRedirect
	o := newOIDC(t, opt)
	pend, state, code := begin(t, p, o, time.Now(), webRedirect, "bob")
	got, err := o.Finish(t.Context(), time.Now(), pend.Sealed, state, code)
	if err != nil || got.Subject != "id-bob" || got.EmailVerified {
		t.Errorf("%+v, %v", got, err)
	}

	opt.ClientSecret = "another"
	o = newOIDC(t, opt)
	pend, state, code = begin(t, p, o, time.Now(), webRedirect, "bob")
	_, err = o.Finish(t.Context(), time.Now(), pend.Sealed, state, code)
	wantCode(t, err, cloud.CodeUnavailable)
	if !strings.Contains(cloud.MessageOf(err), "operator") {
		t.Error(cloud.MessageOf(err))
	}
}

func TestALoginOutlivesARestart(t *testing.T) {
	p := startProvider(t, "127.0.0.1:0")
	pend, state, code := begin(t, p, newOIDC(t, p.options()), time.Now(), cliRedirect, "alice")
	got, err := newOIDC(t, p.options()).Finish(t.Context(), time.Now(), pend.Sealed, state, code)
	if err != nil || got.Subject != "id-alice" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestACodeIsGoodOnce(t *testing.T) {
	p := startProvider(t, "127.0.0.1:0")
	o := newOIDC(t, p.options())
	pend, state, code := begin(t, p, o, time.Now(), cliRedirect, "alice")
	_, err := o.Finish(t.Context(), time.Now(), pend.Sealed, state, code)
	wantCode(t, err, "")
	_, err = o.Finish(t.Context(), time.Now(), pend.Sealed, state, code)
	wantCode(t, err, cloud.CodeUnauthorized)
}

// The code of somebody's login is of no use in another login.
func TestACodeBelongsToItsLogin(t *testing.T) {
	p := startProvider(t, "127.0.0.1:0")
	o := newOIDC(t, p.options())
	for what, change := range map[string]func(*pending){
		"verifier": func(in *pending) { in.Verifier = strings.Repeat("x", 43) },
		"nonce":    func(in *pending) { in.Nonce = "another" },
		"no nonce": func(in *pending) { in.Nonce = "" },
	} {
		t.Run(what, func(t *testing.T) {
			pend, state, code := begin(t, p, o, time.Now(), cliRedirect, "alice")
			in, err := o.seal.read(pend.Sealed)
			if err != nil {
				t.Fatal(err)
			}
			change(&in)
			_, err = o.Finish(t.Context(), time.Now(), o.seal.close(in), state, code)
			wantCode(t, err, cloud.CodeUnauthorized)
		})
	}
	t.Run("no code", func(t *testing.T) {
		pend, state, _ := begin(t, p, o, time.Now(), cliRedirect, "alice")
		_, err := o.Finish(t.Context(), time.Now(), pend.Sealed, state, "")
		wantCode(t, err, cloud.CodeUnauthorized)
		_, err = o.Finish(t.Context(), time.Now(), pend.Sealed, state, "made up")
		wantCode(t, err, cloud.CodeUnauthorized)
	})
	t.Run("state", func(t *testing.T) {
		pend, _, code := begin(t, p, o, time.Now(), cliRedirect, "alice")
		for _, state := range []string{"", "another", pend.State + "x"} {
			_, err := o.Finish(t.Context(), time.Now(), pend.Sealed, state, code)
			wantCode(t, err, cloud.CodeUnauthorized)
		}
	})
}

func TestALoginEndsAfterTenMinutes(t *testing.T) {
	p := startProvider(t, "127.0.0.1:0")
	o := newOIDC(t, p.options())
	now := time.Now()
	pend, state, code := begin(t, p, o, now, cliRedirect, "alice")
	if d := pend.ExpiresAt.Sub(now); d > LoginTime || d < LoginTime-time.Second {
		t.Errorf("it lasts %s", d)
	}
	_, err := o.Finish(t.Context(), now.Add(LoginTime), pend.Sealed, state, code)
	wantCode(t, err, cloud.CodeUnauthorized)
	if !strings.Contains(cloud.MessageOf(err), "10 minutes") {
		t.Error(cloud.MessageOf(err))
	}
	_, err = o.Finish(t.Context(), now.Add(LoginTime-2*time.Second), pend.Sealed, state, code)
	wantCode(t, err, "")
}

func TestAnIssuerMayBeDownAtFirst(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	o := newOIDC(t, OIDCOptions{Issuer: "http://" + addr, ClientID: publicClient, StateKey: testKey()})
	now := time.Now()
	_, _, err = o.Start(t.Context(), now, cliRedirect)
	wantCode(t, err, cloud.CodeUnavailable)
	_, err = o.VerifyIDToken(t.Context(), now, "x", "n")
	wantCode(t, err, cloud.CodeUnavailable)

	p := startProvider(t, addr)
	_, _, err = o.Start(t.Context(), now.Add(lookAgain-1), cliRedirect)
	wantCode(t, err, cloud.CodeUnavailable) // it is not asked at every login
	_, _, err = o.Start(t.Context(), now.Add(-time.Hour), cliRedirect)
	wantCode(t, err, "") // a clock that was set back does not keep it away
	pend, state, code := begin(t, p, o, now.Add(lookAgain), cliRedirect, "alice")
	_, err = o.Finish(t.Context(), now, pend.Sealed, state, code)
	wantCode(t, err, "")
}

func TestAnIssuerThatWasFoundIsKeptWhileItIsDown(t *testing.T) {
	p := startProvider(t, "127.0.0.1:0")
	broken := tamper{}
	opt := p.options()
	opt.HTTPClient = &http.Client{Transport: broken}
	o := newOIDC(t, opt)
	now := time.Now()
	_, _, err := o.Start(t.Context(), now, cliRedirect)
	wantCode(t, err, "")
	broken["/.well-known/openid-configuration"] = nil
	_, _, err = o.Start(t.Context(), now.Add(2*lookFresh), cliRedirect)
	wantCode(t, err, "")
	if o.look.err == nil {
		t.Error("it was not looked for again")
	}
}

func TestAnIssuerThatFailsIsToldFromABadToken(t *testing.T) {
	p := startProvider(t, "127.0.0.1:0")
	status := func(code int) func(*http.Response) {
		return func(r *http.Response) { r.StatusCode, r.Body = code, io.NopCloser(strings.NewReader("{}")) }
	}
	body := func(s string) func(*http.Response) {
		return func(r *http.Response) { r.Body = io.NopCloser(strings.NewReader(s)) }
	}
	for _, c := range []struct {
		name string
		with tamper
		want cloud.Code
	}{
		{"keys unreachable", tamper{"/keys": nil}, cloud.CodeUnavailable},
		{"keys broken", tamper{"/keys": status(500)}, cloud.CodeUnavailable},
		{"no keys", tamper{"/keys": body(`{"keys":[]}`)}, cloud.CodeUnauthorized},
		{"token unreachable", tamper{"/oauth/token": nil}, cloud.CodeUnavailable},
		{"token broken", tamper{"/oauth/token": status(503)}, cloud.CodeUnavailable},
		{"too many", tamper{"/oauth/token": status(429)}, cloud.CodeUnavailable},
		{"code refused", tamper{"/oauth/token": status(400)}, cloud.CodeUnauthorized},
		{"no ID token", tamper{"/oauth/token": body(`{"access_token":"a","token_type":"Bearer"}`)}, cloud.CodeUnauthorized},
		{"an endless answer", tamper{"/keys": body(`{"keys":[` + strings.Repeat(" ", issuerMaxBody) + `]}`)}, cloud.CodeUnavailable},
		{"user info unreachable", tamper{"/userinfo": nil}, cloud.CodeUnavailable},
		{"user info of another", tamper{"/userinfo": body(`{"sub":"id-bob","preferred_username":"bob"}`)}, cloud.CodeUnauthorized},
		{"user info without subject", tamper{"/userinfo": body(`{"preferred_username":"bob"}`)}, cloud.CodeUnauthorized},
	} {
		t.Run(c.name, func(t *testing.T) {
			opt := p.options()
			opt.HTTPClient = &http.Client{Transport: c.with}
			o := newOIDC(t, opt)
			pend, state, code := begin(t, p, o, time.Now(), cliRedirect, "alice")
			_, err := o.Finish(t.Context(), time.Now(), pend.Sealed, state, code)
			wantCode(t, err, c.want)
		})
	}
}

func TestAnotherAccessTokenThanTheIDTokenNamesIsRefused(t *testing.T) {
	p := startProvider(t, "127.0.0.1:0")
	opt := p.options()
	opt.HTTPClient = &http.Client{Transport: tamper{"/oauth/token": func(r *http.Response) {
		b, _ := io.ReadAll(r.Body)
		b = bytes.Replace(b, []byte(`"access_token":"`), []byte(`"access_token":"x`), 1)
		r.Body = io.NopCloser(bytes.NewReader(b))
	}}}
	o := newOIDC(t, opt)
	pend, state, code := begin(t, p, o, time.Now(), cliRedirect, "alice")
	_, err := o.Finish(t.Context(), time.Now(), pend.Sealed, state, code)
	wantCode(t, err, cloud.CodeUnauthorized)
}

func TestAnIssuerUnderAnotherNameIsRefused(t *testing.T) {
	p := startProvider(t, "127.0.0.1:0")
	opt := p.options()
	opt.Issuer = strings.Replace(p.url, "127.0.0.1", "localhost", 1)
	_, _, err := newOIDC(t, opt).Start(t.Context(), time.Now(), cliRedirect)
	wantCode(t, err, cloud.CodeUnavailable)
	if !strings.Contains(cloud.MessageOf(err), "operator") {
		t.Error(cloud.MessageOf(err))
	}
}

func TestEndpointsAreAsProtectedAsTheIssuer(t *testing.T) {
	https := &OIDC{o: OIDCOptions{Issuer: "https://id.example"}}
	for endpoint, want := range map[string]bool{
		"https://other.example/keys": true, "http://id.example/keys": false, "": false, "/keys": false, "file:///keys": false,
	} {
		if https.mayAsk(endpoint) != want {
			t.Errorf("%q: %t", endpoint, !want)
		}
	}
}

func TestAnIssuerWithAStrangeEndpointIsRefused(t *testing.T) {
	p := startProvider(t, "127.0.0.1:0")
	for _, name := range []string{"authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"} {
		opt := p.options()
		opt.HTTPClient = &http.Client{Transport: tamper{"/.well-known/openid-configuration": func(r *http.Response) {
			b, _ := io.ReadAll(r.Body)
			b = bytes.Replace(b, []byte(`"`+name+`":"http://`), []byte(`"`+name+`":"ftp://`), 1)
			r.Body = io.NopCloser(bytes.NewReader(b))
		}}}
		_, _, err := newOIDC(t, opt).Start(t.Context(), time.Now(), cliRedirect)
		if cloud.CodeOf(err) != cloud.CodeUnavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A second time would look like a theft to the issuer.
func TestACodeIsSentOnceAndWithTheSecretWhereItBelongs(t *testing.T) {
	p := startProvider(t, "127.0.0.1:0")
	for _, c := range []struct{ client, secret, redirect, code string }{
		{publicClient, "", cliRedirect, ""}, {secretClient, clientSecret, webRedirect, ""}, {secretClient, clientSecret, webRedirect, "made up"},
	} {
		sent := 0
		opt := p.options()
		opt.ClientID, opt.ClientSecret, opt.RedirectURL = c.client, c.secret, webRedirect
		opt.HTTPClient = &http.Client{Transport: tamper{"/oauth/token": func(r *http.Response) {
			sent++
			if _, _, basic := r.Request.BasicAuth(); basic != (c.secret != "") {
				t.Errorf("%s: basic authentication is %t", c.client, basic)
			}
		}}}
		o := newOIDC(t, opt)
		pend, state, code := begin(t, p, o, time.Now(), c.redirect, "alice")
		if c.code != "" {
			code = c.code
		}
		if _, err := o.Finish(t.Context(), time.Now(), pend.Sealed, state, code); (err == nil) != (c.code == "") {
			t.Error(err)
		}
		if sent != 1 {
			t.Errorf("%s: sent %d times", c.client, sent)
		}
	}
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	good := OIDCOptions{Issuer: "https://id.example", ClientID: "lodge", StateKey: testKey(), RedirectURL: webRedirect}
	if _, err := NewOIDC(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*OIDCOptions){
		"no issuer":         func(o *OIDCOptions) { o.Issuer = "" },
		"http issuer":       func(o *OIDCOptions) { o.Issuer = "http://id.example" },
		"issuer with query": func(o *OIDCOptions) { o.Issuer = "https://id.example?x=1" },
		"no client":         func(o *OIDCOptions) { o.ClientID = "" },
		"no key":            func(o *OIDCOptions) { o.StateKey = nil },
		"short key":         func(o *OIDCOptions) { o.StateKey = o.StateKey[1:] },
		"http redirect":     func(o *OIDCOptions) { o.RedirectURL = "http://lodge.example/callback" },
		"redirect fragment": func(o *OIDCOptions) { o.RedirectURL += "#x" },
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			change(&o)
			_, err := NewOIDC(o)
			wantCode(t, err, cloud.CodeInvalid)
		})
	}
}

func TestTheAuthURLHoldsNoSecret(t *testing.T) {
	p := startProvider(t, "127.0.0.1:0")
	opt := p.options()
	opt.Scopes = []string{"email"}
	o := newOIDC(t, opt)
	authURL, pend, err := o.Start(t.Context(), time.Now(), cliRedirect)
	if err != nil {
		t.Fatal(err)
	}
	in, err := o.seal.read(pend.Sealed)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(authURL, in.Verifier) || strings.Contains(authURL, pend.Sealed) {
		t.Error(authURL)
	}
	u, _ := url.Parse(authURL)
	q := u.Query()
	for k, want := range map[string]string{
		"response_type": "code", "code_challenge_method": "S256", "scope": "openid email", "nonce": in.Nonce,
		"state": in.State, "redirect_uri": cliRedirect, "client_id": publicClient,
	} {
		if q.Get(k) != want {
			t.Errorf("%s is %q, want %q", k, q.Get(k), want)
		}
	}
	box, _ := base64.RawURLEncoding.DecodeString(pend.Sealed)
	if bytes.Contains(box, []byte(in.Verifier)) || bytes.Contains(box, []byte(in.Nonce)) {
		t.Error("the sealed login can be read")
	}
}

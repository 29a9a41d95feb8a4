package auth

import (
	"encoding/base64"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"lodge/cloud"
)

func testSealer(t testing.TB, key []byte, issuer, client string) sealer {
	t.Helper()
	s, err := newSealer(key, issuer, client)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestASealedLoginOpensForWhoeverClosedIt(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	in := pending{State: "s", Nonce: "n", Verifier: "v", Redirect: cliRedirect, Expires: now.Add(time.Minute).Unix()}
	mine := testSealer(t, testKey(), "https://id.example", "lodge")
	sealed := mine.close(in)
	got, err := mine.open(now, sealed)
	if got != in || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if mine.close(in) == sealed {
		t.Error("the same login is sealed in the same way twice")
	}
	for name, other := range map[string]sealer{
		"key":    testSealer(t, []byte(strings.Repeat("l", stateKeyBytes)), "https://id.example", "lodge"),
		"issuer": testSealer(t, testKey(), "https://other.example", "lodge"),
		"client": testSealer(t, testKey(), "https://id.example", "other"),
	} {
		_, err := other.open(now, sealed)
		if cloud.CodeOf(err) != cloud.CodeUnauthorized {
			t.Errorf("another %s: %v", name, err)
		}
	}
}

func TestASealedLoginCannotBeChanged(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := testSealer(t, testKey(), "i", "c")
	sealed := s.close(pending{State: "s", Expires: now.Add(time.Minute).Unix()})
	box, _ := base64.RawURLEncoding.DecodeString(sealed)
	for i := range box {
		box[i] ^= 1
		_, err := s.open(now, base64.RawURLEncoding.EncodeToString(box))
		wantCode(t, err, cloud.CodeUnauthorized)
		box[i] ^= 1
	}
	for _, bad := range []string{"", sealed[1:], sealed[:len(sealed)-2], sealed + "AA", "!", strings.Repeat("A", maxSealed+1)} {
		_, err := s.open(now, bad)
		wantCode(t, err, cloud.CodeUnauthorized)
	}
}

func FuzzOpen(f *testing.F) {
	s := testSealer(f, testKey(), "i", "c")
	in := pending{State: "s", Expires: 1 << 40}
	good := s.close(in)
	f.Add(good)
	f.Add("")
	f.Add(good[:20])
	f.Fuzz(func(t *testing.T, sealed string) {
		if p, err := s.open(time.Unix(0, 0), sealed); err == nil && p != in {
			t.Errorf("%q was opened as %+v", sealed, p)
		}
	})
}

var redirects = map[string]bool{
	"http://127.0.0.1:1/callback": true, "http://127.0.0.1:65535/callback": true,
	"http://[::1]:8080/callback": true, "http://localhost:8080/callback": true, webRedirect: true,

	"": false, "http://127.0.0.1/callback": false, "http://127.0.0.1:/callback": false, "http://127.0.0.1:0/callback": false,
	"http://127.0.0.1:65536/callback": false, "http://127.0.0.1:080/callback": false, "http://127.0.0.1:+80/callback": false,
	"https://127.0.0.1:80/callback": false, "HTTP://127.0.0.1:80/callback": false, "//127.0.0.1:80/callback": false,
	"http://127.0.0.1:80/": false, "http://127.0.0.1:80/callback/": false, "http://127.0.0.1:80/x/callback": false,
	"http://127.0.0.1:80/callback?x=1": false, "http://127.0.0.1:80/callback#": false, "http://127.0.0.1:80/%63allback": false,
	"http://127.0.0.1:80@evil.example/callback": false, "http://u@127.0.0.1:80/callback": false,
	"http://127.0.0.1:80.evil.example/callback": false, "http://localhost.evil.example:80/callback": false,
	"http://127.0.0.2:80/callback": false, "http://0.0.0.0:80/callback": false, "http://[::]:80/callback": false,
	"http://2130706433:80/callback": false, "http://LOCALHOST:80/callback": false, "http://localhost.:80/callback": false,
	"http://lodge.example/callback": false, webRedirect + "?x=1": false, webRedirect + "/": false,
	"custom://callback": false, "javascript:alert(1)//callback": false, " http://127.0.0.1:80/callback": false,
}

func TestARedirectLeadsHomeOrIsRefused(t *testing.T) {
	o := &OIDC{o: OIDCOptions{RedirectURL: webRedirect}}
	for uri, want := range redirects {
		if err := o.checkRedirect(uri); (err == nil) != want {
			t.Errorf("%q: %v", uri, err)
		} else if !want {
			wantCode(t, err, cloud.CodeInvalid)
		}
	}
	if (&OIDC{}).checkRedirect("") == nil {
		t.Error("an empty one passes where none is configured")
	}
}

func FuzzARedirectNeverLeavesTheMachine(f *testing.F) {
	for uri := range redirects {
		f.Add(uri)
	}
	o := &OIDC{}
	f.Fuzz(func(t *testing.T, uri string) {
		if o.checkRedirect(uri) != nil {
			return
		}
		u, err := url.Parse(uri)
		if err != nil || u.Scheme != "http" || u.Path != CallbackPath || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			t.Fatalf("%q passes", uri)
		}
		if h := u.Hostname(); h != "localhost" && !net.ParseIP(h).IsLoopback() {
			t.Fatalf("%q passes", uri)
		}
	})
}

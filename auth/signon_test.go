package auth

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"lodge/cloud"
)

// register is a store that knows one person.
type register struct {
	mu      sync.Mutex
	subject string
	signed  []cloud.SignIn
	refused []cloud.AuditEntry
	via     []string
}

func (r *register) SignIn(_ context.Context, c cloud.Caller, _ time.Time, p cloud.SignIn, n cloud.NewToken, _ string) (cloud.Token, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.signed, r.via = append(r.signed, p), append(r.via, c.Via)
	if p.Subject != r.subject {
		return cloud.Token{}, cloud.Errorf(cloud.CodeForbidden, "No.")
	}
	return cloud.Token{Name: n.Name, ExpiresAt: n.ExpiresAt}, nil
}

func (r *register) RecordRefusal(_ context.Context, _ cloud.Caller, _ time.Time, e cloud.AuditEntry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = append(r.refused, e)
	return nil
}

// newSignOn is a login at p where the person with the subject is a user.
func newSignOn(t *testing.T, opt OIDCOptions, subject string) (*SignOn, *register) {
	r := &register{subject: subject}
	return NewSignOn(newOIDC(t, opt), r, r, func() string { return "id" }), r
}

var someone = cloud.Caller{Via: "login", Address: "192.0.2.1"}

func (s *SignOn) begin(t *testing.T, p *provider, who string) (login, state, code string) {
	t.Helper()
	o, err := s.StartSignOn(t.Context(), someone, time.Now(), cliRedirect)
	if err != nil {
		t.Fatal(err)
	}
	back := p.browse(t, o.URL, who)
	return o.Login, back.Query().Get("state"), back.Query().Get("code")
}

func TestASessionIsOpenedForAPersonAndNotForAName(t *testing.T) {
	p := startProvider(t, "127.0.0.1:0")
	s, r := newSignOn(t, p.options(), "id-alice")
	s.AllowCreate = true
	login, state, code := s.begin(t, p, "alice")
	secret, k, still, err := s.FinishSignOn(t.Context(), someone, time.Now(), login, state, code)
	if err != nil || !WellFormed(secret) || still != nil || k.Name != "login" {
		t.Fatalf("%+v, %v, %v", k, still, err)
	}
	in := r.signed[0]
	if in.Issuer != p.url || in.Subject != "id-alice" || in.Name != "alice" || in.Email != "alice@example.com" || !in.Create || in.Login == "" || r.via[0] != "oidc" {
		t.Errorf("%+v", in)
	}
	login, state, code = s.begin(t, p, "bob")
	_, _, _, err = s.FinishSignOn(t.Context(), someone, time.Now(), login, state, code)
	wantCode(t, err, cloud.CodeForbidden)
	if r.signed[1].Email != "" {
		t.Error("an email that nobody vouches for is taken")
	}
	if len(r.refused) != 1 || r.refused[0].Name != "bob" || r.refused[0].Result != "forbidden" || r.refused[0].Action != "session.open" {
		t.Errorf("%+v", r.refused)
	}
}

func TestLoginsAtAnIssuerAreLimitedByAddress(t *testing.T) {
	p := startProvider(t, "127.0.0.1:0")
	s, r := newSignOn(t, p.options(), "id-alice")
	now := time.Now()
	failed := 0
	for ; failed < 100; failed++ {
		_, _, _, err := s.FinishSignOn(t.Context(), someone, now, "made up", "s", "c")
		if cloud.CodeOf(err) == cloud.CodeLockedOut {
			break
		}
		wantCode(t, err, cloud.CodeUnauthorized)
	}
	if failed != 30 || len(r.refused) != failed {
		t.Errorf("%d attempts, %d written down", failed, len(r.refused))
	}
	_, err := s.StartSignOn(t.Context(), someone, now, cliRedirect)
	wantCode(t, err, cloud.CodeLockedOut)
	other := someone
	other.Address = "192.0.2.2"
	_, err = s.StartSignOn(t.Context(), other, now, cliRedirect)
	wantCode(t, err, "")
}

// An office behind one address logs in as often as it likes.
func TestGoodLoginsAreNotCounted(t *testing.T) {
	p := startProvider(t, "127.0.0.1:0")
	s, _ := newSignOn(t, p.options(), "id-alice")
	for range 35 {
		login, state, code := s.begin(t, p, "alice")
		if _, _, _, err := s.FinishSignOn(t.Context(), someone, time.Now(), login, state, code); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnIssuerThatIsAwayIsNobodysFault(t *testing.T) {
	opt := OIDCOptions{Issuer: "http://127.0.0.1:1", ClientID: publicClient, StateKey: testKey()}
	s, r := newSignOn(t, opt, "")
	for range 40 {
		_, err := s.StartSignOn(t.Context(), someone, time.Now(), cliRedirect)
		wantCode(t, err, cloud.CodeUnavailable)
	}
	if len(r.refused) != 0 {
		t.Errorf("%+v", r.refused)
	}
}

// deviceStore lets the public client log in devices.
type deviceStore struct{ *storage.Storage }

type deviceClient struct{ op.Client }

func (deviceClient) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeDeviceCode}
}

func (s deviceStore) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	c, err := s.Storage.GetClientByClientID(ctx, id)
	return deviceClient{c}, err
}

func TestADeviceWaitsForItsPerson(t *testing.T) {
	p := startProvider(t, "127.0.0.1:0")
	for _, client := range []struct{ id, secret string }{{publicClient, ""}, {secretClient, clientSecret}} {
		opt := p.options()
		opt.ClientID, opt.ClientSecret = client.id, client.secret
		s, r := newSignOn(t, opt, "id-alice")
		now := time.Now()
		d, err := s.StartSignOn(t.Context(), someone, now, "")
		if err != nil {
			t.Fatal(err)
		}
		if d.UserCode == "" || d.URL == "" || d.State != "" || d.Interval < time.Second || !d.ExpiresAt.After(now) {
			t.Fatalf("%+v", d)
		}
		login := d.Login
		for range 40 { // looks are no failures
			_, _, still, err := s.FinishSignOn(t.Context(), someone, now, login, "", "")
			if err != nil || still == nil {
				t.Fatalf("%+v, %v", still, err)
			}
			login = still.Login
		}
		_, err = s.OIDC.Finish(t.Context(), now, login, "", "made up")
		wantCode(t, err, cloud.CodeUnauthorized) // a device's login takes no code
		_, err = s.OIDC.FinishDevice(t.Context(), d.ExpiresAt, login)
		wantCode(t, err, cloud.CodeUnauthorized)
		if err := p.store.CompleteDeviceAuthorization(t.Context(), d.UserCode, "id-alice"); err != nil {
			t.Fatal(err)
		}
		secret, _, still, err := s.FinishSignOn(t.Context(), someone, now, login, "", "")
		if err != nil || !WellFormed(secret) || still != nil {
			t.Fatalf("%v, %v", still, err)
		}
		if got := r.signed[0]; got.Subject != "id-alice" || got.Name != "alice" {
			t.Errorf("%+v", got)
		}
	}
}

func TestADeviceLooksSlowerWhenItIsTold(t *testing.T) {
	p := startProvider(t, "127.0.0.1:0")
	opt := p.options()
	opt.HTTPClient = tampering("/oauth/token", 400, `{"error":"slow_down"}`)
	s, _ := newSignOn(t, opt, "")
	d, err := s.StartSignOn(t.Context(), someone, time.Now(), "")
	if err != nil {
		t.Fatal(err)
	}
	_, _, still, err := s.FinishSignOn(t.Context(), someone, time.Now(), d.Login, "", "")
	if err != nil || still.Interval != d.Interval+deviceSlower*time.Second || !still.ExpiresAt.Equal(d.ExpiresAt) {
		t.Errorf("%+v, %v", still, err)
	}
	for range 20 {
		_, _, still, err = s.FinishSignOn(t.Context(), someone, time.Now(), still.Login, "", "")
		if err != nil || still.Interval > maxInterval*time.Second {
			t.Fatalf("%+v, %v", still, err)
		}
	}
}

func TestAnIssuersOddAnswersToADeviceAreRefused(t *testing.T) {
	p := startProvider(t, "127.0.0.1:0")
	const good = `"device_code":"d","user_code":"u","verification_uri":"https://id.example/device"`
	for body, want := range map[string]cloud.Code{
		`{` + good + `}`: "",
		`{"user_code":"u","verification_uri":"https://id.example"}`:                                                             cloud.CodeUnavailable,
		`{"device_code":"d","verification_uri":"https://id.example"}`:                                                           cloud.CodeUnavailable,
		`{"device_code":"d","user_code":"u\u001b[2J","verification_uri":"https://id.example"}`:                                  cloud.CodeUnavailable,
		`{"device_code":"d","user_code":"u","verification_uri":"javascript:alert(1)"}`:                                          cloud.CodeUnavailable,
		`{` + good + `,"verification_uri_complete":"file:///etc/passwd"}`:                                                       cloud.CodeUnavailable,
		`{"device_code":"` + strings.Repeat("d", maxDeviceCode+1) + `",` + strings.TrimPrefix(good, `"device_code":"d",`) + `}`: cloud.CodeUnavailable,
		`nonsense`: cloud.CodeUnavailable,
	} {
		opt := p.options()
		opt.HTTPClient = tampering("/device_authorization", 200, body)
		_, err := newOIDC(t, opt).StartDevice(t.Context(), time.Now())
		if cloud.CodeOf(err) != want {
			t.Errorf("%.90s: %v", body, err)
		}
	}
	for _, refusal := range []string{`{"error":"unauthorized_client"}`, `{"error":"invalid_request"}`} {
		opt := p.options()
		opt.HTTPClient = tampering("/device_authorization", 400, refusal)
		_, err := newOIDC(t, opt).StartDevice(t.Context(), time.Now())
		if wantCode(t, err, cloud.CodeUnavailable); !strings.Contains(cloud.MessageOf(err), "operator") {
			t.Error(err)
		}
	}
}

func TestADevicesEndIsTold(t *testing.T) {
	p := startProvider(t, "127.0.0.1:0")
	for answer, want := range map[string]cloud.Code{
		"access_denied": cloud.CodeUnauthorized, "expired_token": cloud.CodeUnauthorized, "invalid_grant": cloud.CodeUnauthorized,
		"invalid_client": cloud.CodeUnavailable,
	} {
		opt := p.options()
		opt.HTTPClient = tampering("/oauth/token", 400, `{"error":"`+answer+`"}`)
		o := newOIDC(t, opt)
		d, err := o.StartDevice(t.Context(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		_, err = o.FinishDevice(t.Context(), time.Now(), d.Sealed)
		wantCode(t, err, want)
		var still *StillPending
		if errors.As(err, &still) {
			t.Error("it goes on")
		}
	}
}

// A stolen browser login is not to be ended as a device's, which has no nonce.
func TestABrowsersLoginIsNoDevices(t *testing.T) {
	p := startProvider(t, "127.0.0.1:0")
	s, _ := newSignOn(t, p.options(), "id-alice")
	login, _, _ := s.begin(t, p, "alice")
	_, _, _, err := s.FinishSignOn(t.Context(), someone, time.Now(), login, "", "")
	wantCode(t, err, cloud.CodeUnauthorized)
}

func TestAnIssuerWithoutDevicesSaysSo(t *testing.T) {
	p := startProvider(t, "127.0.0.1:0")
	opt := p.options()
	o := newOIDC(t, opt)
	is, err := o.issuer(t.Context(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	is.endpoint.DeviceAuthURL = ""
	_, err = o.StartDevice(t.Context(), time.Now())
	wantCode(t, err, cloud.CodeInvalid)
}

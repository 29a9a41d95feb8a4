package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"lodge/cloud"
)

// A device is a machine whose person logs in with a browser on another one:
// RFC 8628.

const (
	deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

	deviceTime     = 30 * time.Minute // at most, whatever the issuer gives
	deviceInterval = 5                // seconds, where the issuer says nothing: section 3.2
	deviceSlower   = 5                // seconds more when it says slow_down: section 3.5
	maxInterval    = 60               // seconds
	maxDeviceCode  = 2 << 10          // bytes
	maxUserCode    = 64               // bytes
)

// Device is a login that has begun on a machine without a browser.
type Device struct {
	Sealed    string // for FinishDevice; says nothing to whoever has no key
	URL       string // that the person opens elsewhere
	WholeURL  string // the same with the code in it; "" where the issuer gives none
	UserCode  string // that the person types there
	Interval  time.Duration
	ExpiresAt time.Time
}

// StillPending is returned by FinishDevice while the person has not answered yet.
type StillPending struct {
	Sealed    string // for the next look
	Interval  time.Duration
	ExpiresAt time.Time
}

func (*StillPending) Error() string { return "the person has not answered yet" }

// StartDevice begins a login that the person ends on another machine.
//
// Returns CodeInvalid when the issuer knows no such logins, and CodeUnavailable
// when it does not answer.
func (o *OIDC) StartDevice(ctx context.Context, now time.Time) (Device, error) {
	is, err := o.issuer(ctx, now)
	if err != nil {
		return Device{}, err
	}
	if is.endpoint.DeviceAuthURL == "" {
		return Device{}, cloud.Errorf(cloud.CodeInvalid, "The identity provider %s has no login for machines without a browser; log in with a browser, or use a token.", o.o.Issuer)
	}
	var opts []oauth2.AuthCodeOption
	if o.o.ClientSecret != "" { // the library leaves it out here
		opts = append(opts, oauth2.SetAuthURLParam("client_secret", o.o.ClientSecret))
	}
	got, err := o.config(is, "").DeviceAuth(oidc.ClientContext(ctx, o.client), opts...)
	if err != nil {
		return Device{}, o.deviceError(err)
	}
	if err := o.checkDevice(got); err != nil {
		return Device{}, o.away(err)
	}
	lasts := LoginTime
	if !got.Expiry.IsZero() {
		lasts = min(time.Until(got.Expiry), deviceTime)
	}
	in := pending{
		State: rand.Text(), Device: got.DeviceCode, Expires: now.Add(lasts).Unix(),
		Interval: deviceInterval,
	}
	if got.Interval > 0 {
		in.Interval = int(min(got.Interval, maxInterval))
	}
	still := o.still(in)
	return Device{
		Sealed: still.Sealed, URL: got.VerificationURI, WholeURL: got.VerificationURIComplete, UserCode: got.UserCode,
		Interval: still.Interval, ExpiresAt: still.ExpiresAt,
	}, nil
}

func (o *OIDC) still(in pending) *StillPending {
	return &StillPending{Sealed: o.seal.close(in), Interval: time.Duration(in.Interval) * time.Second, ExpiresAt: time.Unix(in.Expires, 0).UTC()}
}

// checkDevice refuses what a terminal should not show and a seal cannot hold.
func (o *OIDC) checkDevice(d *oauth2.DeviceAuthResponse) error {
	switch {
	case d.DeviceCode == "" || len(d.DeviceCode) > maxDeviceCode:
		return errors.New("device login: no device code, or one that is too long")
	case d.UserCode == "" || len(d.UserCode) > maxUserCode || strings.ContainsFunc(d.UserCode, notPrintable):
		return errors.New("device login: no user code, or one that cannot be shown")
	case !o.mayAsk(d.VerificationURI), d.VerificationURIComplete != "" && !o.mayAsk(d.VerificationURIComplete):
		return errors.New("device login: a page that is none to be trusted")
	}
	return nil
}

// deviceError is about the beginning, where no code can be wrong.
func (o *OIDC) deviceError(err error) error {
	if e := o.exchangeError(err); cloud.CodeOf(e) == cloud.CodeUnavailable {
		return e
	}
	return cloud.Wrap(cloud.CodeUnavailable, err, "The identity provider %s refuses logins of machines without a browser; tell the operator.", o.o.Issuer)
}

// FinishDevice looks once whether the person has answered. There is no nonce in
// such a login: the device code, which never leaves lodge and the issuer in the
// clear, binds the token to it.
//
// Returns a *StillPending while there is no answer, and else what Finish returns.
func (o *OIDC) FinishDevice(ctx context.Context, now time.Time, sealed string) (Person, error) {
	in, err := o.seal.open(now, sealed)
	if err != nil {
		return Person{}, err
	}
	if in.Device == "" {
		return Person{}, cloud.Errorf(cloud.CodeUnauthorized, "The login that came back was started with a browser; bring its code, or start again.")
	}
	is, err := o.issuer(ctx, now)
	if err != nil {
		return Person{}, err
	}
	ctx = oidc.ClientContext(ctx, o.client)
	// The library's own loop would wait here; this asks once. A parameter without
	// a value counts as left out: RFC 6749 section 3.2.
	token, err := o.config(is, "").Exchange(ctx, "",
		oauth2.SetAuthURLParam("grant_type", deviceGrant), oauth2.SetAuthURLParam("device_code", in.Device))
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		switch refused.ErrorCode {
		case "slow_down":
			in.Interval = min(in.Interval+deviceSlower, maxInterval)
			return Person{}, o.still(in)
		case "authorization_pending":
			return Person{}, o.still(in)
		case "access_denied":
			return Person{}, cloud.Wrap(cloud.CodeUnauthorized, err, "The login was refused at the identity provider; start again, or ask the operator.")
		case "expired_token":
			return Person{}, tookTooLong(err)
		}
	}
	if err != nil {
		return Person{}, o.exchangeError(err)
	}
	return o.holder(ctx, now, is, token, func(*oidc.IDToken) error { return nil })
}

// tookTooLong is about a login whose time the issuer has set.
func tookTooLong(cause error) error {
	return &cloud.Error{Code: cloud.CodeUnauthorized, Message: "The login took too long; start again.", Cause: cause}
}

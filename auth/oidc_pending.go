package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"

	"lodge/cloud"
)

const (
	stateKeyBytes = 32
	maxSealed     = 4 << 10 // bytes
)

// pending is what lodge must know again when a login comes back.
type pending struct {
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"`
	Redirect string `json:"r"`
	Expires  int64  `json:"e"` // seconds since 1970

	// Of a login that ends on another machine.
	Device   string `json:"d,omitempty"` // the device code
	Interval int    `json:"i,omitempty"` // seconds between two looks
}

// sealer closes a pending login so that only lodge can read or change it, and
// only the login at the same issuer and client takes it.
type sealer struct {
	aead  cipher.AEAD
	bound []byte
}

// newSealer returns CodeInvalid for a key that has not 32 bytes.
func newSealer(key []byte, issuer, clientID string) (sealer, error) {
	if len(key) != stateKeyBytes {
		return sealer{}, cloud.Errorf(cloud.CodeInvalid, "The key for logins on their way has %d bytes instead of %d.", len(key), stateKeyBytes)
	}
	// A key of its own for this purpose, whatever else the given one is used for.
	own, err := hkdf.Key(sha256.New, key, nil, "lodge pending login v1", 32)
	if err != nil {
		return sealer{}, cloud.Wrap(cloud.CodeInternal, err, "The key for logins on their way cannot be made.")
	}
	block, err := aes.NewCipher(own)
	if err != nil {
		return sealer{}, cloud.Wrap(cloud.CodeInternal, err, "The key for logins on their way cannot be made.")
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return sealer{}, cloud.Wrap(cloud.CodeInternal, err, "The key for logins on their way cannot be made.")
	}
	return sealer{aead: aead, bound: []byte(issuer + "\x00" + clientID)}, nil
}

func (s sealer) close(p pending) string {
	plain, _ := json.Marshal(p) // strings and a number cannot fail
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, plain, s.bound))
}

// open returns CodeUnauthorized for what was not closed by lodge for this issuer,
// or is over.
func (s sealer) open(now time.Time, sealed string) (pending, error) {
	p, err := s.read(sealed)
	if err != nil {
		return pending{}, cloud.Wrap(cloud.CodeUnauthorized, err, "The login that came back was not started here; start again.")
	}
	switch {
	case now.Unix() < p.Expires:
		return p, nil
	case p.Device != "":
		return pending{}, tookTooLong(nil)
	}
	return pending{}, cloud.Errorf(cloud.CodeUnauthorized, "The login took longer than %d minutes; start again.", int(LoginTime.Minutes()))
}

func (s sealer) read(sealed string) (pending, error) {
	var p pending
	if len(sealed) > maxSealed {
		return p, errors.New("sealed login is too long")
	}
	box, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return p, err
	}
	plain, err := s.aead.Open(nil, nil, box, s.bound)
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal(plain, &p)
}

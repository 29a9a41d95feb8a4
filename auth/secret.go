package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash/crc32"
	"strings"

	"lodge/cloud"
)

// A secret reads lodge_SECRET_CHECK: 32 random bytes in hexadecimal, and a check
// of four bytes, so that a mistyped one is told from a revoked one, and a
// scanner of repositories can be sure of a find.
const (
	secretPrefix = cloud.SecretPrefix
	secretBytes  = 32
	secretLength = len(secretPrefix) + 2*secretBytes + 1 + 8
)

// NewSecret makes the secret of a token: 256 random bits.
func NewSecret() string {
	var b [secretBytes]byte
	_, _ = rand.Read(b[:]) // it never fails: crypto/rand ends the process instead
	body := secretPrefix + hex.EncodeToString(b[:])
	return body + "_" + check(body)
}

func check(body string) string {
	sum := crc32.ChecksumIEEE([]byte(body))
	return hex.EncodeToString([]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
}

// WellFormed reports whether s has the shape of a secret and its check is right.
// It says nothing about whether lodge has given it out.
func WellFormed(s string) bool {
	if len(s) != secretLength || !strings.HasPrefix(s, secretPrefix) || s[len(s)-9] != '_' {
		return false
	}
	body, sum := s[:len(s)-9], s[len(s)-8:]
	if strings.Trim(body[len(secretPrefix):], "0123456789abcdef") != "" {
		return false
	}
	return subtle.ConstantTimeCompare([]byte(check(body)), []byte(sum)) == 1
}

// HashSecret is what is kept of a secret. A secret has 256 bits of its own, so a
// plain hash is as good as a slow one: there is nothing to guess.
func HashSecret(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

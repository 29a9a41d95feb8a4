package auth

import (
	"crypto/rand"
	"crypto/subtle"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"lodge/cloud"
)

// Cost is what one check of a password costs. RFC 9106 section 4 recommends two
// sets; the default is the OWASP minimum for argon2id, because many logins at
// once must not take the memory of the guests.
type Cost struct {
	Time      uint32 // passes
	MemoryKiB uint32
	Threads   uint8
}

// DefaultCost is 19 MiB and two passes:
// https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
var DefaultCost = Cost{Time: 2, MemoryKiB: 19 * 1024, Threads: 1}

const (
	saltBytes = 16
	keyBytes  = 32

	// MinPassword is in characters, MaxPassword in bytes: NIST SP 800-63B asks
	// for 8 at least where another factor stands beside it, and 15 alone.
	MinPassword = 12
	MaxPassword = 512
)

// CheckPassword returns CodeInvalid for a password that is too short or too long
// to be taken, or is the user's name. It is counted in the form that is hashed.
func CheckPassword(name, password string) error {
	if len(password) <= MaxPassword { // what is longer is too long in any form
		password = normal(password)
	}
	switch {
	case utf8.RuneCountInString(password) < MinPassword:
		return cloud.Errorf(cloud.CodeInvalid, "The password has fewer than %d characters; a few random words are easy to keep.", MinPassword)
	case len(password) > MaxPassword:
		return cloud.Errorf(cloud.CodeInvalid, "The password has more than %d bytes.", MaxPassword)
	case strings.EqualFold(password, name):
		return cloud.Errorf(cloud.CodeInvalid, "The password is the user's name; choose another.")
	}
	return nil
}

// HashPassword is what is kept of a password, in the PHC string format:
// https://github.com/P-H-C/phc-string-format/blob/master/phc-sf-spec.md
// Zero values of the cost take the defaults; what is more than VerifyPassword would
// pay is cut down to that.
func HashPassword(password string, c Cost) string {
	c = c.bounded()
	var salt [saltBytes]byte
	_, _ = rand.Read(salt[:])
	key := argon2.IDKey([]byte(password), salt[:], c.Time, c.MemoryKiB, c.Threads, keyBytes)
	return passwordHash{cost: c, salt: salt[:], key: key}.String()
}

// Decoy is the hash of a password that nobody has. Verifying against it where
// there is no such user, or one without a password, takes as long as for one with
// the same cost.
func Decoy(c Cost) string { return HashPassword(rand.Text(), c) }

// VerifyPassword reports whether the password is the one that was hashed. It
// takes as long for a wrong one as for the right one. A hash that is damaged, or
// that asks for more than 256 MiB or 16 passes, is nobody's.
func VerifyPassword(password, hash string) bool {
	h, ok := readHash(hash)
	if !ok {
		return false
	}
	got := argon2.IDKey([]byte(password), h.salt, h.cost.Time, h.cost.MemoryKiB, h.cost.Threads, uint32(len(h.key)))
	return subtle.ConstantTimeCompare(got, h.key) == 1
}

package auth

import "golang.org/x/text/unicode/norm"

// normal is the one form of a password that is hashed. The same characters reach
// lodge in several forms, by keyboard and system: NIST SP 800-63B section
// 5.1.1.2 asks for NFKC or NFKD.
func normal(password string) string { return norm.NFKC.String(password) }

// verify reports whether the password is the one that was hashed, and whether it
// should be hashed anew: with the present form, or at the cost that hashing has
// by now. Hashes that are older than the one form are of what was typed then.
//
// How long it takes depends on the password and not on whether it is right.
func verify(password, hash string, c Cost) (good, renew bool) {
	form := normal(password)
	good = VerifyPassword(form, hash)
	if form != password {
		old := VerifyPassword(password, hash)
		good, renew = good || old, old && !good
	}
	return good, good && (renew || outdated(hash, c))
}

// outdated reports whether a hash cost less than c in any way.
func outdated(hash string, c Cost) bool {
	h, ok := readHash(hash)
	c = c.bounded()
	return ok && (h.cost.Time < c.Time || h.cost.MemoryKiB < c.MemoryKiB)
}

// Package auth turns credentials into identities: the secret of a token, a
// password, a login at an OpenID issuer. It is the only place that hashes or
// compares a secret, and it limits how often one may be guessed.
//
// It keeps no users, no tokens and no sessions, knows no routes and no SQL, and
// never decides what somebody may do. What it counts is in memory and lost at a
// restart; a login on its way is with the client and is not.
//
// DESIGN.md beside this file has the reasons.
package auth
